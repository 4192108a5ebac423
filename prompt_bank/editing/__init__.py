"""Edits, as functions from a bank to a changed bank, and the differences between two banks."""
