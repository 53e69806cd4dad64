"""Click networks by the name of their preset."""

from __future__ import annotations

from typing import Any

from model.checkpoint.manifest import CheckpointError
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.network import ClickNetwork


def new(manifest: dict[str, Any], source: str) -> ClickNetwork:
    """The untrained click network that a checkpoint's manifest describes.

    Args:
        manifest: ``preset``, for ``lite`` whether it sees the ``previous`` mask, and for ``base`` the sizes as
            ``network`` (:class:`model.interactive.base.BaseConfig`).
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: the preset is no click network, or a size is unknown.
    """
    if manifest["preset"] == "lite":
        return LiteClickNetwork(LiteConfig(previous=bool(manifest.get("previous", False))))
    if manifest["preset"] != "base":
        raise CheckpointError(
            f"{source} holds the preset {manifest['preset']!r}; a click network is 'lite' or 'base'."
        )
    sizes = dict(manifest.get("network", {}))
    try:
        return BaseClickNetwork(BaseConfig(**{**sizes, "pyramid": tuple(sizes["pyramid"])} if sizes else {}))
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"The manifest of {source} has sizes that are not of 'base': {error}."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"The manifest of {source} has a size that no network has: {error}") from None
