"""Which tasks may be called normal, and how people write their numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adclick_backend.labels.marking import MOST, MarkingError, listed, normal_result, read_numbers, refusal
from tests.helpers.backend import CONFIG, Backend


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("3, 7-9 15;3", [3, 7, 8, 9, 15]), ("", []), ("  \n", []), ("9-7", [])],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[int]) -> None:
    assert read_numbers(text) == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-3", "1--2", "٣", "1.5", "1-99999999999999999999"])
def test_what_is_no_number_is_said(text: str) -> None:
    with pytest.raises(MarkingError, match="is no task number"):
        read_numbers(text)


@pytest.mark.parametrize("text", [f"1-{MOST + 1}", "1-999999999999999", f"1-{MOST}, {MOST + 1}"])
def test_too_many_at_once_are_refused(text: str) -> None:
    with pytest.raises(MarkingError, match="in several steps"):
        read_numbers(text)


@given(st.lists(st.integers(0, 300), unique=True, max_size=60))
def test_numbers_are_written_as_they_are_read(numbers: list[int]) -> None:
    assert read_numbers(listed(numbers)) == sorted(numbers)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"project": 1, "annotations": [], "drafts": []}, ""),
        ({"project": 1, "total_annotations": 0}, ""),
        ({"project": 2, "annotations": []}, "belongs to another project"),
        ({"project": 1, "annotations": [{"was_cancelled": True}]}, "has an annotation already"),
        ({"project": 1, "total_annotations": 1, "cancelled_annotations": 1}, "has 2 annotations already"),
        ({"project": 1, "annotations": [], "drafts": [{"id": 3}]}, "has a draft that somebody is working on"),
    ],
)
def test_nothing_of_a_person_is_touched(raw: dict[str, Any], words: str) -> None:
    assert refusal("1", raw) == words


def test_the_choice_is_the_one_that_means_normal(connected: Backend) -> None:
    labels = connected.services.labels
    (item,) = normal_result(labels.config("1"), labels.vocabulary("1"))
    assert (item["from_name"], item["to_name"], item["value"]) == ("state", "image", {"choices": ["normal"]})
    connected.setup(config=CONFIG.replace('"normal"', '"i.O."').replace('"defective"', '"n.i.O."'))
    with pytest.raises(MarkingError, match="No choice of the labeling config"):
        normal_result(labels.config("1"), labels.vocabulary("1"))
    labels.assign("1", {"state": {"i.O.": "normal", "n.i.O.": "defective"}})
    (item,) = normal_result(labels.config("1"), labels.vocabulary("1"))
    assert item["value"] == {"choices": ["i.O."]}
