"""Changes to a bank, as functions from a bank to a bank, and what differs between two banks."""
