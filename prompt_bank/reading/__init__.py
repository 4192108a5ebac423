"""Parses and validates bank files: syntax, migrations, types, checks. Every problem has its line number."""
