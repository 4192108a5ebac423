"""Aggregation rules. A rule is a function in a file of this folder."""
