from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from model.checkpoint.ranges import (
    BELOW_ONE,
    COUNT,
    NONE_OR_MORE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    Range,
    check,
    check_changes,
    check_names,
)


@dataclass(frozen=True)
class Oven:
    trays: int = 1
    heat: tuple[float, ...] = (0.5,)

    def __post_init__(self) -> None:
        check(self, {"trays": COUNT, "heat": SHARE})


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (COUNT, [1, 10**9], [0, -1]),
        (NONE_OR_MORE, [0, 1], [-1]),
        (SEED, [0, 2**31], [-1]),
        (SHARE, [0, 0.0, 0.5, 1, 1.0], [-1e-9, 1 + 1e-9, math.inf, math.nan]),
        (BELOW_ONE, [0.0, 0.999], [-1e-9, 1.0, math.nan]),
        (POSITIVE, [1e-9, 5, 1e9], [0, 0.0, -1, math.inf, math.nan]),
        (NOT_NEGATIVE, [0.0, 1e9], [-1e-9, math.inf, math.nan]),
    ],
)
def test_a_range_ends_where_it_says(allowed: Range, inside: list[float], outside: list[float]) -> None:
    assert [allowed.refusal(number) for number in inside] == [None] * len(inside)
    for number in outside:
        assert f"{allowed.refusal(number)}".startswith(f"{number:g} is ")


@pytest.mark.parametrize("value", ["3", None, True, 1.5, [1]])
def test_what_is_no_whole_number_is_called_that(value: object) -> None:
    assert COUNT.refusal(value) == f"{value!r} is no whole number"


def test_a_setting_is_refused_in_a_sentence_that_names_it_its_value_and_the_range() -> None:
    with pytest.raises(ValueError, match=r"^Oven\.trays: 0 is too few, it takes at least 1\.$"):
        Oven(trays=0)
    with pytest.raises(ValueError, match=r"^Oven\.heat: 1\.5 is no share, which goes from 0 to 1\.$"):
        Oven(heat=(0.2, 1.5))


def test_names_and_changes_are_compared_with_what_there_is() -> None:
    check_names(Oven(), "trays", ["a"], ("a", "b"))
    with pytest.raises(ValueError, match=r"^Oven\.trays: there is no 'c'; there are: a, b\.$"):
        check_names(Oven(), "trays", ["a", "c"], ("a", "b"))
    check_changes(Oven(), "heat", (("trays", 2),), Oven)
    with pytest.raises(ValueError, match="there is no 'light'; there are: trays, heat"):
        check_changes(Oven(), "heat", (("light", 2),), Oven)
    with pytest.raises(ValueError, match=r"Oven\.trays: -2 is too few"):
        check_changes(Oven(), "heat", (("trays", -2),), Oven)
