"""The image of a task: found, decoded, kept."""
