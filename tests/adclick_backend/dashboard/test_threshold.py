"""The page of the thresholds: curves, sliders, what changes sides, saving and taking back."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from adclick_backend.dashboard.operating_view import percent_of
from model.metrics.operating_curve import POINTS
from tests.adclick_backend.workers.test_measure_points import SHADES, run, shas
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.graded_engine import GradedEngine, label_shades, serve

PAGE = "/projects/1/threshold"


@pytest.fixture
def measured(make_backend: Callable[..., Backend], tmp_path: Path) -> Backend:
    """Version v1 with two types, measured on four labelled and three good images."""
    made = make_backend(engine=GradedEngine())
    label_shades(made, SHADES, good=3)
    serve(made, tmp_path, created=1.0)
    run(made)
    return made


def at(**positions: int) -> str:
    return f"{PAGE}?" + "&".join(f"{quote('point:')}{name}={place}" for name, place in positions.items())


def part(text: str, name: str) -> str:
    """A part of the page that the script replaces, without tags."""
    (found,) = re.findall(rf'data-part="{name}"[^>]*>(.*?)</(?:div|output|p)>', text, re.DOTALL)
    return " ".join(re.sub("<[^>]+>", " ", found).split())


def sides(text: str) -> list[str]:
    """What changes sides, image by image."""
    return re.findall(r'<span class="mark \w+">([^<]*)</span>\s*<span class="quiet">', text)


def saved(backend: Backend, **points: object) -> object:
    data = {f"point:{name}": str(point) for name, point in points.items()}
    return send(backend, PAGE, version="v1", source="trained", **data)


def test_before_anything_was_measured_the_page_offers_it(connected: Backend) -> None:
    text = page(connected, PAGE)
    assert "Thresholds of what serves before any training" in text
    assert 'type="range"' not in text and ">Measure</button>" in text
    assert send(connected, f"{PAGE}/measure").headers["Location"] == PAGE
    (job,) = connected.services.jobs.of_project("1")
    assert job.kind == "points"
    text = page(connected, PAGE)
    assert "Images are being looked at" in text and ">Measure</button>" not in text
    assert f'href="{PAGE}"' in page(connected, "/projects/1/versions")


def test_where_nobody_moved_a_slider_nothing_changes_sides(measured: Backend) -> None:
    text = page(measured, PAGE)
    assert "on 4 labelled and 3 good images that version v1 has not learned from" in " ".join(text.split())
    assert sides(text) == []
    assert part(text, "point-0") == part(text, "point-1") == "50 %"
    assert "What the sliders show is in force." in text
    assert part(text, "together").startswith("3 of 5 labelled defects are found: 60 % of these")


def test_a_slider_that_moves_shows_what_changes_sides(measured: Backend) -> None:
    low = POINTS.index(next(p for p in POINTS if p > 0.05))
    text = page(measured, at(dent=low))
    assert sides(text) == ["missed → found", "clean → marked", "clean → marked"]
    assert part(text, "point-0") == percent_of(POINTS[low])
    assert part(text, "said-0").startswith("3 of 3 labelled defects are found")
    assert "2 of 3 good images are marked: of 1000 images an hour about 667, and likely 208 to 939." in text
    assert "Not saved yet: dent at" in " ".join(text.split())
    high = page(measured, at(dent=len(POINTS) - 1, scratch=len(POINTS) - 1))
    assert sides(high) == ["found → missed", "found → missed", "found → missed"]
    assert "None of 3 good images are marked: of 1000 images an hour about 0, and likely 0 to 562." in high


def test_the_line_says_how_many_good_images_are_marked_an_hour(measured: Backend) -> None:
    text = page(measured, f"{at(dent=0)}&speed=60")
    assert "3 of 3 good images are marked: of 60 images an hour about 60, and likely 26 to 60." in text
    for odd in ("", "0", "fast", "-3", "1e9", "99999999999"):
        assert 'name="speed" type="number" min="1" max="1000000" step="1" value="1000"' in page(
            measured, f"{PAGE}?speed={odd}"
        )


@pytest.mark.parametrize("position", ["x", "-1", "", "²", "99999"])
def test_a_position_that_no_slider_has_shows_the_page_all_the_same(measured: Backend, position: str) -> None:
    assert page(measured, f"{PAGE}?point:dent={quote(position)}")


def test_moving_asks_no_network(measured: Backend) -> None:
    looked = measured.engine.looked  # type: ignore[attr-defined]
    text = page(measured, at(dent=3))
    (picture, *_) = re.findall(r'<img src="([^"]+)"', text)
    assert measured.client.get(picture).status_code == 200
    assert measured.engine.looked == looked  # type: ignore[attr-defined]


def test_a_picture_shows_what_is_marked_where_the_slider_stands(measured: Backend) -> None:
    (picture, *_) = re.findall(r'<img src="([^"]+)"', page(measured, at(dent=3)))
    coloured = []
    for position in (3, len(POINTS) - 1):
        answer = measured.client.get(re.sub(r"at=\d+", f"at={position}", picture))
        assert answer.mimetype == "image/jpeg"
        pixels = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (48, 64, 3)
        coloured.append(pixels.astype(int))
    assert np.abs(coloured[0] - coloured[1]).max() > 30
    for odd in ("at=99", "at=x", ""):
        assert measured.client.get(re.sub(r"at=\d+", odd, picture)).status_code == 404
    run(measured)
    assert measured.client.get(picture).status_code == 404  # measured again: the page asks for the new ones


def test_saving_moves_proposals_and_taking_back_brings_the_old_ones(measured: Backend) -> None:
    registry = measured.services.registry
    usual = registry.serving_name("1")
    answer = saved(measured, dent=0.11, scratch=0.5)
    assert answer.headers["Location"] == PAGE  # type: ignore[attr-defined]
    source = registry.proposing("1")
    assert source is not None and source.points == (("dent", 0.11),)
    assert registry.serving_name("1") != usual
    text = page(measured, PAGE)
    assert (
        "Masks are cut at dent 11 % now. Tasks that have masks keep them until all predictions are updated."
        in text
    )
    assert "Take it back" in text and "Take the last change back (as calibrated)" in text
    assert sides(text) == []
    versions = page(measured, "/projects/1/versions")
    assert "</a>: dent 11 %." in versions
    assert "Proposed is every part of dent from 11 % on, for somebody set the threshold." in versions
    assert "dent 11 %" in page(measured, "/projects/1/versions/v1")
    saved(measured, dent=0.11)
    text = page(measured, PAGE)
    assert "Nothing has changed: these thresholds are in force." in text and "Take it back" not in text
    (undo,) = re.findall(r'action="([^"]+/threshold/undo[^"]*)"', text)
    assert send(measured, undo).headers["Location"] == PAGE
    assert registry.serving_name("1") == usual
    assert "The thresholds are what they were before: as calibrated." in page(measured, PAGE)
    assert "Taken back, to as calibrated" in page(measured, "/projects/1/versions/v1")


def test_a_button_that_is_pressed_twice_takes_back_one_change(measured: Backend) -> None:
    for point in (0.3, 0.2, 0.1):
        saved(measured, dent=point)
    (undo, _) = re.findall(r'action="([^"]+/threshold/undo[^"]*)"', page(measured, PAGE))
    for _ in range(2):
        send(measured, undo)
    assert "Nothing was taken back: the thresholds have changed since." in page(measured, PAGE)
    assert measured.services.thresholds.of("1").points["dent"] == 0.2


def test_what_is_saved_is_what_the_sliders_showed(measured: Backend) -> None:
    text = page(measured, f"{at(dent=5)}&speed=250")
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', text))
    fields = {name: value for name, value in hidden.items() if name != "form_token"}
    assert fields == {
        "version": "v1",
        "source": "trained",
        "speed": "250",
        "point:dent": str(POINTS[5]),
        "point:scratch": "0.5",
    }
    send(measured, PAGE, **fields)
    text = page(measured, PAGE)
    assert part(text, "point-0") == percent_of(POINTS[5])
    assert 'value="250"' in text
    assert "Proposed is every part of dent" in page(measured, "/projects/1/versions")
    send(measured, PAGE, version="v1", source="trained")  # the button that brings the calibrated ones
    assert "Masks are cut as calibrated now." in page(measured, PAGE)


def test_a_threshold_that_lies_between_two_positions_stays_what_it_is(measured: Backend) -> None:
    saved(measured, dent=0.123)
    assert 'name="point:dent" value="0.123"' in page(measured, PAGE)
    assert 'name="point:dent" value="0.123"' in page(measured, at(scratch=2))


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ({"hole": 0.2}, "version v1 of project 1 knows no defect type 'hole'; it knows: dent, scratch."),
        ({"dent": 0}, "The threshold of 'dent' cannot be '0.0': give a probability from 0.001 to 0.999"),
        ({"dent": "1.5"}, "The threshold of 'dent' cannot be '1.5'"),
        ({"dent": "much"}, "The threshold of 'dent' cannot be 'nan'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(measured: Backend, points: dict[str, object], says: str) -> None:
    answer = saved(measured, **points)
    assert answer.status_code == 409  # type: ignore[attr-defined]
    assert says in page_text(answer)
    assert measured.services.registry.serving_name("1") == "fake-1+p1-v1"


def page_text(answer: object) -> str:
    return " ".join(unescape(answer.text).split())  # type: ignore[attr-defined]


def test_a_version_that_does_not_serve_any_more_is_not_changed(measured: Backend, tmp_path: Path) -> None:
    serve(measured, tmp_path, created=2.0)
    measured.services.registry.delete("1", "v1")
    answer = saved(measured, dent=0.2)
    assert answer.status_code == 409  # type: ignore[attr-defined]
    assert "meant for v1" in page_text(answer) and "nothing was changed" in page_text(answer)
    text = page(measured, PAGE)
    assert "Thresholds of version v2" in text and 'type="range"' not in text


def test_before_a_training_the_packaged_network_has_a_threshold(make_backend: Callable[..., Backend]) -> None:
    made = make_backend(engine=GradedEngine())
    label_shades(made, SHADES, good=4)
    run(made)
    text = page(made, at(defect=4))
    assert "Threshold of a defect" in text
    assert sides(text)[0].endswith("found")
    send(made, PAGE, **{"version": "", "source": "packaged", "point:defect": "0.9"})
    assert made.services.registry.serving_name("1").startswith("fake-1-at-")
    assert "Thresholds</a>: a defect 90 %." in page(made, "/projects/1/versions")


def test_without_a_labelled_image_only_good_ones_are_judged(make_backend: Callable[..., Backend]) -> None:
    made = make_backend(engine=GradedEngine())
    label_shades(made, [], good=4)
    run(made)
    text = page(made, at(defect=0))
    assert "what would be missed is not known" in text
    assert sides(text) == ["clean → marked"] * 4
    assert "found <strong>" not in text and "good images marked <strong>100 %" in text


def test_without_a_good_image_only_labelled_ones_are_judged(
    make_backend: Callable[..., Backend], tmp_path: Path
) -> None:
    made = make_backend(engine=GradedEngine())
    label_shades(made, SHADES)
    serve(made, tmp_path)
    run(made)
    text = page(made, PAGE)
    assert "what is marked falsely is not known" in text
    assert "good images marked <strong>" not in text


def test_a_curve_of_another_network_is_not_shown(measured: Backend) -> None:
    measured.engine.version = "fake-2"
    assert 'type="range"' not in page(measured, PAGE)


def test_images_are_named_and_lead_to_their_tasks(measured: Backend) -> None:
    assert len(shas(measured)) == 7
    text = page(measured, at(dent=len(POINTS) - 1))
    assert "1.png, task 1" in text and "2.png, task 2" in text


@pytest.mark.parametrize(
    ("point", "words"),
    [(0.5, "50 %"), (0.001, "0.1 %"), (0.999, "99.9 %"), (0.0301, "3 %"), (0.0534, "5.3 %")],
)
def test_points_in_words(point: float, words: str) -> None:
    assert percent_of(point) == words


def test_an_image_that_is_tried_is_cut_where_somebody_set_the_threshold(measured: Backend) -> None:
    measured.services.proposer.needed = lambda *_: 0.99  # type: ignore[method-assign]
    image = (measured.images / "3.png").read_bytes()  # a dent of which the network is 47 % sure

    def tried() -> str:
        answer = send(measured, "/projects/1/trial", image=(BytesIO(image), "3.png"))
        return " ".join(page(measured, answer.headers["Location"]).split())

    text = tried()
    assert "no, held back" in text and "set by hand" not in text
    saved(measured, dent=0.2)
    text = tried()
    assert "The threshold was set by hand on the page" in text
    rows = re.findall(r"</span> (\w+)</th> <td>([^<]+)</td>", text)
    assert rows == [("dent", "yes"), ("scratch", "no, held back")]
