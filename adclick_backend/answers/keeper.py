"""Keeps every answer to a click until it is known whether the person accepts it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from adclick_backend.answers.segmenter import Answered
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.store import DATABASE_ERRORS, Answer, DiskError, Store
from adclick_backend.store.answers import pack_map, pack_mask

log = logging.getLogger(__name__)

KEPT_DAYS = 30
"""So long an answer that no annotation holds is kept: a draft may be submitted late."""

PRUNE_S = 3600.0
"""Between two looks for answers that are older than that."""

WAITING = 200
"""So many answers wait in memory while the disk is full; older ones are lost, and are then plain masks to training."""


class AnswerKeeper:
    """Writes answers down in a thread of its own: no click waits for it, or fails because of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writer = ThreadPoolExecutor(1, "adclick-answers")
        self._waiting: deque[Answer] = deque(
            maxlen=WAITING
        )  # those that could not be written, the oldest first
        self._pruned = -PRUNE_S  # monotonic seconds

    def remember(
        self, project: str, task_id: int, wanted: ClickObject, answered: Answered, region: Mapping[str, Any]
    ) -> None:
        """Keep the answer to the clicks of one region, in the place of the earlier one.

        Args:
            project: project id.
            task_id: the task.
            wanted: its clicks, in the frame of the mask.
            answered: mask and probability map, and what they come from.
            region: the mask as it goes to Label Studio.
        """
        self._writer.submit(self._write, project, task_id, wanted, answered, region)

    def flush(self) -> None:
        """Return when every answer so far is written."""
        self._writer.submit(bool).result()

    def write_down(self) -> None:
        """Write, soon, what could not be written before."""
        self._writer.submit(self._write_waiting)

    def stop(self) -> None:
        """Write what is still to be written and end the thread."""
        self._writer.shutdown()

    def _write(
        self, project: str, task_id: int, wanted: ClickObject, answered: Answered, region: Mapping[str, Any]
    ) -> None:
        probability = answered.segmentation.probability
        answer = Answer(
            project=project,
            task_id=task_id,
            region=region["id"],
            label=region["value"]["brushlabels"][0],
            clicks=wanted.clicks,
            sha=answered.sha,
            model_version=answered.model_version,
            references=answered.references,
            size=(wanted.height, wanted.width),
            mask_rle=pack_mask(region["value"]["rle"]),
            map_size=(probability.shape[0], probability.shape[1]),
            map_bytes=pack_map(probability),
            answered=self._store.database.now(),
        )
        self._waiting.append(answer)
        self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self._store.answers.put(self._waiting[0])
                self._waiting.popleft()
            if time.monotonic() - self._pruned > PRUNE_S:
                self._pruned = time.monotonic()
                self._store.answers.prune(self._store.database.now() - KEPT_DAYS * 86_400)
        except DiskError:  # it is said elsewhere, and this is called again when it is over
            return
        except (*DATABASE_ERRORS, OSError):
            if self._waiting:
                self._waiting.popleft()
            log.exception("The answer to a click is not kept")
