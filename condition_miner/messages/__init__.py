"""The messages to the model: prompt templates, the sandbox they render in, checks of people's own."""
