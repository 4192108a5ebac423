"""Answers that were paid for: the cache, its records, and files of them to carry elsewhere."""
