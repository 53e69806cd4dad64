"""Anomaly detectors: a map of where an image is unlike defect-free images."""
