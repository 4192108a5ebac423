"""From a file to a bank: syntax, types, checks, migrations, every problem with its line."""
