"""The labels that ask for all that is alike: read, added on request, and never a fault of the config."""

from __future__ import annotations

import pytest

from adclick_backend.config.alike_labels import AlikeLabel, read_alike_label
from adclick_backend.config.all_alike import with_all_alike
from adclick_backend.config.labeling_config import parse_labeling_config, recommended_config

CONFIG = recommended_config(["scratch", "dent"])


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ("scratch (all)", AlikeLabel("scratch", "all")),
        (" Scratch (EACH) ", AlikeLabel("Scratch", "each")),
        ("scratch", None),
        ("(all)", None),
        (" (all)", None),
        ("overall", None),
    ],
)
def test_reading(label: str, read: AlikeLabel | None) -> None:
    assert read_alike_label(label) == read


@pytest.mark.parametrize("regions", ["all", "each"])
def test_every_brush_label_gets_one_and_the_config_stays_ready(regions: str) -> None:
    written, (sentence,) = with_all_alike(CONFIG, regions)  # type: ignore[arg-type]
    config = parse_labeling_config(written)
    assert config.problems == () and config.changes == ()
    assert config.main.brush_labels == ("scratch", "dent")
    assert config.main.click_labels == ("scratch", "dent", f"scratch ({regions})", f"dent ({regions})")
    assert config.main.brush_label_for(f"dent ({regions})") == "dent"
    assert config.main.asks_for_alike(f"dent ({regions})") == regions
    assert f'"scratch ({regions})", "dent ({regions})"' in sentence
    assert with_all_alike(written, regions) == (written, ())  # type: ignore[arg-type]


def test_the_recommended_config_has_none() -> None:
    assert not parse_labeling_config(CONFIG).offers_alike
    assert parse_labeling_config(with_all_alike(CONFIG)[0]).offers_alike


def test_background_and_labels_of_the_task_get_none() -> None:
    config = recommended_config(["scratch", "background"])
    labels = parse_labeling_config(with_all_alike(config)[0]).main.click_labels
    assert "background (all)" not in labels
    from_task = CONFIG.replace('<BrushLabels name="brush"', '<BrushLabels value="$labels" name="brush"')
    assert with_all_alike(from_task) == (from_task, ())


def test_a_correction_does_not_make_it_a_label_to_paint_with() -> None:
    written = with_all_alike(CONFIG)[0].replace('smart="false"', "")
    config = parse_labeling_config(written)
    assert config.changes
    assert parse_labeling_config(config.corrected).main.brush_labels == ("scratch", "dent")


def test_an_ending_without_its_label_is_said() -> None:
    written = with_all_alike(CONFIG)[0].replace("scratch (all)", "hole (all)")
    (problem,) = parse_labeling_config(written).problems
    assert '"hole (all)"' in problem
