"""The label combinations that the model is asked to describe."""
