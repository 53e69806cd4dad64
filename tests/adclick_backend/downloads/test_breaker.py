"""Which hosts are left alone, for how long, and what is said meanwhile; no test waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from adclick_backend.downloads.breaker import FIRST_REST_S, LONGEST_REST_S, Breakers
from adclick_backend.downloads.fetch import Fetcher, FetchError
from tests.helpers.clock import Clock
from tests.helpers.local_server import LocalServer, Reply

STORE, OTHER = "http://store:9000", "https://store:9000"


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(clock, now=lambda: 0.0)


def fail(breakers: Breakers, times: int = 2) -> None:
    for _ in range(times):
        breakers.failed(STORE)


def test_two_failures_in_a_row_and_the_host_is_left_alone(breakers: Breakers) -> None:
    """Reliability row 29."""
    fail(breakers, 1)
    assert breakers.refusal(STORE) == ""
    fail(breakers, 1)
    refusal = breakers.refusal(STORE)
    assert refusal.startswith(f"{STORE} has not answered since ")
    assert "it is asked again in 5 s. Check that it runs" in refusal
    assert breakers.refusal(OTHER) == ""


def test_a_success_in_between_counts(breakers: Breakers) -> None:
    for _ in range(5):
        fail(breakers, 1)
        breakers.answered(STORE)
    assert breakers.refusal(STORE) == ""


def test_one_tries_again_and_the_others_wait_for_that(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.now += FIRST_REST_S
    assert breakers.refusal(STORE) == ""
    assert "asked again now, and others wait for that" in breakers.refusal(STORE)
    breakers.answered(STORE)
    assert breakers.refusal(STORE) == breakers.refusal(STORE) == ""


def test_the_rest_grows_to_a_limit_with_each_trial_that_fails(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    rests = []
    for _ in range(6):
        start = clock.now
        while breakers.refusal(STORE):
            clock.now += 1.0
        rests.append(clock.now - start)
        fail(breakers, 1)
    assert rests == [FIRST_REST_S, 10.0, 20.0, 40.0, LONGEST_REST_S, LONGEST_REST_S]


def test_calls_that_began_before_do_not_make_the_rest_longer(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 64)
    clock.now += FIRST_REST_S
    assert breakers.refusal(STORE) == ""


def test_a_host_that_was_given_no_time_has_not_failed(breakers: Breakers) -> None:
    for _ in range(5):
        breakers.failed(STORE, cut_after_s=0.5)
    assert breakers.refusal(STORE) == ""
    for _ in range(2):
        breakers.failed(STORE, cut_after_s=30.0)
    assert breakers.refusal(STORE)


def test_a_trial_without_time_lets_somebody_else_try(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.now += FIRST_REST_S
    assert breakers.refusal(STORE) == ""
    breakers.failed(STORE, cut_after_s=0.5)
    assert breakers.refusal(STORE) == ""


def test_a_trial_that_nobody_ended_is_not_waited_for_for_ever(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.now += FIRST_REST_S
    assert breakers.refusal(STORE) == ""
    clock.now += 121.0
    assert breakers.refusal(STORE) == ""


def test_ever_new_hosts_do_not_fill_the_memory(breakers: Breakers) -> None:
    for number in range(3000):
        breakers.failed(f"http://{number}.example")
    assert len(breakers._hosts) <= 1000


def test_only_one_of_many_threads_tries(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.now += FIRST_REST_S
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(breakers.refusal(STORE))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("") == 1


# --- as downloads use it


def fetch(url: str, breakers: Breakers, max_bytes: int = 1000) -> bytes:
    fetcher = Fetcher(
        ["127.0.0.1"], max_bytes=max_bytes, connect_timeout_s=2.0, timeout_s=0.3, breakers=breakers
    )
    return fetcher.fetch(url)


def test_a_server_that_is_gone_is_not_asked_a_third_time(breakers: Breakers, clock: Clock) -> None:
    """Reliability row 29: and it is found when it is back."""
    with LocalServer(lambda request: Reply(body=b"image")) as server:
        url = server.url
        assert fetch(url, breakers) == b"image"
        breakers.failed(url)
        breakers.failed(url)
        with pytest.raises(FetchError, match="has not answered since") as caught:
            fetch(url, breakers)
        assert caught.value.passing
        assert len(server.requests) == 1
        clock.now += FIRST_REST_S
        assert fetch(url, breakers) == fetch(url, breakers) == b"image"


def test_a_dripping_server_is_left_alone(breakers: Breakers) -> None:
    """Reliability row 29: a byte now and then is no answer."""

    def drip() -> Iterator[bytes]:
        while not over.wait(0.05):
            yield b"x"

    over = threading.Event()
    with LocalServer(lambda request: Reply(body=drip())) as server:
        for _ in range(2):
            with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
                fetch(server.url, breakers)
        over.set()
        with pytest.raises(FetchError, match="has not answered since"):
            fetch(server.url, breakers)


def test_a_large_image_on_a_slow_line_is_no_failure_of_its_server(breakers: Breakers) -> None:
    def slowly() -> Iterator[bytes]:
        while not over.wait(0.05):
            yield b"x" * 50_000

    over = threading.Event()
    with LocalServer(lambda request: Reply(body=slowly())) as server:
        for _ in range(3):
            with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
                fetch(server.url, breakers, max_bytes=10**9)
        over.set()


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_a_refusal_is_an_answer(status: int, breakers: Breakers) -> None:
    with LocalServer(lambda request: Reply(status)) as server:
        for _ in range(4):
            with pytest.raises(FetchError, match=f"answered {status}"):
                fetch(server.url, breakers)
