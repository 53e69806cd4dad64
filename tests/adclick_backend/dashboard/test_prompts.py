"""The page of the phrases: added, taken out, used again, built-in ones restored."""

from __future__ import annotations

import re

from adclick_backend.prompts.phrases import Written
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send

PROMPTS = "/projects/1/prompts"


def used(backend: Backend, label: str = "scratch") -> list[str]:
    return backend.services.prompts.for_label("1", label)


def test_each_label_has_its_built_in_sentences_at_first(connected: Backend) -> None:
    text = page(connected, PROMPTS)
    assert re.findall(r'<h2 id="label-\d">(\w+)', text) == ["scratch", "dent"]
    for phrase in used(connected):
        assert phrase in text
    assert "language model write" not in text  # none is set up


def test_without_a_label_the_page_says_where_to_look(connected: Backend) -> None:
    connected.setup("2.1", config="<View/>")
    assert "has no brush label yet" in page(connected, "/projects/2/prompts")


def test_own_phrases_take_the_place_of_the_built_in_ones(connected: Backend) -> None:
    answer = send(
        connected, PROMPTS, label="scratch", phrases="a long thin groove\n\n12345\n<b>bright</b> line"
    )
    assert (answer.status_code, answer.location) == (303, PROMPTS)
    text = page(connected, PROMPTS)
    assert "2 phrases added for scratch." in text
    assert "Not a phrase, for it has no letters or more than 18 words: 12345." in text
    assert used(connected)[0] == "a long thin groove"
    assert 'scratch <span class="quiet">2 in use' in text
    assert ">not needed</span>" in text
    assert "<b>" not in connected.client.get(PROMPTS).text


def test_a_phrase_is_taken_out_and_used_again(connected: Backend) -> None:
    phrase = used(connected)[0]
    send(connected, f"{PROMPTS}/take-out", label="scratch", phrase=phrase)
    assert phrase not in used(connected)
    text = page(connected, PROMPTS)
    assert f"“{phrase}” is taken out." in text
    assert f'aria-label="Use again: {phrase}"' in text
    send(connected, f"{PROMPTS}/use-again", label="scratch", phrase=phrase)
    assert phrase in used(connected)


def test_the_built_in_sentences_come_back_together(connected: Backend) -> None:
    built_in = used(connected)
    for phrase in built_in:
        send(connected, f"{PROMPTS}/take-out", label="scratch", phrase=phrase)
    assert set(used(connected)).isdisjoint(built_in)
    assert "Use the built-in sentences of scratch again" in page(connected, PROMPTS)
    send(connected, f"{PROMPTS}/built-in", label="scratch")
    assert used(connected) == built_in


def test_what_the_language_model_did_is_said(connected: Backend) -> None:
    connected.services.prompts.write = lambda *_: Written(0, "It does not answer.")  # type: ignore[method-assign]
    send(connected, f"{PROMPTS}/write", label="scratch")
    assert "It does not answer." in page(connected, PROMPTS)


def test_labels_and_phrases_that_are_not_there_are_refused(connected: Backend) -> None:
    assert send(connected, PROMPTS, label="rust", phrases="a spot").status_code == 400
    assert send(connected, f"{PROMPTS}/take-out", label="scratch", phrase="no such").status_code == 404
    assert "rust" not in connected.services.prompts.labels("1")
