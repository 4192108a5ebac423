"""Settings: their tree, defaults, presets, files and command line."""
