"""Export and import of banks: YAML, spreadsheets, Label Studio."""
