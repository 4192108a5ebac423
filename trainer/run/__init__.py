"""A run folder: what was asked, what happened, what was learned."""
