"""A language model's server for the time of a command: found, started, waited for, and ended."""
