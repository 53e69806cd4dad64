"""Bodies that come compressed: unpacked as the header says, within the limit, or refused in words."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import pytest

from adclick_backend.downloads.fetch import Fetcher, FetchError
from tests.helpers.local_server import LocalServer, Reply

BODY = bytes(range(256)) * 500


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def fetched(body: bytes, encoding: str, max_bytes: int = 1_000_000) -> bytes:
    reply = Reply(body=body, headers={"Content-Encoding": encoding})
    fetcher = Fetcher(["127.0.0.1"], max_bytes=max_bytes, connect_timeout_s=2.0, timeout_s=20.0)
    with LocalServer(lambda request: reply) as server:
        return fetcher.fetch(f"{server.url}/a.png")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), "X-GZip"),
        (gzip.compress(BODY) + b"bytes behind the end", "gzip"),
        (zlib.compress(BODY), "deflate"),
        (raw_deflate(BODY), "deflate"),
        (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),
        (BODY, "identity"),
        (BODY, ""),
        (BODY, "aws-chunked"),
        (BODY, "utf-8"),
    ],
)
def test_a_compressed_body_is_unpacked(body: bytes, encoding: str) -> None:
    """As browsers do: /predict sees the image, not the archive around it."""
    assert fetched(body, encoding) == BODY


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (BODY, "br", "came with the Content-Encoding 'br', which was not asked for"),
        (BODY, "gzip", "came with the Content-Encoding 'gzip', but is not compressed that way"),
        (gzip.compress(BODY)[:-40], "gzip", "ended before its Content-Encoding 'gzip' did"),
    ],
)
def test_what_cannot_be_unpacked_is_said(body: bytes, encoding: str, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        fetched(body, encoding)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_given_up_at_the_limit(layers: int) -> None:
    """reliability row 5: 100 MB of zeros in 100 kB, or in a few hundred bytes, take neither memory nor time."""
    body = bytes(100_000_000)
    for _ in range(layers):
        body = gzip.compress(body, 9)
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(FetchError, match="larger than 1 MB"):
        fetched(body, ", ".join(["gzip"] * layers))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert time.perf_counter() - started < 5
