"""Saving a bank: revisions, what a person decided, and mining again without overwriting it."""
