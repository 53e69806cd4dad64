"""Hosts that do not answer are left alone for a while (a circuit breaker), so that nobody waits for them in vain."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 2  # failures in a row after which a host is left alone
FIRST_REST_S, LONGEST_REST_S = 5.0, 60.0
_FAIR_S = 5.0  # who was given less time to answer has not failed
_TRIAL_S = 120.0  # a trial that nobody ended by then is over
_MOST = 1000  # hosts; who names ever new ones shall not fill the memory


class Patience:
    """Waits for hosts that are left alone, in a job that no person waits for, so that a restart costs it no image.

    Args:
        sleep: waits that many seconds.
        seconds: for all waits of the job together.
    """

    def __init__(self, sleep: Callable[[float], object], seconds: float = 40.0) -> None:
        self._sleep = sleep
        self._left = seconds

    def wait(self) -> bool:
        """Wait a while, then ask again; False when that was done for long enough."""
        if self._left <= 0:
            return False
        self._left -= FIRST_REST_S
        self._sleep(FIRST_REST_S)
        return True


@dataclass
class _Host:
    failures: int = 0  # in a row
    rest_s: float = 0.0  # how long it is left alone; 0 while it is not
    until: float = 0.0
    trial: float = float("-inf")  # when somebody began to try it again
    since: float = 0.0  # Unix seconds of the first failure in a row


class Breakers:
    """One circuit breaker for each host (scheme, name and port). Safe to share between threads.

    Closed: everybody may ask. After `PATIENCE` failures in a row it is open: nobody may, for `FIRST_REST_S` seconds.
    Then one may, on trial: when that fails, too, the host is left alone twice as long, up to `LONGEST_REST_S`; any
    success closes it. An HTTP status is a success, whatever it says: the host is there.

    Args:
        clock: seconds that never run backwards.
        now: Unix seconds, for sentences.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._now = now
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._lock = threading.Lock()

    def refusal(self, origin: str) -> str:
        """Why the host must not be asked now, as a sentence; "" when it may: then tell how that went."""
        with self._lock:
            host = self._hosts.get(origin)
            if host is None or not host.rest_s:
                return ""
            clock = self._clock()
            if clock >= host.until and clock - host.trial >= _TRIAL_S:
                host.trial = clock
                return ""
            since = time.strftime("%H:%M:%S", time.localtime(host.since))
            left = max(host.until - clock, 0.0)
            when = f"in {left:.0f} s" if left >= 1 else "now, and others wait for that"
            return (
                f"{origin} has not answered since {since} and is left alone for a while; it is asked again {when}. "
                "Check that it runs and can be reached from this backend."
            )

    def answered(self, origin: str) -> None:
        """The host answered, in time."""
        with self._lock:
            self._hosts.pop(origin, None)

    def rests(self, origin: str) -> bool:
        """Whether the host is left alone."""
        with self._lock:
            host = self._hosts.get(origin)
            return host is not None and bool(host.rest_s)

    def failed(self, origin: str, *, cut_after_s: float | None = None) -> None:
        """The host did not answer.

        Args:
            origin: the host.
            cut_after_s: seconds after which it was waited for no longer because whoever asked had no more time; None
                when it failed by itself.
        """
        with self._lock:
            clock = self._clock()
            if cut_after_s is not None and cut_after_s < _FAIR_S:
                if origin in self._hosts:
                    self._hosts[origin].trial = float("-inf")
                return
            host = self._hosts.pop(origin, None) or _Host(since=self._now())
            self._hosts[origin] = host
            while len(self._hosts) > _MOST:
                self._hosts.popitem(last=False)
            host.failures += 1
            on_trial = host.trial > float("-inf")
            # Calls that began before the host was left alone say nothing new.
            if on_trial or (not host.rest_s and host.failures >= PATIENCE):
                host.rest_s = min(max(FIRST_REST_S, 2 * host.rest_s), LONGEST_REST_S)
                host.until, host.trial = clock + host.rest_s, float("-inf")
