"""What the dashboard says of masks before the first click, and the switch."""

from __future__ import annotations

import math

import pytest

from adclick_backend.answers.reliability import Reliability
from adclick_backend.answers.worth import HeldBack, SeenPart
from adclick_backend.dashboard.proposing import said_of
from adclick_backend.store import JudgedPart
from tests.adclick_backend.answers.test_reliability import measured, with_references
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send

VERSIONS = "/projects/1/versions"
FALSE, FOUND = SeenPart(0.9, 0), SeenPart(0.9, 1)
DELETED = [JudgedPart(0.9, "deleted")] * 12


def test_it_says_how_many_good_images_would_be_marked_falsely() -> None:
    seen = HeldBack([[FALSE]] * 5 + [()] * 3, [()] * 7 + [[FOUND]])
    said, silent = said_of("screw", Reliability(seen, ()))
    assert silent
    assert said == (
        "Next to nothing is proposed for screw, only parts of which the expected overlap is 91% or more: on 8 good "
        "images that were held back it would have marked 5 falsely, and of 8 defects drawn on them it finds 1."
    )


def test_it_says_when_good_images_differ_so_much_that_nothing_is_found() -> None:
    """Screws lie at every angle: nothing was proposed, and nobody was told why."""
    said, silent = said_of("screw", Reliability(HeldBack([()] * 8, [()] * 8), ()))
    assert silent
    assert said.endswith(
        "its 8 good images differ so much from one another that little stands out, and of 8 defects drawn on them it "
        "finds none."
    )


def test_it_says_when_it_is_seldom_sure_enough() -> None:
    seen = HeldBack([()] * 6, [[SeenPart(0.44, 1)]] * 2 + [()] * 4)
    said, silent = said_of("flange", Reliability(seen, ()))
    assert silent
    assert said.endswith("of 6 defects drawn on 6 good images it finds 2, and is sure enough of none.")


def test_it_says_what_people_did() -> None:
    judged = [JudgedPart(0.99, "deleted")] * 11 + [JudgedPart(0.99, "corrected")]
    known = Reliability(HeldBack([()] * 8, [[FOUND]] * 8), judged)
    assert math.isinf(known.needed)
    said, silent = said_of("screw", known)
    assert silent
    assert said == (
        "Nothing is proposed for screw: of the last 12 parts that people saw, 1 corrected and 11 deleted."
    )


def test_it_says_what_is_proposed() -> None:
    said, silent = said_of("bottle", Reliability(HeldBack([()] * 8, [[FOUND]] * 6 + [()] * 2), ()))
    assert not silent
    assert (
        "in 8 good images that were held back that marks nothing, and of 8 defects drawn on them it finds 6"
        in said
    )
    said, silent = said_of("bottle", Reliability(None, ()))
    assert not silent
    assert said.endswith("how far that can be trusted is not measured yet.")


def test_the_page_says_why_and_so_does_the_overview(connected: Backend) -> None:
    with_references(connected, 5, spoilt=5)
    measured(connected)
    said = "on 5 good images that were held back it would have marked 5 falsely"
    assert said in page(connected, VERSIONS)
    assert said in page(connected)


def test_too_few_references_are_a_reason(connected: Backend) -> None:
    with_references(connected, 2)
    said = "it has 2 references, and 3 are needed to tell what is usual."
    assert said in page(connected, VERSIONS)
    assert said in page(connected)


def test_masks_are_switched_off_and_on(connected: Backend) -> None:
    with_references(connected, 5)
    assert "Proposed for this product" in page(connected, VERSIONS)
    assert send(connected, f"{VERSIONS}/proposals", when="never").location == VERSIONS
    text = page(connected, VERSIONS)
    assert "Masks before the first click are off now." in text
    assert '<option value="never" selected>' in text
    assert "Masks before the first click are switched off for this project." in text
    assert "Masks before the first click are switched off for this project." in page(connected)
    assert not connected.services.proposer.serving("1").wanted
    send(connected, f"{VERSIONS}/proposals", when="trained")
    assert "was not trained on this project." in page(connected, VERSIONS)
    send(connected, f"{VERSIONS}/proposals", when="always")
    assert connected.services.proposer.serving("1").wanted


@pytest.mark.parametrize("when", ["sometimes", "<script>", "x" * 5000])
def test_a_switch_knows_its_positions(connected: Backend, when: str) -> None:
    answer = send(connected, f"{VERSIONS}/proposals", when=when)
    assert answer.status_code == 409
    assert "choose one of always, trained, never" in answer.text
    assert "<script>" not in answer.text
    assert connected.client.post(f"{VERSIONS}/proposals", data={"when": "never"}).status_code == 403
    assert connected.services.registry.when("1") == "always"
