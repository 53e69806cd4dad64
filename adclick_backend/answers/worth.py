"""Which parts are worth proposing: likely to be kept, as far as their product and the people in front of it have shown.

A mask that is kept saves a click, and one that is false costs more than the click: it has to be seen, selected and
deleted, and until then it lies in the way of clicks. So a part is proposed when

    P(kept) * BENEFIT >= (1 - P(kept)) * COST

The surer a part (its score is the IoU that it has if the map is right), the more likely it is kept. By how much is
usual, and differs from product to product by a shift b of the log-odds that is not known before:

    logit P(kept) = (score - USUAL_SCORE) / USUAL_SPREAD + b,    b ~ N(0, 1), or N(LEARNED, 1)

b is the most probable one after all that was seen of parts on this product:

* what people did with the parts that were proposed, the strongest evidence that there is;
* parts found in good images that were held back from the references: all of them are false;
* parts found in defects that were drawn on those: easier to find than real ones, so the weakest.

What was trained on the project, and promoted because it did best on images of its own that were held back, starts with
the trust that this earned it: b is expected to be LEARNED, and a few parts that people delete take it away again.

A part that is as usual says little; one that was false although the map was sure of it, or right although the map
doubted, says much. P(kept) rises with the score whatever b is, so the rule comes down to one score from which on parts
are proposed, and that can be said to a person. People who keep what they see come to see more, others less. Whatever b
is, nothing is proposed that is no surer than what good images show.

USUAL_SCORE and USUAL_SPREAD are fitted to parts that the packaged network finds in six products of the training data,
in real defects, drawn ones and good images (44 parts, IoU 0.5 or more counts as kept). The weights follow from what
they stand for; on the training data any of half or twice their size proposes the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BENEFIT, COST = 1.0, 1.5
"""Of a mask that is kept, one click and what it takes to aim it; of a false one: see it, select it, delete it."""

FITS, NEARLY = 0.5, 0.3
"""IoU from which a person keeps a mask, and from which one corrects it rather than delete it."""

CORRECTED = 0.5
"""What a corrected part is worth, where one that was kept as it was counts as 1 and a deleted one as 0."""

USUAL_SCORE, USUAL_SPREAD = 0.49, 0.055
"""Score at which a part is kept every second time, and over how much of it the odds change by the factor e."""

LEARNED = 6.0
"""From the start every second part of a third of the usual score is kept: as good as everything that is found."""

MAY_BE_SPOILT, SURER = 1 / 8, 0.01
"""Whatever else was seen, a part must be so much surer than those in good images; but for this share of the images, for
one of them may be no good image at all."""

DRAWN_WEIGHT, GOOD_WEIGHT, PERSON_WEIGHT = 0.5, 2.0, 2.0
"""How many parts one counts for that was found in a drawn defect, in a good image, or proposed to a person."""


@dataclass(frozen=True)
class SeenPart:
    """A part that was found, and what became of it.

    Attributes:
        score: in [0, 1], `adclick_runtime.regions.Region.score`.
        worth: 1 for one that a person keeps, 0 for a false one, `CORRECTED` between them.
    """

    score: float
    worth: float


@dataclass(frozen=True)
class HeldBack:
    """What is found of one product in images of which the truth is known.

    Attributes:
        good: for each good image that was held back, the parts found in it.
        drawn: for each defect drawn on one of them, the parts found.
    """

    good: Sequence[Sequence[SeenPart]] = ()
    drawn: Sequence[Sequence[SeenPart]] = ()

    def spoilt(self, score: float) -> int:
        """Good images in which a part of that score or a higher one is found."""
        return sum(any(part.score >= score for part in image) for image in self.good)

    def found(self, score: float) -> int:
        """Drawn defects of which a part of that score or a higher one is found that a person would keep or correct."""
        return sum(any(part.score >= score and part.worth > 0 for part in image) for image in self.drawn)


NOTHING_SEEN = HeldBack()


def worth_of(fit: float) -> float:
    """What a part is worth that has this IoU with the defects that it touches, in [0, 1]."""
    return 1.0 if fit >= FITS else CORRECTED if fit >= NEARLY else 0.0


def kept(score: float, seen: HeldBack, judged: Sequence[SeenPart] = (), *, learned: bool = False) -> float:
    """How likely a person keeps a part of that score, in [0, 1].

    Args:
        score: of the part.
        seen: of its product.
        judged: what people did with parts that were proposed.
        learned: whether what proposes was trained on the project.
    """
    return _chance(score, _shift(seen, judged, learned=learned))


def needed_score(
    seen: HeldBack = NOTHING_SEEN, judged: Sequence[SeenPart] = (), *, learned: bool = False
) -> float:
    """The score from which on parts are worth proposing, in [0, 1]; infinite when none is. See :func:`kept`."""
    needed = USUAL_SCORE + USUAL_SPREAD * (math.log(COST / BENEFIT) - _shift(seen, judged, learned=learned))
    needed = max(needed, _reached(seen.good) + SURER)
    return max(needed, 0.0) if needed <= 1 else math.inf


def _reached(good: Sequence[Sequence[SeenPart]]) -> float:
    """The score that parts reach in good images, but for the few that may be spoilt; 0 where none are found."""
    surest = sorted((max((part.score for part in image), default=0.0) for image in good), reverse=True)
    return surest[int(MAY_BE_SPOILT * len(surest))] if surest else 0.0


def _shift(seen: HeldBack, judged: Sequence[SeenPart], *, learned: bool) -> float:
    """b: where the log-posterior, which is concave, has its maximum; by Newton's method in steps of at most 1."""
    parts = [
        *((GOOD_WEIGHT, part) for part in _flat(seen.good)),
        *((DRAWN_WEIGHT, part) for part in _flat(seen.drawn)),
        *((PERSON_WEIGHT, part) for part in judged),
    ]
    shift = expected = LEARNED if learned else 0.0
    for _ in range(100):
        slope, bend = expected - shift, -1.0  # of the prior
        for weight, part in parts:
            chance = _chance(part.score, shift)
            slope += weight * (part.worth - chance)
            bend -= weight * chance * (1 - chance)
        step = min(max(-slope / bend, -1.0), 1.0)
        shift += step
        if abs(step) < 1e-6:
            break
    return shift


def _chance(score: float, shift: float) -> float:
    return 1 / (1 + math.exp((USUAL_SCORE - score) / USUAL_SPREAD - shift))


def _flat(images: Iterable[Sequence[SeenPart]]) -> list[SeenPart]:
    return [part for image in images for part in image]
