"""A run folder: settings, metrics, checkpoints, and the run's identity."""
