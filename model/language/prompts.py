"""Phrases that describe a defect: the paper's question to a language model (Eq. 5), its answer, built-in sentences."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

from model.language.defect_words import KINDS, NEUTRAL, PATTERNS, SAYS_NOTHING

KEPT = 40  # N: as many phrases as the paper keeps
_LONGEST = 18  # words; the encoder reads 20 tokens
_THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
_LEAD = re.compile(r"^[\s>]*(?:[-*•·–—+]+\s+|\(?\d{1,3}[.):]\s*|[a-z][.)]\s+)*", re.IGNORECASE)
_QUOTES = "\"'`“”‘’«»*_ \t"


def instruction(label: str, product: str = "", number: int = 100) -> str:
    """What a language model is asked (Eq. 5).

    Args:
        label: the defect type, as the project calls it.
        product: what is inspected; "" when nobody said.
        number: of phrases.
    """
    return (
        f"You know industrial visual inspection. Describe how the defect type '{readable(label)}' looks on this "
        f"product: {readable(product) or 'any industrial product'}. Photographs will be matched with your words. "
        f"Write {number} different short English phrases in lower case, one on each line, at most twelve words each. "
        "Vary shape, size, place and wording. Only say what can be seen. No numbering, no explanations, nothing else."
    )


def parse_answer(text: str) -> list[str]:
    """The phrases of a language model's answer: lower case, without numbering, bullets, quotes or doubles.

    A list in JSON is read as one, and one long line is cut at semicolons or commas. What is too long for a phrase,
    and what introduces a list, is left out. At most :data:`KEPT` are returned.
    """
    text = _THOUGHTS.sub("", text)
    lines = _json_list(text) or [line for line in text.splitlines() if not line.strip().startswith("```")]
    if len(lines) == 1:
        separator = ";" if ";" in lines[0] else ","
        if lines[0].count(separator) >= 2:
            lines = lines[0].split(separator)
    found = (clean_phrase(line) for line in lines if not line.rstrip(" *_").endswith(":"))
    return list(dict.fromkeys(phrase for phrase in found if phrase))[:KEPT]


def clean_phrase(line: str) -> str:
    """A line as a phrase, lower case and on one line; "" when it is none: no letter in it, or longer than 18 words."""
    line = unicodedata.normalize("NFKC", line)
    phrase = _LEAD.sub("", line).strip(_QUOTES).rstrip(".,;!").strip(_QUOTES).lower()
    phrase = " ".join(phrase.split())
    return phrase if _has_letter(phrase) and len(phrase.split()) <= _LONGEST and len(phrase) <= 150 else ""


def builtin_prompts(label: str, product: str = "") -> list[str]:
    """Sentences for a defect type without a language model.

    A label with a known defect word in it, in English or one of a few other languages, gets sentences with that
    word's synonyms. Any other gets neutral ones with the label itself in a part of them: they say nothing of how the
    defect looks, but keep the types of a project apart. A label like "NG" gets the neutral ones alone.

    Args:
        label: as the project calls the defect type.
        product: what is inspected; "" when nobody said.

    Returns:
        8 to 20 different phrases in lower case.
    """
    words = readable(label)
    thing = readable(product) or "product"
    kinds = [name for name, pattern in PATTERNS.items() if pattern.search(words)]
    if kinds:
        nouns = list(dict.fromkeys(noun for name in kinds for noun in KINDS[name]))
        return _sentences(nouns, thing)
    neutral = _sentences(NEUTRAL, thing)
    if not _has_letter(words) or words in SAYS_NOTHING:
        return neutral
    name = _spelled(words)
    return [
        *neutral,
        f"a defect called {name} on the {thing}",
        f"{name} on the {thing}",
        f"a {thing} with {name}",
    ]


def readable(name: str) -> str:
    """A label as words: "SurfaceScratch_02" -> "surface scratch 02"."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return " ".join(re.sub(r"[\W_]+", " ", spaced).lower().split())


def _sentences(nouns: Iterable[str], thing: str) -> list[str]:
    """Up to 20 sentences; each noun in turn, so that a cut leaves all of them in."""
    nouns = list(nouns)
    templates = (
        "{noun} on the {thing}",
        "a {thing} with {noun}",
        "{bare} on the surface of the {thing}",
        "close photo of {noun} on the {thing}",
    )
    filled = [
        template.format(noun=noun, bare=re.sub(r"^an? ", "", noun), thing=thing)
        for template in templates
        for noun in nouns
    ]
    return list(dict.fromkeys(filled))[:20]


def _spelled(words: str) -> str:
    """Words in letters that an English encoder can tell apart; others are written as their code points."""
    folded = unicodedata.normalize("NFKD", words)
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(w if w.isascii() else " ".join(f"{ord(c):x}" for c in w) for w in plain.split())


def _has_letter(text: str) -> bool:
    return any(c.isalpha() for c in text)


def _json_list(text: str) -> list[str]:
    """The strings of a JSON list inside the text; empty when there is none."""
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end:
        return []
    try:
        found = json.loads(text[start : end + 1])
    except ValueError:
        return []
    return [item for item in found if isinstance(item, str)]
