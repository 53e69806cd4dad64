"""Labeling configs: read, judged, corrected."""
