"""Dependencies between labels: observed in images, predicted by a bank, and the agreement of the two."""
