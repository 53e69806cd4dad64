"""Labeling configs as people write them: what belongs together, what is wrong, what to paste instead."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adclick_backend.config.labeling_config import parse_labeling_config, recommended_config, summary_sentence
from adclick_backend.config.layout import former_config

FIXTURES = Path(__file__).parents[2] / "fixtures"

IMAGE = '<Image name="image" value="$image"/>'
LABELS = '<Label value="scratch"/><Label value="dent"/>'
BRUSH = f'<BrushLabels name="brush" toName="image" smart="false">{LABELS}</BrushLabels>'
CLICK = f'<KeyPointLabels name="click" toName="image" smart="true">{LABELS}</KeyPointLabels>'
CHOICES = '<Choices name="state" toName="image"><Choice value="normal"/><Choice value="defective"/></Choices>'


def view(*parts: str) -> str:
    return f"<View>{''.join(parts)}</View>"


GOOD = view(IMAGE, BRUSH, CLICK, CHOICES)

READY = {
    "recommended": GOOD,
    "without choices": view(IMAGE, BRUSH, CLICK),
    "key points first": view(CLICK, IMAGE, BRUSH),
    "nested views": view(IMAGE, "<View><View>", BRUSH, "</View>", CLICK, "</View>"),
    "tags and attributes in any case": GOOD.replace("BrushLabels", "brushlabels").replace("toName", "toname"),
    "entities, comments and a declaration": '<?xml version="1.0" encoding="utf-8"?>'
    + GOOD.replace("<Image", "<!-- a &amp; b --><Header value='a &lt; b &#228;'/><Image"),
    "smart by default": GOOD.replace(' smart="true"', ""),
    "key points that are only smart": GOOD.replace(' smart="true"', ' smart="true" smartOnly="true"'),
    "a background label to click": view(
        IMAGE, BRUSH, CLICK.replace(LABELS, LABELS + '<Label value="Background"/>')
    ),
    "labels in another case": view(IMAGE, BRUSH, CLICK.replace("scratch", "Scratch")),
    "labels from the task": view(
        IMAGE,
        '<BrushLabels name="brush" toName="image" smart="false" value="$labels"/>',
        '<KeyPointLabels name="click" toName="image" smart="true" value="$labels"/>',
    ),
    "rectangles that are not smart": view(
        IMAGE, '<Rectangle name="r" toName="image" smart="false"/>', BRUSH, CLICK
    ),
}


@pytest.mark.parametrize("xml", READY.values(), ids=READY.keys())
def test_a_config_without_a_fault_is_left_as_it_is(xml: str) -> None:
    config = parse_labeling_config(xml)
    assert config.problems == ()
    assert config.can_click
    assert config.corrected == xml
    assert summary_sentence(config).startswith("The labeling config is ready")


# name: config, what the problems say, can a click be answered
FAULTS: dict[str, tuple[str, list[str], bool]] = {
    "no image": (view(BRUSH, CLICK), ["There is no <Image>"], False),
    "no brush": (view(IMAGE, CLICK), ["There is no <BrushLabels>"], False),
    "brush without labels": (
        view(IMAGE, BRUSH.replace(LABELS, ""), CLICK),
        ['The <BrushLabels> "brush" has no <Label>'],
        False,
    ),
    "smart brush": (
        GOOD.replace(' smart="false"', ""),
        ['The <BrushLabels> "brush" needs smart="false"'],
        True,
    ),
    "brush that is only smart": (
        GOOD.replace('smart="false"', 'smart="false" smartOnly="true"'),
        ['The <BrushLabels> "brush" needs smart="false"'],
        True,
    ),
    "smart brush and smart rectangle": (
        view(IMAGE, BRUSH.replace("false", "true"), '<RectangleLabels name="box" toName="image"/>', CLICK),
        ['<BrushLabels> "brush" needs smart="false"', '<RectangleLabels> "box" needs smart="false"'],
        True,
    ),
    "no key points": (view(IMAGE, BRUSH), ["There is no <KeyPointLabels>"], False),
    "key points that are not smart": (
        GOOD.replace('smart="true"', 'smart="False"'),
        ['The <KeyPointLabels> "click" needs smart="true"'],
        True,
    ),
    "key points without labels": (
        view(IMAGE, BRUSH, CLICK.replace(LABELS, "")),
        ['The <KeyPointLabels> "click" has no <Label>'],
        True,
    ),
    "a label missing in each": (
        view(IMAGE, BRUSH, CLICK.replace("dent", "stain")),
        ['add to <BrushLabels>: "stain".', 'add to <KeyPointLabels>: "dent".'],
        True,
    ),
    "no labels at all": (
        view(IMAGE, BRUSH, CLICK).replace(LABELS, ""),
        ['The <BrushLabels> "brush" has no <Label>', 'The <KeyPointLabels> "click" has no <Label>'],
        False,
    ),
    "another image clicked than painted": (
        view(IMAGE, BRUSH, CLICK.replace('toName="image"', 'toName="other"')),
        ['both need toName="image", but have "image", "other"'],
        False,
    ),
    "an image that is not in the task": (
        GOOD.replace("$image", "https://example.com/a.png"),
        ['The <Image> "image" has value="https://example.com/a.png"'],
        False,
    ),
    "polygons only": (
        view(IMAGE, f'<PolygonLabels name="label" toName="image">{LABELS}</PolygonLabels>'),
        ["There is no <BrushLabels>", "There is no <KeyPointLabels>"],
        False,
    ),
    "no labeling interface yet": ("<View></View>", ["<Image>", "<BrushLabels>", "<KeyPointLabels>"], False),
    "not a view": (BRUSH, ["<Image>", "<KeyPointLabels>"], False),
    "empty": ("", ["The labeling config is empty."], False),
    "not XML": ("<View><Image></View>", ["The labeling config is not valid XML (mismatched tag"], False),
    "undefined entity": (GOOD.replace("scratch", "&bomb;"), ["not valid XML (undefined entity"], False),
    "text": ("brush and click, please", ["not valid XML (syntax error"], False),
}


@pytest.mark.parametrize(("xml", "sentences", "can_click"), FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_is_said_and_corrected(xml: str, sentences: list[str], can_click: bool) -> None:
    """reliability row 13"""
    config = parse_labeling_config(xml)
    assert len(config.problems) == len(sentences)
    for problem, sentence in zip(config.problems, sentences, strict=True):
        assert sentence in problem
        assert problem.endswith(".")
    assert config.can_click == can_click
    assert summary_sentence(config).endswith(config.problems[0])

    corrected = parse_labeling_config(config.corrected)
    assert corrected.problems == ()
    assert corrected.can_click
    assert corrected.main.choices_name


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ('<Image name="second" value="$second"/>', 'There are 2 images ("image", "second"); only "image"'),
        (BRUSH.replace('"brush"', '"brush2"'), 'There are 2 <BrushLabels> ("brush", "brush2"); only "brush"'),
        (
            CLICK.replace('"click"', '"click2"'),
            'There are 2 <KeyPointLabels> ("click", "click2"); only "click"',
        ),
    ],
)
def test_what_only_a_person_can_decide_is_said_and_left_alone(extra: str, sentence: str) -> None:
    """reliability row 13"""
    config = parse_labeling_config(view(IMAGE, BRUSH, CLICK, extra))
    assert len(config.problems) == 1
    assert sentence in config.problems[0]
    assert config.can_click
    assert parse_labeling_config(config.corrected).problems == config.problems


def test_among_several_controls_the_pair_on_one_image_answers() -> None:
    config = parse_labeling_config(
        view(
            IMAGE,
            '<Image name="detail" value="$close up"/>',
            BRUSH,
            BRUSH.replace("image", "detail").replace("brush", "paint"),
            CLICK.replace("image", "detail").replace("click", "plain").replace("true", "false"),
            CLICK.replace("image", "detail"),
            CHOICES,
            CHOICES.replace('"state"', '"region state"')
            .replace("image", "detail")
            .replace("toName", 'perRegion="true" toName'),
            CHOICES.replace('"state"', '"detail state"').replace("image", "detail"),
        )
    )
    image = config.main
    assert (image.name, image.value) == ("detail", "$close up")
    assert (image.brush_name, image.click_name, image.choices_name) == ("paint", "click", "detail state")


def test_the_config_of_the_recorded_setup_request() -> None:
    requests = json.loads((FIXTURES / "requests_to_backend.json").read_text())
    config = parse_labeling_config(requests["POST /setup"]["body"]["schema"])
    (image,) = config.images
    assert (image.name, image.value) == ("image", "$image")
    assert (image.brush_name, image.brush_labels) == ("brush", ("scratch", "dent"))
    assert (image.click_name, image.click_labels) == ("click", ("scratch", "background"))
    assert (image.choices_name, image.choices) == ("state", ("normal", "defective"))
    assert config.can_click  # Label Studio sent clicks with it, though not along every path
    assert len(config.problems) == 2


def test_labels_are_read_as_regions_store_them() -> None:
    labels = (
        '<View><Label value="Scratch" alias="s"/></View><Label value=" dent "/><Label value="dent"/><Label/>'
    )
    config = parse_labeling_config(view(IMAGE, BRUSH, CLICK).replace(LABELS, labels))
    assert config.main.brush_labels == config.main.click_labels == ("s", " dent ", "dent")


def test_the_corrected_config_is_still_the_persons() -> None:
    xml = view(
        "<!-- line 4, camera 2 -->",
        "<Style>.a > .b { color: red }</Style>",
        '<Image name="foto" value="$bild" rotateControl="true"/>',
        '<BrushLabels name="maske" toName="foto" opacity="0.5">',
        '<Label value="Kratzer &amp; Riß" background="#ff0000" hotkey="1"/>',
        "</BrushLabels>",
        '<TextArea name="click" toName="foto"/>',
        '<Choices name="gut" toName="foto"><Choice value="i.O."/></Choices>',
    )
    config = parse_labeling_config(xml)
    assert len(config.problems) == 1
    root = ET.fromstring(config.corrected)
    assert root.findtext("Style") == ".a > .b { color: red }"
    assert "<!-- line 4, camera 2 -->" in config.corrected
    assert root.find("Image").attrib == {"name": "foto", "value": "$bild", "rotateControl": "true"}  # type: ignore[union-attr]
    assert [element.get("name") for element in root if element.get("name")] == [
        *("foto", "maske", "click", "gut"),
    ]
    row = root.find("View")  # above the image, with all that is new
    assert row is not None and list(root).index(row) < list(root).index(root.find("Image"))  # type: ignore[arg-type]
    assert [element.get("name") for element in row] == [None, "click2"]  # "click" was taken
    click = row.find("KeyPointLabels")
    assert click is not None
    assert click.attrib == {"name": "click2", "toName": "foto", "smart": "true", "smartOnly": "true"}
    # The colour comes along, the hotkey stays with the brush.
    assert [label.attrib for label in click] == [{"value": "Kratzer & Riß", "background": "#ff0000"}]
    brush = root.find("BrushLabels")
    assert brush is not None
    assert brush.attrib == {"name": "maske", "toName": "foto", "opacity": "0.5", "smart": "false"}


def test_a_background_label_is_never_given_to_the_brush() -> None:
    clicks = CLICK.replace(LABELS, LABELS + '<Label value="Nicht"/><Label value="stain"/>')
    config = parse_labeling_config(view(IMAGE, BRUSH, clicks), background_labels=("nicht",))
    assert parse_labeling_config(config.corrected).brush_labels == ("scratch", "dent", "stain")


def test_the_recommended_config_has_the_shape_that_works() -> None:
    xml = recommended_config(["scratch", 'a "b" <c>'])
    config = parse_labeling_config(xml)
    assert config.problems == ()
    assert config.main.brush_labels == config.main.click_labels == ("scratch", 'a "b" <c>')
    assert config.main.choices == ("normal", "defective")
    tags = [element.tag for element in ET.fromstring(xml).iter() if element.tag not in ("Label", "Choice")]
    assert tags == [
        *("View", "Style", "View"),
        *("Header", "KeyPointLabels", "Header", "BrushLabels", "Choices"),
        "Image",
    ]
    assert '<KeyPointLabels name="click" toName="image" smart="true" smartOnly="true">' in xml
    assert '<BrushLabels name="brush" toName="image" smart="false">' in xml
    keys = [element.get("hotkey") for element in ET.fromstring(xml).iter() if element.get("hotkey")]
    assert keys == ["1", "2", "shift+1", "shift+2", "n", "d"]


def test_a_label_that_is_the_only_one_is_chosen_when_a_task_is_opened() -> None:
    def chosen(labels: list[str]) -> list[str | None]:
        root = ET.fromstring(recommended_config(labels))
        return [label.get("value") for label in root.iter("Label") if label.get("selected")]

    assert chosen(["dent"]) == ["dent"]
    assert chosen(["scratch", "dent"]) == []


def test_no_label_after_the_ninth_has_a_digit_for_a_key() -> None:
    xml = recommended_config([f"kind {number}" for number in range(1, 13)])
    root = ET.fromstring(xml)
    for control, keys in (("KeyPointLabels", "{}"), ("BrushLabels", "shift+{}")):
        labels = list(next(root.iter(control)))
        assert [label.get("hotkey") for label in labels] == [
            *(keys.format(digit) for digit in range(1, 10)),
            *(None, None, None),
        ]


def test_more_rows_of_labels_leave_less_of_the_window_to_the_image() -> None:
    def height(labels: list[str]) -> str | None:
        return next(ET.fromstring(recommended_config(labels)).iter("Image")).get("maxHeight")

    assert height(["scratch", "dent"]) == "calc(100vh - 188px)"
    assert height([*EIGHT_KINDS]) == "calc(100vh - 256px)"


EIGHT_KINDS = ("scratch", "dent", "stain", "crack", "tear", "missing", "colour", "fold")


def test_what_was_recommended_before_is_offered_the_layout() -> None:
    labels = ["scratch", "dent"]
    config = parse_labeling_config(former_config(labels))
    assert config.problems == ()
    assert config.corrected == recommended_config(labels)
    assert "above the image" in config.changes[0]
    assert summary_sentence(config).startswith("The labeling config is ready")
    again = parse_labeling_config(config.corrected)
    assert (again.corrected, again.changes) == (config.corrected, ())


@pytest.mark.parametrize(
    ("own", "instead"),
    [
        ('zoom="true"', 'zoom="true" rotateControl="true"'),
        ('<Label value="dent" />', '<Label value="dent" background="#ff0000" />'),
        ("<View>", '<View style="display: flex">'),
        ("</View>", '<TextArea name="note" toName="image" /></View>'),
    ],
)
def test_what_a_person_changed_in_it_stays(own: str, instead: str) -> None:
    xml = former_config(["scratch", "dent"]).replace(own, instead, 1)
    config = parse_labeling_config(xml)
    assert (config.problems, config.changes, config.corrected) == ((), (), xml)


def test_new_labels_take_no_key_that_a_person_gave_away() -> None:
    mine = '<Choices name="state" toName="image"><Choice value="ok" hotkey="1"/></Choices>'
    root = ET.fromstring(parse_labeling_config(view(IMAGE, BRUSH, mine)).corrected)
    click = next(root.iter("KeyPointLabels"))
    assert [label.get("hotkey") for label in click] == [None, "2"]


def test_a_view_that_a_person_laid_out_gets_nothing_between_its_parts() -> None:
    xml = view(IMAGE, BRUSH).replace("<View>", '<View style="display: flex">')
    root = ET.fromstring(parse_labeling_config(xml).corrected)
    assert [element.tag for element in root] == ["Image", "BrushLabels", "KeyPointLabels", "Choices"]


@pytest.mark.parametrize(
    ("labels", "clicked", "painted"),
    [
        (("scratch", "dent"), "dent", "dent"),
        (("scratch", "dent"), " DENT", "dent"),
        (("Dent", "dent"), "dent", "dent"),
        (("scratch", "dent"), "renamed", None),
        (("scratch", "dent"), "", None),
        (("defect",), "renamed", "defect"),
        (("defect",), "", "defect"),
        ((), "dent", None),
    ],
)
def test_a_click_is_painted_with_a_label_that_exists(
    labels: tuple[str, ...], clicked: str, painted: str | None
) -> None:
    """reliability row 13"""
    written = "".join(f'<Label value="{label}"/>' for label in labels)
    config = parse_labeling_config(view(IMAGE, BRUSH.replace(LABELS, written), CLICK))
    assert config.main.brush_label_for(clicked) == painted


def test_labels_from_the_task_are_trusted() -> None:
    config = parse_labeling_config(READY["labels from the task"])
    assert config.main.brush_label_for("stain") == "stain"
    assert config.main.brush_label_for("") is None
    assert "labels of the task" in summary_sentence(config)


def test_labels_from_the_task_reach_the_other_control_too() -> None:
    brush = '<BrushLabels name="brush" toName="image" smart="false" value="$labels"/>'
    config = parse_labeling_config(view(IMAGE, brush))
    click = next(ET.fromstring(config.corrected).iter("KeyPointLabels"))
    assert click.get("value") == "$labels"


BOMB = '<!DOCTYPE v [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><View>&b;</View>'
INCLUDE = '<!DOCTYPE v [<!ENTITY f SYSTEM "file:///etc/hostname">]><View>&f;</View>'


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        (BOMB, "declares a DTD or entities"),
        (INCLUDE, "declares a DTD or entities"),
        ("<View>" * 100_000, "more than 100 tags deep"),
        ("<View>" * 500 + "</View>" * 500, "more than 100 tags deep"),
        (view(IMAGE) + " " * 1_000_000, "longer than 1000000 characters"),
        (view("\0"), "not valid XML"),
        (view("\ud800"), "not valid XML"),
    ],
    ids=["billion laughs", "file inclusion", "unclosed nesting", "nesting", "size", "null", "lone surrogate"],
)
def test_hostile_xml_is_refused(xml: str, sentence: str) -> None:
    config = parse_labeling_config(xml)
    assert len(config.problems) == 1
    assert sentence in config.problems[0]
    assert parse_labeling_config(config.corrected).can_click


PARTS = [
    IMAGE,
    BRUSH,
    CLICK,
    CHOICES,
    LABELS,
    '<Image name="b"/>',
    "<BrushLabels/>",
    "<KeyPointLabels/>",
    "<View>x</View>",
]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=6).map(lambda parts: view(*parts)) | st.text(max_size=40))
def test_whatever_the_config_the_corrected_one_can_be_clicked(xml: str) -> None:
    """reliability row 13"""
    config = parse_labeling_config(xml)
    assert all(problem.endswith(".") for problem in config.problems)
    assert parse_labeling_config(config.corrected).can_click


def many_controls(number: int, target: str) -> str:
    """Images, brushes and key points of which no two belong together."""
    return view(
        *(f'<Image name="i{k}" value="$i{k}"/>' for k in range(number)),
        *(
            f'<BrushLabels name="b{k}" toName="{target}b{k}"><Label value="x"/></BrushLabels>'
            for k in range(number)
        ),
        *(
            f'<KeyPointLabels name="k{k}" toName="{target}k{k}"><Label value="x"/></KeyPointLabels>'
            for k in range(number)
        ),
    )


def test_a_config_with_many_controls_is_read_in_no_time() -> None:
    """80 brushes, 80 key points and 80 images that do not match took half a minute once."""
    xml = many_controls(80, "other")
    assert len(xml) > 14_000
    start = time.process_time()
    config = parse_labeling_config(xml)
    assert time.process_time() - start < 1.0
    assert 'both need toName="i0"' in " ".join(config.problems)


def test_a_config_with_more_controls_than_anybody_can_use_is_refused() -> None:
    config = parse_labeling_config(many_controls(400, "other"))
    assert config.problems == ("The labeling config has 1200 elements with a name, more than 1000.",)


def test_the_same_config_is_taken_apart_once() -> None:
    assert parse_labeling_config(GOOD) is parse_labeling_config(GOOD)
    other = parse_labeling_config(GOOD, background_labels=("nicht",))
    assert other is not parse_labeling_config(GOOD)


def elements(xml: str) -> Counter[tuple[str, ...]]:
    """Every element with its attributes, wherever it stands."""
    return Counter(
        (str(element.tag), *(f'{name}="{value}"' for name, value in sorted(element.attrib.items())))
        for element in ET.fromstring(xml).iter()
        if isinstance(element.tag, str)
    )


@pytest.mark.parametrize(
    "xml",
    [
        view(IMAGE, BRUSH.replace(' smart="false"', ""), CLICK.replace(' smart="true"', "")),
        view(IMAGE, '<RectangleLabels name="box" toName="image" smartOnly="true"/>', BRUSH, CLICK),
        view(IMAGE, f'<PolygonLabels name="p" toName="image">{LABELS}</PolygonLabels>'),
        view('<Image name="image" valueList="$images"/>', BRUSH, CLICK),
        view('<Image name="image" value="a.png"/>', BRUSH, CLICK.replace("dent", "stain")),
        view(IMAGE, BRUSH.replace('toName="image"', 'toName="foto"'), CLICK),
        view('<Image value="$image"/>', "<BrushLabels/>", "<KeyPointLabels/>"),
        view(IMAGE, '<BrushLabels name="brush" toName="image" value="$labels"/>', CLICK),
        BRUSH,
        "<View/>",
    ],
)
def test_every_change_of_the_corrected_config_is_listed(xml: str) -> None:
    config = parse_labeling_config(xml)
    said = " ".join(config.changes)
    before, after = elements(xml), elements(config.corrected)
    gone, come = before - after, after - before
    for tag, *attributes in come.elements():
        twin = next((parts for other, *parts in gone if other == tag), [])
        for part in attributes:
            assert part in twin or part.partition("=")[2] in said, f"{tag} {part} is not in: {said}"
    for tag, *attributes in gone.elements():
        kept = [part for other, *parts in come for part in parts if other == tag]
        for part in attributes:
            assert part in kept or part.partition("=")[2] in said, f"{tag} {part} went and is not in: {said}"
