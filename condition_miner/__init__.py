"""Mines the conditions under which labels occur together, with a language model."""
