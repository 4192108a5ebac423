"""Figures: metrics, bootstrap intervals, measuring a run, comparing runs."""
