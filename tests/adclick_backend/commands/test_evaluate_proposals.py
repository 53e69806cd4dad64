"""``adclick evaluate-proposals``: how many masks are proposed before any training, and how many a person would keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draw_samples import draw, save_image

from adclick_backend.cli import main
from adclick_backend.report.proposals import EVERYTHING, PEOPLE, RULE, held_back, judge, table, together


def row(
    name: str, *parts: tuple[float, float], defect: bool = True, union: float | None = None
) -> dict[str, Any]:
    """An image with parts (score, IoU), and the IoU of all of them together."""
    unions = [fit if union is None else union for _, fit in parts]
    found = {"parts": list(parts), "unions": unions}
    return {"product": "set/nut", "references": 8, "image": name, "defect": defect, **found}


SEEN = {
    "product": "set/nut",
    "references": 8,
    "image": "held back",
    "good": [[]] * 8,
    "drawn": [[[0.6, 1.0]]] * 4,
}
ROWS = [
    SEEN,
    row("a", (0.8, 0.9), (0.2, 0.0), union=0.7),
    row("b", (0.7, 0.3)),
    row("c", (0.1, 0.0)),
    row("d"),
    row("e", (0.9, 0.0), defect=False),
    row("f", defect=False),
]


def test_without_a_rule_all_that_is_found_is_proposed() -> None:
    found = judge(ROWS, EVERYTHING)
    assert (found.defects, found.sent, found.kept) == (4, 3, 1)
    assert sorted(found.ious) == [0.0, 0.3, 0.7]
    assert (len(found.parts), found.kept_parts, found.beside) == (4, 1, 3)
    assert (found.good, found.spoilt) == (2, 1)


def test_with_the_rule_what_is_not_worth_it_is_left_out() -> None:
    found = judge(ROWS, RULE)
    assert (found.sent, found.kept, found.beside, found.spoilt) == (2, 1, 1, 1)
    assert len(found.parts) == 2


def test_a_person_who_deletes_ends_it() -> None:
    rows = [SEEN, *(row(f"{number}", (0.7, 0.0)) for number in range(20))]
    assert judge(rows, RULE).sent == 20
    assert 1 <= judge(rows, PEOPLE).sent <= 5


def test_products_are_added_up_and_shown_in_a_table() -> None:
    both = together([judge(ROWS, RULE)] * 2)
    assert (both.defects, both.sent, both.kept, len(both.ious)) == (8, 4, 2, 4)
    shown = table([*ROWS, *({**one, "product": "set/bolt"} for one in ROWS)])
    assert "| bolt | 0 | 3 of 4 | 0.33 | 1 (33%) | 1 of 4 | 3 | 1 of 2 |" in shown
    assert "| together | | 6 of 8 | 0.33 | 2 (33%) | 2 of 8 | 6 | 2 of 4 |" in shown


def test_a_product_of_which_nothing_was_held_back_is_judged_by_what_is_usual() -> None:
    assert held_back(ROWS[1:]).good == ()
    assert judge(ROWS[1:], RULE).sent == 2


@pytest.mark.usefixtures("without_transformer")
def test_the_command_measures_drawn_flanges_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("adclick_backend.answers.held_back.MEASURED", 1)
    product = tmp_path / "set/flange"
    for number in range(4):
        save_image(product / f"train/good/{number}.png", draw("flange", seed=number).image)
    sample = draw("flange", "stain", seed=9)
    save_image(product / "test/stain/0.png", sample.image)
    save_image(product / "ground_truth/stain/0_mask.png", sample.mask.astype(np.uint8) * 255)
    asked = ["evaluate-proposals", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--references", "4"]
    assert main(asked) == 0
    first = capsys.readouterr().out
    assert "| flange | 0 |" in first
    assert all(f"| {rule} |" in first for rule in (EVERYTHING, RULE, PEOPLE))
    results = tmp_path / "out/results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [one["image"] for one in rows] == ["held back", "test/stain/0.png"]
    assert len(rows[0]["good"]) == len(rows[0]["drawn"]) == 1
    before = results.read_bytes()
    assert main(asked) == 0
    assert results.read_bytes() == before
    assert capsys.readouterr().out == first
    assert main([*asked[:-1], "9"]) == 2
    assert "None of these products has 9 good images." in capsys.readouterr().out
