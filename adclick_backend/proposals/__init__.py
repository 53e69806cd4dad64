"""Masks before the first click."""
