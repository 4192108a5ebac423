"""The frozen CLIP backbone shared by all methods."""
