"""The number format in which networks compute and places are matched: what was asked for, or what the hardware has.

It never depends on how quick anything was: two processes, or two days, would compute differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Name = Literal["float32", "bfloat16", "float16"]
Asked = Literal["auto", "float32", "bfloat16"]

AUTO: Asked = "auto"

CHOICES: tuple[Asked, ...] = (AUTO, "float32", "bfloat16")
"""What may be asked for. ``auto`` is bfloat16 on processors that multiply it faster than float32, and float32 on
others; on a graphics card float16 for matching and bfloat16 for the networks."""

BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16", "asimdbf16")
"""Flags of processors, x86 and ARM, that multiply bfloat16 in hardware. With AVX-512 alone it is emulated, many times
slower than float32."""

NO_FASTER = {"GenuineIntel": ("avx512_bf16",)}
"""Flags that do not count with some vendors. Intel's AVX-512 multiplies as many numbers a cycle in bfloat16 as in
float32, and converting them costs: without AMX, which virtual machines often hide, networks take 1.5 times as long."""

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class NumberFormat:
    """A number format, and why it was chosen.

    Attributes:
        name: in which places are matched; the residual itself is always float32.
        sentence: for the log.
        slow: whether this hardware only emulates it.
    """

    name: Name
    sentence: str
    slow: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Torch's name for it."""
        import torch

        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.name]

    def autocast(self, device: torch.device) -> torch.autocast:
        """In which networks run: float32, or bfloat16 where it is safe."""
        import torch

        return torch.autocast(device.type, torch.bfloat16, enabled=self.name != "float32")


def number_format(asked: str = AUTO, device: str = "cpu") -> NumberFormat:
    """The format in which a device computes.

    Args:
        asked: one of `CHOICES`.
        device: such as ``cpu`` or ``cuda:1``.

    Raises:
        ValueError: it is none of them.
    """
    wanted = checked(asked)
    if device.partition(":")[0] != "cpu":
        if wanted == "auto":
            return NumberFormat("float16", f"Matching in float16 and computing in bfloat16 on {device}.")
        return NumberFormat(wanted, f"Computing in {wanted} on {device}, as asked for.")
    if wanted == "float32":
        return NumberFormat(wanted, "Computing in float32, as asked for.")
    if flag := bfloat16_flag(_processor()):
        return NumberFormat(
            "bfloat16", f"Computing in bfloat16, with which this processor is faster ({flag})."
        )
    if wanted == "bfloat16":
        return NumberFormat(
            wanted,
            "Computing in bfloat16, as asked for, which is slow here: this processor does not say that it is any "
            "faster with it. It is quicker with the number format auto, or float32.",
            slow=True,
        )
    return NumberFormat(
        "float32",
        "Computing in float32, because this processor does not say that it is faster with bfloat16.",
    )


def checked(asked: str) -> Asked:
    """The same, if it may be asked for.

    Raises:
        ValueError: it may not.
    """
    for choice in CHOICES:
        if asked == choice:
            return choice
    raise ValueError(f"There is no number format {asked!r}; there are: {', '.join(CHOICES)}.")


def bfloat16_flag(cpuinfo: str) -> str | None:
    """The first of `BFLOAT16_FLAGS` that all processors of a ``/proc/cpuinfo`` have and gain by; None without one."""
    listed = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    common = set.intersection(*(set(line.split()) for line in listed)) if listed else set()
    for vendor in re.findall(r"^vendor_id\s*:\s*(\S+)", cpuinfo, re.MULTILINE):
        common -= set(NO_FASTER.get(vendor, ()))
    return next((flag for flag in BFLOAT16_FLAGS if flag in common), None)


def _processor() -> str:
    """What the system says of the processor; nothing on systems other than Linux."""
    try:
        return CPUINFO.read_text("utf-8", "replace")
    except OSError:
        return ""
