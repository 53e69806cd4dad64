"""The thread that works on references."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from adclick_backend.references.keeper import LONGEST_S, QUIET_S
from tests.helpers.backend import Backend, task
from tests.helpers.references import bank, mark, wait_for

# --- the thread


def test_the_keeper_works_in_the_background_and_goes_on_after_a_restart(
    make_backend: Callable[..., Backend],
) -> None:
    first = make_backend()
    mark(first, first.draw("a.png", grey=1), 1)
    first.services.keeper.start()
    assert wait_for(lambda: bank(first) == 1)
    first.services.keeper.stop()
    mark(first, first.draw("b.png", grey=2), 2)
    assert bank(first) == 1
    second = make_backend()
    second.services.keeper.start()
    assert wait_for(lambda: bank(second) == 2)


def test_of_two_workers_one_keeps_and_the_other_takes_over(make_backend: Callable[..., Backend]) -> None:
    first, second = make_backend(), make_backend()
    first.services.keeper.start()
    mark(first, first.draw("a.png", grey=1), 1)
    assert wait_for(lambda: bank(first) == 1)
    second.services.keeper.start()
    mark(second, second.draw("b.png", grey=2), 2)
    assert wait_for(lambda: bank(second) == 2)
    assert len(second.engine.encoded) == 0
    first.services.keeper.stop()
    mark(second, second.draw("c.png", grey=3), 3)
    assert wait_for(lambda: bank(second) == 3)
    assert len(second.engine.encoded) == 1


def test_a_new_model_version_encodes_everything_again(make_backend: Callable[..., Backend]) -> None:
    first = make_backend()
    mark(first, first.draw("a.png"))
    first.work()
    (first.images / "a.png").unlink()  # the kept copy serves
    second = make_backend()
    second.engine.version = "fake-2"
    second.services.keeper.start()
    assert wait_for(lambda: len(second.engine.encoded) == 1)
    assert wait_for(lambda: bank(second) == 1)


def test_the_keeper_gives_way_to_a_click(backend: Backend) -> None:
    with backend.services.traffic:
        started = time.perf_counter()
        backend.services.traffic.give_way(0.2)
        assert time.perf_counter() - started >= 0.2
    started = time.perf_counter()
    backend.services.traffic.give_way(5)
    assert time.perf_counter() - started < 1


@pytest.fixture
def looked(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images that were measured; there is always one more."""
    images: list[int] = []

    def measure() -> bool:
        images.append(1)
        return True

    monkeypatch.setattr(backend.services.keeper, "_measure", measure)
    return images


def test_nothing_is_measured_while_somebody_clicks_or_opens_tasks(
    backend: Backend, looked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, traffic = backend.services.keeper, backend.services.traffic
    assert keeper.step() and len(looked) == 1, "nobody has asked for anything yet"
    assert backend.open_tasks([task(backend.draw("a.png"))]).status_code == 200
    keeper.step()
    assert not traffic.is_quiet(QUIET_S) and len(looked) == 1
    monkeypatch.setattr(traffic, "_asked", time.monotonic() - QUIET_S)
    assert keeper.step() and len(looked) == 2
    with traffic:
        assert not traffic.is_quiet(0.0)
    assert traffic.is_quiet(0.0)
    keeper.step()
    assert len(looked) == 2


def test_where_somebody_always_asks_an_image_is_measured_now_and_then(
    backend: Backend, looked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = backend.services.keeper
    backend.services.traffic.opened()
    monkeypatch.setattr(keeper, "_measured", time.monotonic() - LONGEST_S)
    assert keeper.step() and len(looked) == 1
    keeper.step()
    assert len(looked) == 1
