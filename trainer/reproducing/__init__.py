"""The tables of the paper: a grid of runs, who computes which of them, and their figures beside the published ones."""
