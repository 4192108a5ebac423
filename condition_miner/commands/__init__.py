"""The commands: mine-conditions, labels, cache, templates."""
