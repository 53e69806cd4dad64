"""Every control tag of Label Studio 1.23.2: what `/setup`, a click, a saved annotation and a prediction make of it.

`pytest -s -k table` prints the table as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adclick_backend.training.training_set import build_training_set
from tests.helpers.backend import HEIGHT, WIDTH, Backend, square
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.labels import brush
from tests.helpers.real_configs import TWO_IMAGES, drawn

# The keys of _TAG_TO_CLASS in label_studio_sdk/label_interface/control_tags.py of label-studio-sdk 2.1.2, which Label
# Studio 1.23.2 pins.
SDK_TAGS = frozenset(
    (
        *("choices", "labels", "brush", "brushlabels", "bitmask", "bitmasklabels", "magicwand", "ellipse"),
        *("ellipselabels", "keypoint", "keypointlabels", "vector", "vectorlabels", "ocrlabels", "polygon"),
        *(
            "polygonlabels",
            "rectangle",
            "rectanglelabels",
            "videorectangle",
            "videovector",
            "videovectorlabels",
        ),
        *(
            "number",
            "datetime",
            "hypertextlabels",
            "pairwise",
            "paragraphlabels",
            "ranker",
            "rating",
            "relations",
        ),
        *("taxonomy", "textarea", "timeserieslabels", "timelinelabels", "chatmessage", "reactcode"),
    )
)
NOT_FOR_IMAGES = {
    **dict.fromkeys(("videorectangle", "videovector", "videovectorlabels", "timelinelabels"), "video"),
    **dict.fromkeys(("hypertextlabels", "paragraphlabels"), "text"),
    "timeserieslabels": "time series",
    "ocrlabels": "PDF; the editor of 1.23.2 has no such tag",
    "ranker": "list",
    "chatmessage": "chat",
    "reactcode": "its own data",
}


class Row(NamedTuple):
    """What is said and done about a tag."""

    setup: str
    click: str
    saved: str
    prediction: str


READY, SMART, NONE, OTHER_TOOL = "ready", 'needs smart="false"', "–", "sentence: another smart tool"
MASK, BOX, STRANGE = "mask", "box", "left out: cannot be learned from"
NORMAL, SILENT = "normal image", "nothing said of defects"
TABLE = {
    "BrushLabels": Row(SMART, OTHER_TOOL, MASK, "masks"),
    "KeyPointLabels": Row(READY, "mask", "left out: no mask", NONE),
    "Choices": Row(READY, NONE, NORMAL, "normal"),
    "RectangleLabels": Row(SMART, "mask inside", BOX, NONE),
    "Rectangle": Row(SMART, "mask inside", BOX, NONE),
    "Brush": Row(SMART, OTHER_TOOL, MASK, NONE),
    "MagicWand": Row(SMART, OTHER_TOOL, MASK, NONE),
    "Bitmask": Row(SMART, OTHER_TOOL, STRANGE, NONE),
    "BitmaskLabels": Row(SMART, OTHER_TOOL, STRANGE, NONE),
    "KeyPoint": Row(SMART, "mask", STRANGE, NONE),
    "Polygon": Row(READY, OTHER_TOOL, MASK, NONE),
    "PolygonLabels": Row(READY, OTHER_TOOL, MASK, NONE),
    "Ellipse": Row(READY, OTHER_TOOL, BOX, NONE),
    "EllipseLabels": Row(READY, OTHER_TOOL, BOX, NONE),
    "Vector": Row(READY, OTHER_TOOL, STRANGE, NONE),
    "VectorLabels": Row(READY, OTHER_TOOL, STRANGE, NONE),
    "Labels": Row(READY, NONE, MASK, NONE),
    "Number": Row(READY, NONE, SILENT, NONE),
    "DateTime": Row(READY, NONE, SILENT, NONE),
    "Rating": Row(READY, NONE, SILENT, NONE),
    "TextArea": Row(READY, NONE, SILENT, NONE),
    "Taxonomy": Row(READY, NONE, SILENT, NONE),
    "Relations": Row(READY, NONE, SILENT, NONE),
    "Pairwise": Row(READY, NONE, "left out: whose image nobody can tell", NONE),
}

LABELS = '<Label value="scratch"/><Label value="dent"/>'
SIDES = {"x": 25.0, "y": 100 / 3, "width": 12.5, "height": 50 / 3, "rotation": 0}  # the defect at (20, 20)
PLACES: dict[str, dict[str, Any]] = {
    "brush": {"format": "rle", "rle": brush(square(20, 20))["value"]["rle"]},
    "bitmask": {"format": "png", "imageDataURL": "data:image/png;base64,"},
    "keypoint": {"x": 100 * 20 / WIDTH, "y": 100 * 20 / HEIGHT, "width": 0.4},
    "rectangle": SIDES,
    "ellipse": {
        "x": 100 * 20 / WIDTH,
        "y": 100 * 20 / HEIGHT,
        "radiusX": 6.25,
        "radiusY": 25 / 3,
        "rotation": 0,
    },
    "polygon": {"points": [[25, 100 / 3], [37.5, 100 / 3], [37.5, 50], [25, 50]], "closed": True},
    "vector": {"vertices": [{"id": "a", "x": 25, "y": 25}, {"id": "b", "x": 50, "y": 50}], "closed": False},
}
PLACES["magicwand"] = PLACES["brush"]
SAID: dict[str, dict[str, Any]] = {
    "choices": {"choices": ["normal"]},
    "number": {"number": 3},
    "datetime": {"datetime": "2026-11-22"},
    "rating": {"rating": 4},
    "textarea": {"text": ["a remark"]},
    "taxonomy": {"taxonomy": [["part", "left"]]},
    "pairwise": {"selected": "left"},
}


def written(tag: str) -> str:
    """A config with key points and a brush on one image, and the tag before them."""
    if tag == "Pairwise":
        return TWO_IMAGES.replace("</View>", '<Pairwise name="tag" toName="front,back"/></View>')
    inside = LABELS if tag.endswith("Labels") else '<Choice value="normal"/>' * (tag == "Choices")
    name = "" if tag == "Relations" else ' name="tag" toName="image"'
    own = f"<{tag}{name}>{inside}</{tag}>"
    labels = (
        ""
        if tag in ("Labels", "BrushLabels", "KeyPointLabels")
        else f'<Labels name="names" toName="image">{LABELS}</Labels>'
    )
    brush_ = (
        ""
        if tag == "BrushLabels"
        else f'<BrushLabels name="brush" toName="image" smart="false">{LABELS}</BrushLabels>'
    )
    click = (
        ""
        if tag == "KeyPointLabels"
        else f'<KeyPointLabels name="click" toName="image">{LABELS}</KeyPointLabels>'
    )
    return f'<View><Image name="image" value="$image"/>{own}{labels}{brush_}{click}</View>'


def result_of(tag: str) -> list[dict[str, Any]]:
    """What Label Studio stores of the tag: a region of "scratch", or an answer about the image."""
    kind = tag.lower()
    if kind == "relations":
        return [{"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}]
    if kind in SAID:
        about = "tag" if kind == "pairwise" else "image"
        return [{"id": "r1", "type": kind, "from_name": "tag", "to_name": about, "value": SAID[kind]}]
    if kind == "labels":
        return [
            drawn("brush", "brush", "image", None, **PLACES["brush"]),
            drawn("labels", "tag", "image", "scratch"),
        ]
    if kind.endswith("labels"):
        return [drawn(kind, "tag", "image", "scratch", **PLACES[kind.removesuffix("labels")])]
    shape = "brush" if kind == "magicwand" else kind
    labels = drawn("labels", "names", "image", "scratch", **PLACES[kind])
    return [drawn(shape, "tag", "image", None, **PLACES[kind]), labels]


class Bench:
    """The running app, a project for each tag."""

    def __init__(self, folder: Path, label_studio: FakeLabelStudio) -> None:
        self.label_studio = label_studio
        self.backend = Backend(
            folder,
            label_studio_url=label_studio.url,
            label_studio_api_key=LEGACY_TOKEN,
            normal_choices="normal",
        )
        self.url = self.backend.draw("a.png", [(20, 20, 200), (44, 30, 200)])
        self.good = self.backend.draw("good.png")
        self.projects = 0

    def row(self, tag: str) -> Row:
        """What comes of a tag."""
        self.projects += 1
        project, config = str(self.projects), written(tag)
        return Row(
            self._setup(project, config),
            self._click(project, config, tag),
            self._saved(project, tag),
            self._predicted(project, config),
        )

    def _task(self, url: str) -> dict[str, Any]:
        data = {"image": url, "front": url, "back": self.good}
        return {"id": 1, "data": data, "annotations": [], "predictions": [], "drafts": []}

    def _setup(self, project: str, config: str) -> str:
        problems = self.backend.setup(f"{project}.1795338618", config).json.get("problems", [])
        return " ".join(SMART if SMART in problem else problem for problem in problems) or READY

    def _click(self, project: str, config: str, tag: str) -> str:
        store = self.backend.services.store.problems
        store.clear(project)
        drawn = [item for item in result_of(tag) if tag != "Labels" or item["type"] == "labels"]
        answer = self.backend.click(self._task(self.url), drawn, f"{project}.1795338618", config)
        assert answer.status_code == 200
        (prediction,) = answer.json["results"]
        if prediction["result"]:
            (region,) = prediction["result"]
            assert region["type"] == "brushlabels"
            pixels = self.backend.engine.clicked[-1]
            assert len(pixels[2]) == 1
            return "mask inside" if tag.startswith("Rectangle") else "mask"
        said = [problem.sentence for problem in store.latest(project)]
        return OTHER_TOOL if said and "A smart tool drew a region" in said[0] else " ".join(said) or NONE

    def _saved(self, project: str, tag: str) -> str:
        saved = {
            "id": int(project),
            "task": 1,
            "result": result_of(tag),
            "was_cancelled": False,
            "updated_at": "2026-11-22T09:11:41Z",
        }
        task = self._task(self.url)
        body = {"annotation": saved, "task": {"id": 1, "data": task["data"]}}
        self.backend.client.post(
            "/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": int(project)}, **body}
        )
        self.label_studio.projects = [int(project)]
        self.label_studio.tasks = [{**task, "annotations": [saved]}]
        assert self.backend.sync(project) == ""
        kinds = [*self.backend.services.labels.details(project).types.get("scratch", {})]
        references = self.backend.services.store.references.of_project(project)
        found = build_training_set(project, self.backend.services)
        if references:
            assert kinds == [] and found.skipped == [] and [*found.images[0].labels] == []
            return NORMAL
        if kinds:
            return kinds[0]
        skipped = found.skipped[0]
        words = {"cannot be learned from": STRANGE, "was not accepted": "left out: no mask"}
        words["says nothing about defects"] = SILENT
        words["nobody can tell"] = "left out: whose image nobody can tell"
        return next((short for part, short in words.items() if part in skipped), skipped)

    def _predicted(self, project: str, config: str) -> str:
        self.backend.serve_version(project)
        found = []
        for url in (self.url, self.good):
            answer = self.backend.open_tasks(
                [self._task(url)], f"{project}.1795338618", label_config=config
            ).json["results"][0]
            result = answer["result"] if answer else []
            found += [region["type"] for region in result if region["from_name"] == "tag"]
        return ", ".join({"brushlabels": "masks", "choices": "normal"}[kind] for kind in found) or NONE


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with FakeLabelStudio() as label_studio:
        bench = Bench(tmp_path_factory.mktemp("tags"), label_studio)
        yield bench
        bench.backend.close()


def test_no_tag_of_label_studio_is_missing() -> None:
    assert {tag.lower() for tag in TABLE} | NOT_FOR_IMAGES.keys() == SDK_TAGS


@pytest.mark.parametrize("tag", TABLE)
def test_what_becomes_of_a_control_tag(bench: Bench, tag: str) -> None:
    assert bench.row(tag) == TABLE[tag]


def test_the_table_can_be_pasted() -> None:
    table = markdown()
    print(f"\n{table}")
    assert len(table.splitlines()) == 2 + len(TABLE)


def markdown() -> str:
    """The table as Markdown."""
    head = (
        "Tag",
        "`/setup`, the tag before the key points",
        "a click or stroke with it",
        "a saved annotation",
        "a prediction",
    )
    rows = [head, ("---",) * len(head), *((f"`<{tag}>`", *row) for tag, row in TABLE.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
