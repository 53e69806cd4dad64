"""The card of shortcuts: on the overview, and alone for the printer, with the keys of the project's own config."""

from __future__ import annotations

from adclick_backend.dashboard.shortcuts import label_keys
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page

CLICK = 'smartOnly="true">\n    <Label value="scratch"'
WITH_KEYS = (
    CONFIG.replace(CLICK, f'{CLICK} hotkey="1"')
    .replace('<Label value="dent"/></BrushLabels>', '<Label value="dent" hotkey="shift+2"/></BrushLabels>')
    .replace('<Choice value="normal"/>', '<Choice value="normal" hotkey="n"/>')
)


def test_the_keys_are_those_of_the_config() -> None:
    found = [(one.key, one.what) for one in label_keys(WITH_KEYS)]
    assert found == [("Shift + 2", "paint dent"), ("1", "click scratch"), ("n", "choose normal")]
    assert label_keys(CONFIG) == label_keys("<View") == label_keys("") == []


def test_the_card_stands_on_the_overview_and_alone(connected: Backend) -> None:
    for route in ("/projects/1", "/projects/1/shortcuts"):
        assert "Label Studio shows the key of a label beside its name." in page(connected, route)
    connected.setup(config=WITH_KEYS)
    for route in ("/projects/1", "/projects/1/shortcuts"):
        text = page(connected, route)
        assert "<kbd>Shift + 2</kbd></dt><dd>paint dent</dd>" in text
        assert "<kbd>Alt + click</kbd>" in text and "<kbd>Ctrl + Enter</kbd>" in text
        assert "Keep label selected after creating a region" in text
    assert "<kbd>" not in page(connected, "/projects/1/labels")
