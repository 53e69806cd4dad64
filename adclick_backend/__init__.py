"""The Label Studio side of ADClick: HTTP, projects, references, clicks."""

from __future__ import annotations

import sys
from pathlib import Path

from adclick_runtime import __version__

__all__ = ["__version__"]


def _import_our_model() -> None:
    """Import the package ``model`` that lies beside this one, whatever else of that name the module path offers first.

    Every folder that ``label-studio-ml create`` makes holds a ``model.py``, and the current folder heads the module
    path of ``python -m`` and of gunicorn.

    Raises:
        ImportError: with a sentence, when this process knows something else by that name already.
    """
    ours = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(ours))
    try:
        import model
    finally:
        sys.path.remove(str(ours))
    found = Path(model.__file__ or next(iter(model.__path__)))
    if found.resolve() != ours / "model" / "__init__.py":
        raise ImportError(
            f"ADClick needs the name `model` for its own package in {ours}, but {found} has it in this process: rename "
            "that, or import adclick_backend where it is not imported."
        )


_import_our_model()
