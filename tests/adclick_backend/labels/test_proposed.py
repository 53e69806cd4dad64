"""Proposals that a person accepted: learned from as masks of a machine, but where the person changed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.labels.proposed import PREFIX, left_of_proposal
from adclick_backend.labels.results import Statement, draw_label, read_result
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.training.training_set import build_training_set
from model.labels.labelled import WeakLabel
from model.labels.weak import three_valued
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.fake_label_studio import PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.labels import SHAPE, annotated, block, brush
from tests.helpers.local_server import Reply
from tests.helpers.references import png

SQUARE = block(12, 16, 36, 48)
PROPOSED = "adclick-proposal-0123456789ab"


def read(*result: dict[str, Any]) -> Statement:
    return read_result(result, Vocabulary(("scratch", "dent"), ("normal",)), ())


def drawn(*result: dict[str, Any]) -> WeakLabel:
    label, problems = draw_label(read(*result), "scratch", *SHAPE, {})
    assert label is not None
    assert not problems
    return label


def changed(final: NDArray[np.bool_], before: NDArray[np.bool_]) -> dict[str, Any]:
    """A proposed region after a person changed it, as it is kept."""
    return {**brush(final, name=PROPOSED), "proposed": brush(before, name=PROPOSED)}


def test_an_accepted_proposal_is_learned_but_for_its_edge_and_nobody_painted_it() -> None:
    """Counted as painted, its edge would be certain, though nobody placed it."""
    label = drawn(brush(SQUARE, name=PROPOSED))
    assert read(brush(SQUARE, name=PROPOSED)).kinds == {"scratch": "clicked"}
    assert label.kind == "clicked"
    assert not label.certain.any()
    decided = three_valued(label.target, label.certain, 0.01)
    assert (decided[24, 32], decided[4, 4]) == (1, 0)
    undecided = decided == -1
    assert undecided.any()
    edge = SQUARE & ~np.roll(SQUARE, 1, axis=1)
    assert undecided[edge].all()
    assert undecided.sum() < 0.5 * SQUARE.sum()


def test_what_a_person_changed_of_a_proposal_is_certain_and_nothing_else() -> None:
    final = SQUARE.copy()
    final[:, 40:] = False  # erased
    final[40:46, 4:12] = True  # painted
    label = drawn(changed(final, SQUARE))
    assert label.kind == "clicked"
    assert (label.certain[43, 8], label.target[43, 8]) == (True, 1)
    assert (label.certain[24, 44], label.target[24, 44]) == (True, 0)
    assert not label.certain[24, 20]
    np.testing.assert_array_equal(label.target[label.certain] > 0, final[label.certain])
    moved = np.roll(SQUARE, 2, axis=1)  # Label Studio draws the mask anew: no hand did this
    assert not drawn(changed(moved, SQUARE)).certain.any()
    broken = {**brush(final, name=PROPOSED), "proposed": {"type": "brushlabels", "value": {"rle": "?"}}}
    assert not drawn(broken).certain.any()


def test_an_accepted_proposal_beside_a_painted_mask_leaves_that_certain() -> None:
    painted = block(40, 2, 46, 12)
    label = drawn(brush(SQUARE, name=PROPOSED), brush(painted, name="p"))
    assert label.kind == "clicked"
    np.testing.assert_array_equal(label.certain, painted)
    assert (label.target[painted] == 1).all()


def test_what_a_person_changed_of_a_proposal_is_known_after_a_look_at_label_studio(
    make_backend: Callable[..., Backend],
) -> None:
    before, after = block(4, 4, 30, 30), block(4, 4, 30, 60)
    prediction = {"model_version": "v1", "result": [brush(before, name=PROPOSED)]}
    with FakeLabelStudio() as server:
        server.tasks.append(
            {
                "id": 1,
                "project": 1,
                "data": {"image": "/data/upload/1/1.png"},
                "annotations": [annotated(1, [brush(after, name=PROPOSED)])],
                "predictions": [{"result": None}, "nonsense", prediction],
            }
        )
        server.files["/data/upload/1/1.png"] = Reply(body=png(10))
        backend = make_backend(label_studio_url=server.url, label_studio_api_key=PERSONAL_TOKEN)
        backend.services.store.projects.save("1", label_config=CONFIG, hostname=server.url)
        assert backend.sync() == ""
    assert backend.services.labels.details("1").types == {"scratch": {"clicked": 1}}
    (image,) = build_training_set("1", backend.services).images
    label = image.labels["scratch"]
    assert (label.certain[16, 50], label.target[16, 50]) == (True, 1)
    assert not label.certain[16, 10]


def test_what_is_left_of_a_proposal_is_as_it_was_or_corrected_by_hand_or_by_clicks() -> None:
    names = [f"{PREFIX}{number}" for number in range(3)]
    result = [
        {"id": names[0], "origin": "prediction"},
        {"id": names[1], "origin": "prediction-changed"},
        {"id": names[2], "origin": "manual"},
        {"id": "adclick-r1", "origin": "manual"},
        {"origin": "manual"},
    ]
    assert left_of_proposal(result, {names[2], "adclick-r1"}) == ({names[0]}, {names[1], names[2]})
    assert left_of_proposal([], ()) == (set(), set())


def test_parts_that_are_regions_of_their_own_are_learned_as_one_mask_was() -> None:
    """Even two that are so near each other that their edges meet."""
    parts = [block(4, 4, 20, 20), block(4, 22, 20, 40), block(30, 10, 44, 30)]
    together = drawn(brush(np.logical_or.reduce(parts), name=PROPOSED))
    apart = drawn(*(brush(part, name=f"{PREFIX}{number}") for number, part in enumerate(parts)))
    assert apart.kind == together.kind
    assert np.array_equal(apart.target, together.target)
    assert np.array_equal(apart.certain, together.certain)
