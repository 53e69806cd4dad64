"""Look for known vulnerabilities in what the locks pin, in the database of OSV (https://osv.dev).

Not in PyPI's own, which pip-audit asks otherwise: with a mirror that lacks it, every package looks like one without
fault. For the same reason OSV is first asked for a release with known vulnerabilities. Where it does not answer, as on
a machine that reaches package registries only, one line says so and nothing fails.

A finding that does not concern us is written into accepted_vulnerabilities.txt, with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import requests

OSV = os.environ.get("OSV_URL", "https://api.osv.dev/v1/query")
VULNERABLE = {"package": {"name": "requests", "ecosystem": "PyPI"}, "version": "2.19.0"}
HERE = Path(__file__).parent


def answers() -> bool:
    """Whether OSV can be reached, and knows what it has known for years."""
    try:
        reply = requests.post(OSV, json=VULNERABLE, timeout=15)
        return reply.ok and bool(reply.json().get("vulns"))
    except requests.RequestException:
        return False


def pins(locks: Iterable[Path]) -> list[str]:
    """Every ``name==version`` once, without the name of a build (+cpu), which OSV does not know."""
    return sorted({pin for lock in locks for pin in re.findall(r"(?m)^[\w.-]+==[^+\s]+", lock.read_text())})


def accepted(text: str) -> list[str]:
    """The identifiers in lines of ``IDENTIFIER reason``; # begins a comment."""
    lines = [
        line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
    for words in lines:
        if len(words) < 2:
            raise SystemExit(f"accepted_vulnerabilities.txt gives no reason for {words[0]}.")
    return [identifier for identifier, _ in lines]


def main(arguments: Sequence[str]) -> int:
    """Audit the lock files that are named, or all; 1: something was found."""
    ignored = accepted((HERE / "accepted_vulnerabilities.txt").read_text("utf-8"))
    audited = pins(map(Path, arguments) if arguments else (HERE.parent / "locks").glob("*.txt"))
    if not answers():
        print(f"Not looked for known vulnerabilities: {OSV} cannot be reached.")
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(audited))
        file.flush()
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--requirement",
            file.name,
            "--no-deps",
            "--disable-pip",
        ]
        command += [
            "--strict",
            "--progress-spinner",
            "off",
            "--vulnerability-service",
            "osv",
            "--osv-url",
            OSV,
        ]
        return subprocess.run(  # noqa: S603 - the command is ours
            [*command, *(f"--ignore-vuln={identifier}" for identifier in ignored)], check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
