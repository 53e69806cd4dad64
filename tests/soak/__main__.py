"""A bad day, played to a real server.

    python -m tests.soak --minutes 30 --out DIR

Starts ``adclick serve`` in an empty data folder, with a password, and plays Label Studio and sixteen annotators to it:
first in quiet, then with image hosts that never answer, slow clients, a training, kills, a full disk and a step of the
clock. Writes ``soak.json``, ``soak.md``, ``soak.svg``, the server's log and its database to DIR. The exit status is 1
when labels were lost, a mask was that of another image, the server ended by itself, a secret is in a log, or a click
failed that no kill, full disk or step of the clock explains.

The full disk needs root and the step of the clock needs libfaketime; without them they are left out, in words.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.soak.day import Day
from tests.soak.plan import ANNOTATORS, Plan


def main() -> int:
    """Play it and say what came of it; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the day, 2 or more")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the report; empty or not there yet"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of the server")
    parser.add_argument(
        "--annotators", type=int, default=ANNOTATORS, help="people; fewer suit a small machine"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is mounted and started is put away
    try:
        plan = Plan.of(args.minutes)
    except ValueError as error:
        parser.error(str(error))
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        parser.error(f"{out} is not empty.")
    failures = Day(plan, out, args.workers, args.annotators).play().failures
    print("\n".join(failures or ["A good day."]))
    print(f"Report: {out / 'soak.md'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
