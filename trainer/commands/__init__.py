"""The commands: train, evaluate, compare, report, predict, export, datasets."""
