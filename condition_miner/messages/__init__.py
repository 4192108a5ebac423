"""The messages to the model: prompt templates, the sandbox that renders them, checks of custom templates."""
