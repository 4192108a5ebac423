"""Data sets, their partition among clients, the feature cache, and batches."""
