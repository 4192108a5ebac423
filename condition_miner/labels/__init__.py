"""Readers of label names and of label co-occurrence, for the common file formats."""
