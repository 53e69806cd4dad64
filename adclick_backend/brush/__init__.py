"""Masks as Label Studio stores them."""
