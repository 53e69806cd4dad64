"""Synthetic defects and drawn products, for training without labels."""
