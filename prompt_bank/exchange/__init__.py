"""A bank as YAML, spreadsheet and Label Studio tasks, and what comes back from there."""
