"""ADClick-Seg: defects of a type found without a click."""
