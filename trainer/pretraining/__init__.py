"""Pretraining of scenes-tiny: a fixed word space, an image tower trained on it, a text tower distilled from it."""
