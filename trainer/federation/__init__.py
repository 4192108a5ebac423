"""Federated rounds and aggregation."""
