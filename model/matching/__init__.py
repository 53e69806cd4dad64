"""Patch matching: retrieval of references, nearest neighbours, and the residual."""
