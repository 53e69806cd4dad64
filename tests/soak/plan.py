"""How long each part of the day lasts, and when its mishaps happen."""

from __future__ import annotations

from dataclasses import dataclass

ANNOTATORS = 16
SLOW_CLIENTS = 50
AFTER_KILL_S = 20.0
"""Seconds after a kill in which a refused connection is no surprise: a worker imports torch and reads its weights."""

AWAY_S = 60.0
"""Seconds after which a server that was started again has to be back; from then on what it refuses is not excused."""

# Share of the bad day at which each thing begins. Kills keep a distance, so that an error has one cause.
SLOW_CLIENTS_COME, SLOW_CLIENTS_GO = 0.02, 0.17
WORKER_KILLED, MASTER_KILLED = "worker killed", "master killed"  # names of their windows
GAP_S = 8.0  # that what comes late keeps from the thing before it
LEAST_SLOW_S = 40.0  # of a short day as well: longer than a person's patience, or nothing would be seen of it
KILLS = (("worker", 0.20), ("master", 0.28), ("training", 0.40), ("worker", 0.78), ("master", 0.88))
TRAINING, TRAINING_AGAIN = 0.36, 0.46
CLOCK_STEP = 0.54
FULL_DISK = 0.64


@dataclass(frozen=True)
class Plan:
    """A day in seconds.

    Attributes:
        settle_s: until everybody has come; nothing is measured, for the first images of a bank cost more than others.
        quiet_s: the same people at work without any mishap.
        bad_s: the bad day after it.
        mishap_s: how long the disk stays full, and how long errors are put down to the step of the clock.
    """

    settle_s: float
    quiet_s: float
    bad_s: float
    mishap_s: float

    @classmethod
    def of(cls, minutes: float) -> Plan:
        """2 minutes of quiet and a full disk of 1 minute in 30 minutes; of a shorter day as large a share, if it can.

        Raises:
            ValueError: too short for every mishap to happen once.
        """
        if minutes < 2:
            raise ValueError(
                f"{minutes:g} minutes are too short for every mishap to happen once; take 2 or more."
            )
        quiet = max(20.0, minutes * 60 / 15)
        return cls(quiet / 3, quiet, minutes * 60 - quiet, max(12.0, minutes * 60 / 30))

    def at(self, share: float) -> float:
        """Seconds of the day at a share of its bad part."""
        return self.settle_s + self.quiet_s + share * self.bad_s
