"""The frozen CLIP that every method stands on."""
