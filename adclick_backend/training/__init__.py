"""From labels to a version that serves."""
