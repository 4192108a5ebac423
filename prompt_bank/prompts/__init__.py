"""From a bank to prompts: their layout, their tokens, their lengths."""
