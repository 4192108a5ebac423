"""Published data sets, one per file, and tables of the user's own images."""
