"""Passwords and how often they may be tried, as the backend and the detector's server share them."""

from __future__ import annotations

import base64

import pytest

from adclick_runtime.serving.attempts import FREE, Attempts
from adclick_runtime.serving.auth import BasicAuth, listen_on


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(("user", "password"), [("u", ""), ("", "p"), ("ü", "日本")])
def test_half_a_password_is_a_password(user: str, password: str) -> None:
    auth = BasicAuth(user, password)
    assert not auth.allows(None)
    assert not auth.allows("Basic " + base64.b64encode(b":").decode())
    assert not auth.allows(basic(user or "x", "??"))
    assert auth.allows(basic(user, password))


def test_addresses_are_forgotten() -> None:
    attempts = Attempts(lambda: 0.0)
    for number in range(30_000):
        attempts.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", right=False)
    assert len(attempts._clients) <= 10_000


def test_the_addresses_of_one_ipv6_client_are_one() -> None:
    attempts = Attempts(lambda: 0.0)
    waits = [attempts.take(f"2001:db8::{number:x}", right=False) for number in range(FREE + 1)]
    assert waits == [0] * FREE + [1]
    assert attempts.take("2001:db8:0:1::1", right=False) == 0


def test_without_a_password_only_this_machine_is_listened_to() -> None:
    """reliability row 34."""
    assert [listen_on("", needs_password=wanted) for wanted in (False, True)] == ["127.0.0.1", "0.0.0.0"]
    assert listen_on("10.0.0.5", needs_password=False) == "10.0.0.5"
