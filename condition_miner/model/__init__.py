"""The language model: where it is, its dialect, one request to it, and reading what it answers."""
