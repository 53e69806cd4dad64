"""The only door to the model."""
