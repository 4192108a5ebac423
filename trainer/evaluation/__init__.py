"""Evaluation: metrics, bootstrap intervals, evaluating and comparing runs."""
