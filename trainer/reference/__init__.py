"""The reference of all settings, read from the source of the settings classes; and the template of a settings file."""
