"""The ``adclick`` commands that train and study networks."""
