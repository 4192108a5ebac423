"""Mine, with a language model, the conditions under which labels occur together."""
