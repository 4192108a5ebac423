"""Saves banks: revisions, hand edits, and mining again without overwriting what people decided."""
