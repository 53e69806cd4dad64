"""Training of the click network."""
