"""What could be silently wrong in the soak tool itself: a day that looks good because nothing was compared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adclick_backend.store import LabelledTask
from tests.soak.chart import draw
from tests.soak.client import normal_choice
from tests.soak.findings import NOTHING_ON, find
from tests.soak.images import LEAST_IOU, Stain, iou, jpeg
from tests.soak.kept import Kept, compare
from tests.soak.logs import Found, look_through
from tests.soak.plan import KILLS, Plan
from tests.soak.record import Asked, Record, Sample, Window, spread
from tests.soak.report import write

DAY = Plan.of(30)


def region(rle: int) -> dict[str, Any]:
    return {"type": "brushlabels", "value": {"rle": [rle]}}


def label(number: int, *result: dict[str, Any], **more: Any) -> LabelledTask:
    kept = {"id": number, "result": list(result), "was_cancelled": False, "changed_at": 0.0, **more}
    return LabelledTask("1", number, {}, [kept], url="")  # type: ignore[list-item]


def reference(number: int, state: str) -> Any:
    return SimpleNamespace(annotation_id=number, state=state)


def test_acknowledged_labels_that_are_not_kept_are_found() -> None:
    truth = {number: {"result": [region(number)]} for number in range(1, 6)}
    labels = [label(1, region(1)), label(2, region(9)), label(3, region(3), deleted=5.0)]
    kept = compare({1, 2, 3, 4}, truth, labels, [])
    assert kept == Kept(4, lost=[3, 4], changed=[2], missing=[5])
    assert not kept.all_there
    assert compare({1}, truth, labels, []).all_there


def test_acknowledged_normal_images_that_are_no_references_are_found() -> None:
    truth = {number: {"result": [normal_choice()]} for number in (1, 2, 3, 4)}
    labels = [label(number, normal_choice()) for number in truth]
    references = [reference(1, "ready"), reference(2, "pending"), reference(3, "failed")]
    assert compare(truth, truth, labels, references).no_reference == [3, 4]


def test_a_mask_of_another_image_is_told_from_a_poor_one() -> None:
    own = Stain.of(1).mask
    assert iou(own, own) == 1.0
    assert iou(own, np.zeros_like(own)) == iou(np.zeros_like(own), np.zeros_like(own)) == 0.0
    half = own.copy()
    half[: Stain.of(1).y] = False
    assert LEAST_IOU < iou(half, own) < 0.6
    neighbours = [iou(Stain.of(task).mask, Stain.of(task + 1).mask) for task in range(1, 200)]
    assert np.mean(np.array(neighbours) < LEAST_IOU) > 0.98
    assert Asked("click", 0, 1, iou=0.1).foreign
    assert not Asked("click", 0, 1, iou=0.5).foreign
    assert not Asked("click", 0, 1).foreign
    assert jpeg(7, True) != jpeg(8, True)


def test_an_error_is_put_down_to_what_went_on_while_the_person_waited() -> None:
    record = Record(windows=[Window("disk full", 100, 160), Window("slow clients", 10, 50, excuses=False)])

    def failed(began: float, ended: float) -> tuple[str, bool]:
        record.asked = [Asked("click", began, ended, problem="no mask")]
        (error,) = found(record).errors
        return error.meanwhile, error.excused

    assert failed(90, 101) == ("disk full", True)
    assert failed(159, 190) == ("disk full", True)
    assert failed(161, 190) == (NOTHING_ON, False)
    assert failed(20, 30) == ("slow clients", False)
    assert failed(45, 105) == ("disk full, slow clients", True)


def test_times_are_those_of_answers() -> None:
    record = Record()
    record.asked = [Asked("click", at, at + 1 + at / 100) for at in range(100)]
    record.asked += [
        Asked("click", 5, 5, problem="connection refused"),
        Asked("click", 50, 80, problem="no answer in 30 s"),
        Asked("click", 5, 35, silent=True),
        Asked("health", 5, 9),
    ]
    assert record.seconds("click", ended=50) == pytest.approx([1 + at / 100 for at in range(50)])
    assert max(record.seconds("click")) == 30
    assert record.seconds("click", silent=True) == [30]
    assert spread([float(n) for n in range(1, 101)]) == pytest.approx((100, 50.5, 95.05, 100))
    assert spread([]).number == 0


def test_a_day_is_bad_when_labels_are_lost_masks_mixed_up_or_clicks_fail_for_no_reason(
    tmp_path: Path,
) -> None:
    record = Record(samples=[Sample(60.0 * n, 900.0 + n, 800 + 2.0 * n) for n in range(20)])
    record.asked = [Asked("click", 300, 301, task=1, iou=0.9)]
    good = found(record)
    assert good.failures == []
    assert good.memory.slope_mb_a_minute == pytest.approx(2)
    record.windows = [Window("worker killed", 250, 270), Window("master killed", 900, 930)]
    record.samples = [*record.samples[:5], *(Sample(one.at, 0, one.at / 20) for one in record.samples[5:])]
    assert found(record).memory.slope_mb_a_minute == pytest.approx(
        3
    )  # what was before the kill is other memory
    record.asked += [Asked("click", 400, 401, 2, iou=0.1), Asked("click", 500, 501, 3, problem="HTTP 500")]
    bad = found(record, Kept(3, lost=[1]))
    assert [sentence.split()[0] for sentence in bad.failures] == ["Of", "1", "1"]
    record.asked.append(Asked("click", 500, 530, 4, problem="no answer in 30 s", silent=True))
    assert found(record).failures[-1].startswith("2 clicks")
    record.windows = [Window("disk full", 450, 550)]
    assert len(found(record).failures) == 1
    assert found(record, fell=1).failures[1] == "The server ended by itself (times: 1)."
    write(tmp_path, record, bad)
    assert "HTTP 500" in (tmp_path / "soak.md").read_text()
    assert "disk full" in draw(record)


def test_tracebacks_and_secrets_are_found_in_logs(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        "INFO a\nTraceback (most recent call last):\n  File\n    x = 1\nOSError: full\nINFO token=hunter2\n"
    )
    secrets = [("the password", "hunter2"), ("the API key", "swordfish")]
    assert look_through([log], secrets) == Found({"OSError: full": 1}, ["the password"])
    log.write_text("Fatal Python error: Bus error\n\nThread 0x1 (most recent call first):\n  File\n")
    assert look_through([log], secrets) == Found({"Fatal Python error: Bus error": 1}, [])


def test_every_mishap_fits_into_every_day() -> None:
    for minutes in (2, 3, 30):
        day = Plan.of(minutes)
        assert day.quiet_s + day.bad_s == pytest.approx(minutes * 60)
        assert all(day.settle_s + day.quiet_s < day.at(share) < day.at(1) for _, share in KILLS)
    assert (DAY.quiet_s, DAY.mishap_s) == (120, 60)
    with pytest.raises(ValueError, match="too short"):
        Plan.of(1)


def found(record: Record, after: Kept | None = None, fell: int = 0) -> Any:
    after = after or Kept(1)
    log = Found({}, [])
    return find(record, DAY, before=None, after=after, synchronised="", fell=fell, jobs=[], log=log)
