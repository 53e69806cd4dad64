"""The annotators: each opens a task, looks, clicks, looks, submits, and takes the next one."""

from __future__ import annotations

import random
import threading
from typing import Any

from tests.soak.client import Client, Point, normal_choice
from tests.soak.images import Stain
from tests.soak.label_studio import Kind, SoakLabelStudio

CLICKS = 3
NORMAL_EVERY, SILENT_EVERY = 12, 15  # tasks
TRIES = 4  # clicks without a mask after which a person gives a task up


class Annotator(threading.Thread):
    """One person at work until told to stop.

    Args:
        number: of the person; also the seed of what is left to chance.
        client: the way to the backend.
        label_studio: where tasks come from and annotations go.
        silent: set while tasks are handed out whose image never comes.
        stop: set when the day is over.
        comes_s: seconds within which everybody comes.
    """

    def __init__(
        self,
        number: int,
        client: Client,
        label_studio: SoakLabelStudio,
        silent: threading.Event,
        stop: threading.Event,
        comes_s: float,
    ) -> None:
        super().__init__(name=f"annotator-{number}", daemon=True)
        self._random = random.Random(number)
        self._client, self._label_studio = client, label_studio
        self._silent, self._stop_event = silent, stop
        self._comes_s = comes_s
        self._done = number  # so that not everybody meets the same kind of task at the same time
        self._met_silent = number % 8 != 0  # somebody meets a silent host as soon as there is one
        self._before: tuple[dict[str, Any], list[dict[str, Any]]] | None = None

    def run(self) -> None:
        """Work."""
        self._stop_event.wait(self._random.uniform(0.0, self._comes_s))
        while not self._stop_event.is_set():
            self._done += 1
            task = self._label_studio.add_task(kind := self._kind())
            self._client.open(task, kind)
            self._pause()
            if kind == "normal":
                self._submit(task, [normal_choice()])
            elif kind == "silent":
                self._client.click(task, [Point(100, 100)], silent=True)
            else:
                self._label(task)

    def _kind(self) -> Kind:
        if self._silent.is_set() and (self._done % SILENT_EVERY == 0 or not self._met_silent):
            self._met_silent = True
            return "silent"
        return "normal" if self._done % NORMAL_EVERY == 0 else "defect"

    def _label(self, task: dict[str, Any]) -> None:
        """Click the stain, better the mask, submit it; now and then a second thought about the task before."""
        stain = Stain.of(task["id"])
        places = [stain.along(self._random.uniform(-0.15, 0.15)), stain.along(0.6), stain.along(2.2)]
        points = [Point(*place, positive=i < 2) for i, place in enumerate(places)]
        mask: list[dict[str, Any]] = []
        clicked = 0
        for _ in range(CLICKS + TRIES):
            found = self._client.click(task, points[: clicked + 1])
            mask, clicked = found or mask, clicked + bool(found)
            self._pause()
            if clicked == CLICKS or self._stop_event.is_set():
                break
        if not mask:
            return
        self._submit(task, mask)
        if self._before and self._done % 5 == 0:
            other, regions = self._before
            self._submit(other, [*regions, {**normal_choice(), "value": {"choices": ["defective"]}}])
        self._before = task, mask

    def _submit(self, task: dict[str, Any], result: list[dict[str, Any]]) -> None:
        action, annotation = self._label_studio.save(task, result)
        self._client.submit(action, task, annotation)

    def _pause(self) -> None:
        self._stop_event.wait(self._random.uniform(1.0, 3.0))
