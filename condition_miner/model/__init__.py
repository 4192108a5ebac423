"""The language model: endpoint and model selection, dialect, backends, parsing of answers."""
