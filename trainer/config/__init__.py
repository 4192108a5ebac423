"""Sections of a run's settings, with their defaults."""
