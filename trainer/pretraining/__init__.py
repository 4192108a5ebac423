"""How scenes-tiny was made: a fixed word space, an image tower trained against it, a text tower distilled to it."""
