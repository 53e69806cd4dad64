"""Training of ADClick-Seg, across products and for one project."""
