"""For a Python behind libfaketime: up to 0.9.10 ``time.sleep`` of Python 3.11 and later fails there with EINVAL.

That sleep waits for a time of the monotonic clock, which libfaketime takes for one of the faked clock. Waiting for no
file takes as long and asks for no clock.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep  # type: ignore[assignment]
