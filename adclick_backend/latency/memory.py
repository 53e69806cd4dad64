"""Memory of processes, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _status(folder)
        if str(pid) in (folder.name, fields.get("PPid")):
            total += _mb(fields, "VmRSS")
    return total


def peak_mb(pid: int) -> float:
    """The most resident memory that a process ever had, in MB; 0 when it is gone."""
    return _mb(_status(Path(f"/proc/{pid}")), "VmHWM")


def _status(folder: Path) -> dict[str, str]:
    """What the kernel says of a process; nothing when it has ended."""
    try:
        lines = (folder / "status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _mb(fields: dict[str, str], name: str) -> float:
    return int(fields.get(name, "0").split()[0]) / 1000
