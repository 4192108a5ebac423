"""Choice of settings on validation images: the same number of tries for every method."""
