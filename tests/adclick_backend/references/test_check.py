"""Which reference does not look like the others."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest

from adclick_backend.engine.bank import ImageKey
from adclick_backend.references.check import GROUP, ODD, BankCheck, groups, robust_z_scores
from adclick_backend.store import Reference, Store
from tests.helpers.backend import Backend
from tests.helpers.fake_engine import BROKEN, FakeEngine

# --- the odd one out


def test_robust_z_scores_single_out_the_odd_one() -> None:
    """Reliability row 21: contaminated bank."""
    residuals = {f"{number}": 1.0 + 0.05 * (number % 4) for number in range(9)} | {"odd": 3.0}
    scores = robust_z_scores(residuals)
    assert max(scores, key=lambda name: scores[name]) == "odd"
    assert scores["odd"] > 3.5
    assert all(abs(score) < 3.5 for name, score in scores.items() if name != "odd")
    assert max(map(abs, robust_z_scores({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.001}).values())) < 3.5
    assert robust_z_scores({}) == {}


@pytest.mark.parametrize("count", [0, 3, 4, GROUP, GROUP + 1, 1000])
def test_groups_cover_a_bank_and_stay_small(count: int) -> None:
    shas = [f"{random.Random(number).getrandbits(256):064x}" for number in range(count)]
    parts = groups(shas)
    assert sorted(itertools.chain(*parts)) == (sorted(shas) if count >= 4 else [])
    assert all(len(part) <= 1.5 * GROUP for part in parts)
    changed = [part for part in groups(shas[1:]) if part not in parts]
    assert len(changed) <= 1


def add_ready(store: Store, engine: FakeEngine, greys: list[int], project: str = "1") -> list[Reference]:
    rows = []
    for number, grey in enumerate(greys):
        sha = f"{number:08x}" + f"{grey:056x}"
        row = store.references.add(
            project, product="", sha=sha, source="folder", name=f"{grey}", file=f"{sha}.png"
        )
        store.references.settle(row, "ready", model_version="1")
        engine.encode_reference(ImageKey(project, sha), np.full((2, 2, 3), grey, np.uint8))
        rows.append(row)
    return rows


def test_the_odd_one_out_is_found_and_kept(backend: Backend) -> None:
    """Reliability row 21: contaminated."""
    store, engine = backend.services.store, backend.engine
    add_ready(store, engine, [90, 91, 92, 93, 250])
    check = BankCheck(store, engine, settle_s=0)  # type: ignore[arg-type]
    paused: list[int] = []
    assert check.step(lambda: paused.append(1))
    assert len(paused) >= 5
    odd = [row.name for row in store.references.of_project("1") if (row.oddness or 0) > 3.5]
    assert odd == ["250"]
    assert not check.step(lambda: None)
    assert not BankCheck(store, engine, settle_s=0).step(lambda: None)  # type: ignore[arg-type]


def flagged(backend: Backend) -> list[str]:
    return [row.name for row in backend.services.store.references.of_project("1") if (row.oddness or 0) > ODD]


def test_a_part_that_lies_another_way_is_no_odd_one_where_parts_lie_any_way(backend: Backend) -> None:
    store, engine = backend.services.store, backend.engine
    add_ready(store, engine, [90, 91, 92, 93, 200, 250])
    engine.when_turned = {90.0: 10.0, 91.0: 10.0, 200.0: 11.0, 250.0: 60.0}
    assert BankCheck(store, engine, settle_s=0).step(lambda: None)  # type: ignore[arg-type]
    assert flagged(backend) == ["250"]  # a defect stays one, whichever way it lies


def test_where_parts_lie_one_way_the_turned_one_is_odd(backend: Backend) -> None:
    store, engine = backend.services.store, backend.engine
    add_ready(store, engine, [90, 91, 92, 93, 200])
    engine.when_turned = {200.0: 10.0}  # turned, no ordinary one looks like the others
    assert BankCheck(store, engine, settle_s=0).step(lambda: None)  # type: ignore[arg-type]
    assert flagged(backend) == ["200"]


def test_nothing_is_turned_where_nothing_is_odd(backend: Backend) -> None:
    add_ready(backend.services.store, backend.engine, [90, 91, 92, 93])
    assert BankCheck(backend.services.store, backend.engine, settle_s=0).step(lambda: None)  # type: ignore[arg-type]
    assert backend.engine.turned == []


def test_a_changed_bank_is_checked_again_once_it_is_left_alone(backend: Backend) -> None:
    store, engine = backend.services.store, backend.engine
    rows = add_ready(store, engine, [90, 91, 92, 250, 93])
    patient = BankCheck(store, engine, settle_s=0.3)  # type: ignore[arg-type]
    assert not patient.step(lambda: None)
    time.sleep(0.35)
    assert patient.step(lambda: None)
    store.references.remove("1", rows[3].id)
    assert not patient.step(lambda: None)
    time.sleep(0.35)
    assert patient.step(lambda: None)


def test_a_bank_of_three_is_not_judged(backend: Backend) -> None:
    add_ready(backend.services.store, backend.engine, [90, 91, 250])
    check = BankCheck(backend.services.store, backend.engine, settle_s=0)  # type: ignore[arg-type]
    assert not check.step(lambda: None)


def test_a_check_that_fails_is_not_repeated_for_ever(backend: Backend) -> None:
    add_ready(backend.services.store, backend.engine, [90, 91, 92, 250])
    backend.engine.error = BROKEN
    check = BankCheck(backend.services.store, backend.engine, settle_s=0)  # type: ignore[arg-type]
    assert check.step(lambda: None)
    assert not check.step(lambda: None)
