"""Alembic's folder: `env.py` and the migrations."""
