"""Training of the detectors that learn from good images alone."""
