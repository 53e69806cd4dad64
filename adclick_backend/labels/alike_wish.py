"""What is to be looked for in the images without a label, and how its predictions are told from those of a version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from adclick_backend.store import Store

VERSION = "alike-"
"""What the ``model_version`` of predictions begins with that look like masks of other images."""

_KEY = "find_alike"  # in the project's key-value store: the job reads it in a process of its own


@dataclass(frozen=True)
class AlikeWish:
    """What a person asked for.

    Attributes:
        type: defect type of the masks that are the examples.
        tasks: whose masks they are; () for all that are labelled with the type.
        everywhere: also where a trained version has a prediction, which stays and is what Label Studio shows.
    """

    type: str
    tasks: tuple[int, ...] = ()
    everywhere: bool = False

    def keep(self, store: Store, project: str) -> None:
        """Write it down for the job."""
        store.values.set(project, _KEY, json.dumps(asdict(self)))

    @classmethod
    def read(cls, store: Store, project: str) -> AlikeWish | None:
        """What was written down last; None when nothing was."""
        kept = store.values.get(project, _KEY)
        if kept is None:
            return None
        found = json.loads(kept)
        return cls(found["type"], tuple(found["tasks"]), found["everywhere"])

    @property
    def family(self) -> str:
        """What the versions of all searches for the type begin with; a later one takes the place of an earlier one."""
        words = re.sub(r"[^a-z0-9]+", "-", self.type.lower()).strip("-")
        told_apart = sha256(self.type.encode()).hexdigest()[:4]
        return f"{VERSION}{words or 'defect'}-{told_apart}-"

    def version(self, examples: Iterable[str]) -> str:
        """The ``model_version`` of the predictions: the same for the same examples, so that a search can go on.

        Args:
            examples: names of the masks.
        """
        return self.family + sha256("\n".join(sorted(examples)).encode()).hexdigest()[:8]


def is_alike(prediction: object) -> bool:
    """Whether a prediction, as Label Studio has it, looks like masks of other images."""
    version = prediction.get("model_version") if isinstance(prediction, Mapping) else None
    return str(version or "").startswith(VERSION)


def newest_alike(predictions: Any) -> Mapping[str, Any] | None:
    """The newest of such predictions among those of a task, as Label Studio sends them; None when there is none."""
    found = [one for one in predictions if is_alike(one)] if isinstance(predictions, list) else []
    numbered = [one for one in found if isinstance(one.get("result"), list) and one["result"]]
    return max(numbered, key=lambda one: int(one.get("id") or 0), default=None)
