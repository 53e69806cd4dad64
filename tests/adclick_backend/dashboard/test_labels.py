"""The page of the labels: counted by type and kind, what is left out and why, synchronised at a press."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from adclick_backend.dashboard.labels import advise, list_types
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.references.syncing import STALE_S
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.labels import annotated, block, brush, choice, rectangle

LABELS = "/projects/1/labels"


def label(backend: Backend, number: int, result: Any) -> None:
    """Label Studio tells of the annotation of task `number`."""
    data = {"id": number, "data": {"image": f"/data/upload/1/{number}.png"}}
    annotation = annotated(number, result)
    assert backend.webhook("ANNOTATION_CREATED", annotation=annotation, task=data).status_code in (200, 201)


def test_without_a_label_the_page_says_how_to_get_one(connected: Backend) -> None:
    text = page(connected, LABELS)
    assert "No defect is labelled yet" in text
    assert "Synchronise now</button>" in text
    assert "<table>" not in text


def test_labels_are_counted_by_type_and_kind(connected: Backend) -> None:
    label(connected, 1, [brush(block(8, 12, 16, 20), "scratch")])
    label(connected, 2, [brush(block(8, 12, 16, 20), "scratch"), rectangle(8, 12, 16, 20, "dent", "r2")])
    label(connected, 3, [choice("normal")])
    text = re.sub(' data-label="[^"]*"', "", " ".join(page(connected, LABELS).split()))
    row = '<th scope="row">{}</th> <td class="number">–</td><td class="number">{}</td><td class="number">{}</td>'
    assert row.format("scratch", 2, "–") in text
    assert row.format("dent", "–", 1) in text
    assert (
        "3 labels of 2 defect types can be learned from. Of “dent”, “scratch” there are fewer than 5" in text
    )
    assert "<strong>1</strong></td></tr> </tbody>" in text  # the normal image, in the last row


def test_what_is_left_out_is_listed_with_the_reason(connected: Backend) -> None:
    label(connected, 1, [brush(block(8, 12, 16, 20), "scratch")])
    label(connected, 2, [brush(block(8, 12, 16, 20), "rust")])
    store = connected.services.store.labels
    store.not_fetched("1", 1, "/data/upload/1/1.png", "The image was deleted.")
    text = page(connected, LABELS)
    assert "The image was deleted." in text
    assert "says nothing about defects" in text
    assert 'href="http://127.0.0.1:9/projects/1/data?task=2"' in text


def test_types_with_most_images_come_first() -> None:
    counts = LabelCounts({"dent": {"box": 2}, "hole": {"clicked": 3, "tag": 1}, "burr": {"mask": 2}}, 0, 0)
    rows = list_types(counts)
    assert [(row.type, row.total) for row in rows] == [("hole", 4), ("burr", 2), ("dent", 2)]
    assert rows[0].counts == [3, 0, 0, 1]


@pytest.mark.parametrize(
    ("counts", "said", "not_said"),
    [
        (LabelCounts({}, 0, 0), "No defect is labelled yet", "learned from"),
        (LabelCounts({"dent": {"mask": 4}}, 1, 0), "Of “dent” there are fewer than 5 images", "No image"),
        (LabelCounts({"dent": {"mask": 3, "box": 2}}, 0, 0), "No image is labelled as normal", "fewer"),
    ],
)
def test_the_advice_fits_the_labels(counts: LabelCounts, said: str, not_said: str) -> None:
    assert said in advise(counts)
    assert not_said not in advise(counts)


# --- synchronising


def run(backend: Backend, sync: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Synchronise with that function in place of the real one; what the page says afterwards."""
    monkeypatch.setattr(
        "adclick_backend.references.syncing.sync",
        lambda project, labels, store, connections, progress, give_way: sync(project, progress),
    )
    thread = backend.services.syncs.start("1")
    assert thread is not None
    thread.join(10)
    return page(backend, LABELS)


def test_a_synchronisation_says_how_it_ended(connected: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 22: Label Studio away is a sentence, and what was known stays."""

    def broken(project: str, progress: object) -> str:
        raise OSError("No space left on device")

    assert "All labels that Label Studio has are here." in run(connected, lambda *_: "", monkeypatch)
    assert "It answers 401." in run(connected, lambda *_: "It answers 401.", monkeypatch)
    assert "The synchronisation failed" in run(connected, broken, monkeypatch)


def test_one_synchronisation_at_a_time_and_none_that_died_goes_on(
    connected: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def sync(project: str, progress: Callable[[float], None]) -> str:
        progress(0.25)
        seen.append(page(connected, LABELS))
        assert connected.services.syncs.start("1") is None
        return ""

    run(connected, sync, monkeypatch)
    assert "25 % of the labelled images are here." in seen[0]
    assert "data-reload" in seen[0]
    assert "Synchronise now</button>" not in seen[0]
    syncs = connected.services.syncs
    syncs._say("1", "Asking Label Studio.", running=True)
    now = time.monotonic()
    monkeypatch.setattr(syncs, "_clock", lambda: now + STALE_S + 1)
    assert not syncs.state("1").running
    assert "was interrupted" in syncs.state("1").sentence


def test_the_button_starts_a_synchronisation(connected: Backend) -> None:
    answer = send(connected, f"{LABELS}/sync")
    assert (answer.status_code, answer.location) == (303, LABELS)
    deadline = time.monotonic() + 20
    while connected.services.syncs.state("1").running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "The newest labels could not be read" in page(connected, LABELS)
