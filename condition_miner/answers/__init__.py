"""The answer cache: storage, records, export and import."""
