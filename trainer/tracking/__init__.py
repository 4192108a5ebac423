"""Experiment trackers besides TensorBoard: MLflow, Weights & Biases."""
