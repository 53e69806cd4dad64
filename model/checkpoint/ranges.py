"""The ranges of what a manifest records of a network and its training: sizes and settings.

A ``Range`` says in words what is wrong with a number. The dataclasses of settings ask it when they are made, and the
arguments of the command line that become such settings ask the same one (:mod:`model.commands.arguments`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, NamedTuple


class Range(NamedTuple):
    """Numbers that a setting may have.

    Attributes:
        holds: whether a number is one of them.
        otherwise: what is said of a number that is not, with the range.
        whole: whether only whole numbers are.
    """

    holds: Callable[[float], bool]
    otherwise: str
    whole: bool = False

    def refusal(self, value: object) -> str | None:
        """What is wrong with a value, beginning with the value itself; None when nothing is."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return f"{value!r} is no {'whole number' if self.whole else 'number'}"
        number = float(value)
        return None if self.holds(number) else f"{value if self.whole else f'{number:g}'} {self.otherwise}"


COUNT = Range(lambda n: n >= 1, "is too few, it takes at least 1", whole=True)
NONE_OR_MORE = Range(lambda n: n >= 0, "is too few, it takes at least 0", whole=True)
SEED = Range(lambda n: n >= 0, "is no seed, which is a whole number from 0 on", whole=True)
SHARE = Range(lambda n: 0 <= n <= 1, "is no share, which goes from 0 to 1")
BELOW_ONE = Range(lambda n: 0 <= n < 1, "is out of range, it takes at least 0 and less than 1")
POSITIVE = Range(lambda n: 0 < n < math.inf, "is out of range, it takes a number above 0")
NOT_NEGATIVE = Range(lambda n: 0 <= n < math.inf, "is out of range, it takes at least 0")


def refused(settings: object, name: str, why: str) -> ValueError:
    """The error for the field ``name`` of ``settings``; ``why`` tells the value and what is allowed."""
    return ValueError(f"{type(settings).__name__}.{name}: {why}.")


def check(settings: object, ranges: Mapping[str, Range]) -> None:
    """See that the named fields of ``settings`` lie in their ranges; of a field with several numbers each has to.

    Raises:
        ValueError: one does not; the message names it, its value and what is allowed.
    """
    for name, allowed in ranges.items():
        value = getattr(settings, name)
        for number in value if isinstance(value, tuple) else (value,):
            check_value(settings, name, number, allowed)


def check_value(settings: object, name: str, value: object, allowed: Range) -> None:
    """See that one number of the field ``name`` lies in a range.

    Raises:
        ValueError: it does not.
    """
    if (why := allowed.refusal(value)) is not None:
        raise refused(settings, name, why)


def check_names(settings: object, name: str, found: Collection[str], there: Collection[str]) -> None:
    """See that the field ``name`` speaks only of what there is.

    Raises:
        ValueError: it does not; the message lists what there is.
    """
    for unknown in (one for one in found if one not in there):
        raise refused(settings, name, f"there is no {unknown!r}; there are: {', '.join(there)}")


def check_changes(settings: object, name: str, changes: Sequence[tuple[str, Any]], of: type) -> None:
    """See that the field ``name`` holds settings, by name, that the dataclass ``of`` can be made with.

    Raises:
        ValueError: a name or a value is none of its.
    """
    check_names(settings, name, [one for one, _ in changes], [f.name for f in fields(of)])
    of(**dict(changes))
