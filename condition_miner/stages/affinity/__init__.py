"""Stage affinities: how usual each label is under each value of a condition, read from the model's probabilities."""
