"""Federated multi-label prompt tuning of CLIP from a prompt bank."""
