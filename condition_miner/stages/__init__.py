"""The stages of mining, one a file: describe → explain → abstract → attribute → measure."""
