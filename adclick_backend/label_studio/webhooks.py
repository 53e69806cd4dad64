"""The webhooks of a project in Label Studio: which of them lead to this backend, and what they carry."""

from __future__ import annotations

SECRET_HEADER = "X-ADClick-Secret"  # noqa: S105  (its name)
