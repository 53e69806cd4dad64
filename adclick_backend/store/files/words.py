"""What goes wrong with an object store, in words that say what to do; no name of a key is ever said."""

from __future__ import annotations

import errno
import re

from adclick_backend.errors import FilesError

_FULL = re.compile(
    r"storage\s?full|quota|insufficient\s?storage|minimum free drive|no space left|EntityTooLarge", re.I
)
_NO_BUCKET = re.compile(r"NoSuchBucket|bucket does not exist|InvalidBucketName", re.I)
_REFUSED = re.compile(
    r"AccessDenied|access denied|forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|not authorized|"
    r"RequestTimeTooSkewed|access key|signature we calculated",
    re.I,
)
_CLIENTS = ("botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec", "asyncio")


def trouble(error: Exception, shown: str) -> FilesError | None:
    """What an error of the store's client means; None when it says nothing about the store.

    Args:
        error: as it was raised.
        shown: what a person knows the store by.
    """
    said = _said(error)
    if _NO_BUCKET.search(said):
        return FilesError(
            f"There is no bucket for {shown}. Create it, or set ADCLICK_FILES_URL, and AWS_ENDPOINT_URL when it is not "
            "Amazon's, to one that is there."
        )
    if _FULL.search(said) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        if isinstance(error, OSError) and error.filename:  # a file of this machine
            return None
        return FilesError(f"The object store {shown} is full: make room in it.")
    if "NoCredentials" in type(error).__name__ or "credentials" in said:
        return FilesError(
            f"The object store {shown} was not asked, because no account is known: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        )
    if isinstance(error, PermissionError) or _REFUSED.search(said):
        return FilesError(
            f"The object store {shown} refuses the account of this backend: see to it that its key is right, may read, "
            "write, list and delete there, and that the clock of this machine is right."
        )
    if isinstance(error, FileNotFoundError):
        return None
    if is_away(error):
        return FilesError(
            f"The object store {shown} cannot be reached ({type(error).__name__}): see whether it runs, and whether "
            "AWS_ENDPOINT_URL is its address. It is tried again by itself."
        )
    return None


def is_away(error: BaseException) -> bool:
    """Whether the store did not answer, or answered that it cannot now."""
    if isinstance(error, FileNotFoundError):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    from_client = type(error).__module__.partition(".")[0] in _CLIENTS
    return from_client or (
        isinstance(error, OSError) and not error.filename and error.errno in (None, errno.EIO, errno.EBUSY)
    )


def _said(error: BaseException) -> str:
    """The words of an error and of those that led to it."""
    words: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(words) < 5:
        words.append(f"{type(seen).__name__}: {seen}")
        seen = seen.__cause__ or seen.__context__
    return " ".join(words)
