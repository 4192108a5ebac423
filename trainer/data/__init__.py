"""Data sets: images, label matrix, label names, owners."""
