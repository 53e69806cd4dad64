"""s3fs with an end to every call: by itself it waits for ever for a store that takes a connection and says nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from s3fs import S3FileSystem

CALL_S = 15.0
"""Seconds that a call may take, all tries together; what is sent along gets more."""

SLOWEST = 1 << 20
"""Bytes a second that a line has to carry at least."""


class BoundedS3(S3FileSystem):  # type: ignore[misc]
    """An S3 file system whose calls end in a `TimeoutError` when they take too long."""

    cachable = False

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        body = kwargs.get("Body")
        sent = len(body) if isinstance(body, (bytes, bytearray, memoryview)) else 0
        call = super()._call_s3(method, *akwarglist, **kwargs)
        return await asyncio.wait_for(call, CALL_S + sent / SLOWEST)
