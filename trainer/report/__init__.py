"""HTML pages: the report of a run, and the gallery of explained images."""
