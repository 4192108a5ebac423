"""The prompts of a bank: layout, tokens, lengths."""
