"""The image of a task: found, fetched, decoded, kept."""
