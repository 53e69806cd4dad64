"""Whether masks are proposed before the first click, product by product, and why not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adclick_backend.answers.reliability import Reliability
from adclick_backend.answers.worth import HeldBack, needed_score
from adclick_backend.dashboard.operating_view import percent_of, words_of_type
from adclick_backend.dashboard.words import count
from adclick_backend.engine.sources import FEWEST_REFERENCES
from adclick_backend.services import Services
from adclick_backend.store.proposal_source import NOTHING, UNWANTED, WHEN

FEW_FOUND = 4
"""Fewer than one drawn defect in so many that are found are few."""


@dataclass(frozen=True)
class Proposing:
    """How it stands with masks before the first click.

    Attributes:
        when: what somebody chose, one of `WHEN`.
        options: what may be chosen, name -> words.
        sentences: one for each product; for all together where the project does not want any.
        silent: those of them that say why nothing is proposed, or next to nothing.
    """

    when: str
    options: dict[str, str]
    sentences: Sequence[str]
    silent: Sequence[str]


def proposing(services: Services, project: str) -> Proposing:
    """How it stands in a project, by the references of its products."""
    registry, when = services.registry, services.registry.when(project)
    if not registry.wanted(project):
        sentence = f"{UNWANTED[when]}."
        return Proposing(when, WHEN, [sentence], [sentence])
    name, asked = registry.serving_name(project), registry.proposing(project)
    sentences: list[str] = []
    silent: list[str] = []
    standing = services.thresholds.of(project)
    if by_hand := [one for one in standing.types if one in standing.source.by_hand]:
        cut = " and ".join(
            f"{words_of_type(one)} from {percent_of(standing.points[one])} on" for one in by_hand
        )
        sentences.append(f"Proposed is every part of {cut}, for somebody set the threshold.")
        if len(by_hand) == len(standing.types):
            return Proposing(when, WHEN, sentences, silent)
    others = f" (but for {', '.join(map(words_of_type, by_hand))})" if by_hand else ""
    for of, product in services.store.references.banks():
        if of != project:
            continue
        bank = services.references.bank(project, product)
        called = f"{product or 'this product'}{others}"
        if services.engine.source(bank, asked) == NOTHING:
            number = len(bank.references)
            said = (
                f"Nothing is proposed for {called}: it has {count(number, 'reference')}, and {FEWEST_REFERENCES} are "
                "needed to tell what is usual."
            )
            quiet = True
        else:
            said, quiet = said_of(called, services.reliabilities.of(project, product, name, asked))
        sentences.append(said)
        silent += [said] if quiet else []
    return Proposing(when, WHEN, sentences, silent)


def said_of(product: str, known: Reliability) -> tuple[str, bool]:
    """What is proposed for a product as a sentence, and whether that is nothing, or next to nothing.

    Args:
        product: what a person calls it.
        known: of it.
    """
    needed, seen = known.needed, known.held_back
    people = _people(known)
    if math.isinf(needed):
        return f"Nothing is proposed for {product}: {people or _measured(seen)}.", True
    from_score = f"of which the expected overlap is {needed:.0%} or more"
    if seen is None:
        start = f"Proposed for {product} is every part {from_score}"
        return (
            f"{start}{f': {people}' if people else '; how far that can be trusted is not measured yet'}.",
            False,
        )
    found, spoilt = seen.found(needed), seen.spoilt(needed)
    if not found:
        return (
            f"Next to nothing is proposed for {product}, only parts {from_score}: {people or _measured(seen)}.",
            True,
        )
    return (
        f"Proposed for {product} are parts {from_score}: in {count(len(seen.good), 'good image')} that were held back "
        f"that marks {spoilt or 'nothing'}{' falsely' if spoilt else ''}, and of "
        f"{count(len(seen.drawn), 'defect')} drawn on them it finds {found}{f'; {people}' if people else ''}.",
        False,
    )


def _measured(seen: HeldBack | None) -> str:
    """What good images and drawn defects showed, where that keeps proposals back."""
    if seen is None:
        return "too little is known of it"
    usual = needed_score()
    good, drawn = count(len(seen.good), "good image"), count(len(seen.drawn), "defect")
    found, sure, spoilt = seen.found(0.0), seen.found(usual), seen.spoilt(usual)
    if spoilt:
        return (
            f"on {good} that were held back it would have marked {spoilt} falsely, and of {drawn} drawn on them it "
            f"finds {found or 'none'}"
        )
    if FEW_FOUND * found < len(seen.drawn):
        return (
            f"its {good} differ so much from one another that little stands out, and of {drawn} drawn on them it finds "
            f"{found or 'none'}"
        )
    return f"of {drawn} drawn on {good} it finds {found}, and is sure enough of {sure or 'none'}"


def _people(known: Reliability) -> str:
    """What people did with the last parts, in words; "" when none was judged."""
    outcomes = Counter(part.outcome for part in known.judged)
    said = [f"{outcomes[name]} {name}" for name in ("kept", "corrected", "deleted") if outcomes[name]]
    total = count(len(known.judged), "part")
    return f"of the last {total} that people saw, {' and '.join(said)}" if said else ""
