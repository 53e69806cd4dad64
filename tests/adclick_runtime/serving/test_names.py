"""The names that a server is asked for by."""

from __future__ import annotations

import socket

import pytest

from adclick_runtime.errors import ApiError
from adclick_runtime.serving.names import ServedNames


@pytest.mark.parametrize(
    "host",
    ["localhost:9090", "127.0.0.1", "[::1]:9090", "10.1.2.3:9090", "adclick:9090", "host.docker.internal",
     "station7.local", socket.gethostname(), "labels.example.com", "a.cdn.example.org:80"],
)  # fmt: skip
def test_the_names_it_is_asked_for_by(host: str) -> None:
    ServedNames(("labels.example.com", "*.example.org")).check(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:9090", "10.1.2.3.nip.io", "example.org"]
)
def test_a_name_that_a_stranger_can_register_is_refused(host: str) -> None:
    with pytest.raises(ApiError, match=rf"ADCLICK_SERVED_AS={host.partition(':')[0]}") as caught:
        ServedNames(("*.example.org",)).check(host)
    assert caught.value.status == 421


@pytest.mark.parametrize("host", ["", ":80", "a b", "u@localhost", "localhost/x", "localhost:x"])
def test_what_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(ApiError, match="is no name"):
        ServedNames().check(host)
