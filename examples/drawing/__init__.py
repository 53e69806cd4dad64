"""Draws small products and their defects: geometry first, then a photograph of it."""
