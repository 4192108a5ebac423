"""Inference with a trained model: predictions, explanations, and export."""
