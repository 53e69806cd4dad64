"""Frozen backbones, and images encoded as feature pyramids."""
