"""The commands of ``adclick``."""
