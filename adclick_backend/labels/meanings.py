"""What a choice says about defects: that there are none, that there are some, or nothing.

A choice counts when its control is known to speak of defects. It does when it offers a word for "free of defects" and
beside it a plain opposite or the name of a defect type (``OK`` and ``NG``; ``good``, ``scratch``, ``dent``), when it
offers nothing but such words, or when a person has said what its values mean. ``good`` beside ``blurred`` speaks of
something else, and means nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from adclick_backend.config.statement_controls import StatementControl

Meaning = Literal["normal", "defective", "nothing"]

Meanings = Mapping[str, Mapping[str, Meaning]]
"""Name of a control -> value as it is stored -> its meaning; what is missing means nothing."""

_DEFECTIVE = frozenset(
    {"defective", "defect", "defects", "with defect", "has defect", "faulty", "bad", "ng", "nok"}
)
_NEGATIONS = ("not ", "no ", "non ", "ab", "un", "in", "n", "n.")


def simplified(word: str) -> str:
    """A word without case, surrounding space and the difference between space, hyphen and underscore."""
    return re.sub(r"[\s_-]+", " ", word).strip().lower()


def is_normal_word(word: str, normal: Collection[str]) -> bool:
    """Whether the word calls an image free of defects."""
    return simplified(word) in {simplified(each) for each in normal}


def is_defective_word(word: str, normal: Collection[str]) -> bool:
    """Whether the word is the plain opposite of one that calls an image free of defects."""
    plain = simplified(word)
    opposites = {negation + simplified(each) for each in normal for negation in _NEGATIONS}
    return plain in _DEFECTIVE | opposites and not is_normal_word(word, normal)


def read_meanings(
    controls: Sequence[StatementControl],
    types: Collection[str],
    normal: Collection[str],
    assigned: Meanings,
) -> dict[str, dict[str, Meaning]]:
    """What the values of a project's controls mean.

    Args:
        controls: of the labeling config.
        types: defect types, in lower case.
        normal: words that call an image free of defects.
        assigned: what a person said; it counts before anything else.
    """
    found: dict[str, dict[str, Meaning]] = {}
    for control in controls:
        if control.name in assigned:
            found[control.name] = {
                value: assigned[control.name].get(value, "nothing") for value in control.values
            }
        elif _speaks_of_defects(control, types, normal, alone=len(controls) == 1):
            found[control.name] = {
                value: "normal"
                if is_normal_word(value, normal)
                else "defective"
                if is_defective_word(value, normal)
                else "nothing"
                for value in control.values
            }
    return found


def unclear(controls: Sequence[StatementControl], meanings: Meanings) -> list[StatementControl]:
    """The controls of which a person has to say what they mean."""
    return [control for control in controls if control.name not in meanings]


def _speaks_of_defects(
    control: StatementControl, types: Collection[str], normal: Collection[str], *, alone: bool
) -> bool:
    """Whether the words of a control leave no doubt; ``alone``: it is the only one about the image."""
    good = [value for value in control.values if is_normal_word(value, normal)]
    bad = [
        value
        for value in control.values
        if value not in good and (is_defective_word(value, normal) or simplified(value) in types)
    ]
    if good and bad:
        return True
    return len(good) + len(bad) == len(control.values) > 0 and (bool(bad) or alone)
