"""Federated rounds: local training, client memory, aggregation."""
