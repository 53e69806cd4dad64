"""Phrases for a defect: the question to a language model, its answer, and the built-in sentences."""

from __future__ import annotations

import pytest

from model.language.defect_words import KINDS, PATTERNS
from model.language.encoders import TOKENS, HashedWords
from model.language.prompts import KEPT, builtin_prompts, clean_phrase, instruction, parse_answer, readable

COMMON = [
    "scratch",
    "dent",
    "crack",
    "stain",
    "contamination",
    "hole",
    "missing",
    "bent",
    "broken",
    "colour",
    "fold",
    "thread",
    "cut",
    "glue",
    "print",
]


def test_the_question_names_defect_and_product() -> None:
    asked = instruction("color_stain", "metal_nut", 60)
    assert "'color stain'" in asked and "metal nut" in asked and "60" in asked and "lower case" in asked
    assert "any industrial product" in instruction("dent")


@pytest.mark.parametrize("label", COMMON)
def test_common_defects_have_sentences_of_their_own(label: str) -> None:
    phrases = builtin_prompts(label, "metal_nut")
    assert 10 <= len(phrases) <= 20 and len(set(phrases)) == len(phrases)
    assert any(label.rstrip("t") in phrase for phrase in phrases)
    assert all("metal nut" in phrase and clean_phrase(phrase) == phrase for phrase in phrases)
    assert HashedWords().encode(phrases)[1].sum(1).max() <= TOKENS


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("SurfaceScratch_02", "scratch"),
        ("Scratches", "scratch"),
        ("划痕", "scratch"),
        ("Lackkratzer", "scratch"),
        ("faulty-imprint", "print"),
        ("missing_cable", "missing"),
        ("Rayure", "scratch"),
        ("キズ", "scratch"),
    ],
)
def test_a_label_is_recognised_by_its_defect_word(label: str, kind: str) -> None:
    assert builtin_prompts(label) == builtin_prompts(kind)


@pytest.mark.parametrize("label", ["cute", "holder", "credential", "printed", "bentonite"])
def test_short_defect_words_are_not_found_inside_others(label: str) -> None:
    found = {kind for kind, pattern in PATTERNS.items() if pattern.search(label)}
    assert not found & {"cut", "hole", "dent", "bent"}


@pytest.mark.parametrize("label", ["NG", "defect", "n.o.k".replace(".", ""), "不良", "???", ""])
def test_a_label_that_says_nothing_gets_neutral_sentences(label: str) -> None:
    assert builtin_prompts(label) == builtin_prompts("NG")
    assert "a defect on the product" in builtin_prompts("NG")


def test_unknown_labels_stay_apart_also_in_letters_the_encoder_does_not_know() -> None:
    first, second = builtin_prompts("电镀甲"), builtin_prompts("电镀乙")
    assert set(first) != set(second) and len(set(first) & set(second)) >= 8
    assert all(phrase.isascii() for phrase in first + second)
    assert "a defect called grünspan".replace("ü", "u") + " on the product" in builtin_prompts("Grünspan")


def test_a_label_with_two_defects_gets_the_words_of_both() -> None:
    phrases = " | ".join(builtin_prompts("color_stain"))
    assert KINDS["stain"][0] in phrases and KINDS["colour"][0] in phrases


@pytest.mark.parametrize(
    ("name", "words"), [("metal_nut", "metal nut"), ("DeepScratch-2", "deep scratch 2"), ("  a  b ", "a b")]
)
def test_labels_become_words(name: str, words: str) -> None:
    assert readable(name) == words


def test_an_answer_is_cleaned() -> None:
    answer = """<think>1. not this one</think>Sure! Here are the phrases you asked for:

    1. A thin scratch on the metal nut.
    2) **Deep gouge near the hole**
    - a thin scratch  on the metal nut
    * "long bright line"
    b) curved mark
    (4) 12 mm scratch
    """
    assert parse_answer(answer + "word " * 30 + "\n---\n42\n") == [
        "a thin scratch on the metal nut",
        "deep gouge near the hole",
        "long bright line",
        "curved mark",
        "12 mm scratch",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n["A dent", "round  dent", "deep dent"]\n```',
        "a dent, round dent, deep dent",
        "a dent; round dent; deep dent.",
        "```\na dent\nround dent\ndeep dent\n```",
    ],
)
def test_other_shapes_of_an_answer_are_read(answer: str) -> None:
    assert parse_answer(answer) == ["a dent", "round dent", "deep dent"]


@pytest.mark.parametrize("answer", ["", "<think>never ended", "[1, 2]", "{}", "..."])
def test_an_answer_without_phrases_gives_none(answer: str) -> None:
    assert parse_answer(answer) == []


def test_no_more_are_kept_than_the_paper_keeps() -> None:
    assert len(parse_answer("\n".join(f"{i}. dent number {i}" for i in range(100)))) == KEPT
