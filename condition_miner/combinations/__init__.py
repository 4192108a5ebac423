"""Which combinations of labels the model is asked about."""
