"""Which labels occur together: as images show it, as a bank predicts it, and how well the two agree."""
