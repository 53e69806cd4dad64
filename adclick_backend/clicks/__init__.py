"""Clicks as Label Studio sends them: key points, and what was clicked lately."""
