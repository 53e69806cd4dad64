"""How long a person waits, measured through HTTP: ``make bench``."""
