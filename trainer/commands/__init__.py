"""Commands: train, evaluate, compare, report, predict, export, datasets."""
