"""The stages of mining, one module each: describe → explain → abstract → attribute → measure."""
