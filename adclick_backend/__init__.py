"""The Label Studio side of ADClick: HTTP, projects, references, clicks."""

__version__ = "0.1.0"
