"""Proposals as Label Studio stores them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adclick_backend.answers.proposer import NOTES, by_hand
from adclick_backend.config.labeling_config import parse_labeling_config
from adclick_backend.engine.bank import VersionError
from adclick_backend.protocol.body import Task
from adclick_runtime.regions import Proposals
from tests.helpers.backend import CONFIG, HEIGHT, WIDTH, Backend, mask_of, square, task
from tests.helpers.references import png
from tests.helpers.versions import candidate, detector_candidate

CASES = {"both": [(20, 20, 200), (44, 30, 250)], "scratch": [(20, 20, 200)], "none": []}


def with_references(backend: Backend, count: int = 3, project: str = "1") -> None:
    for number in range(count):
        backend.services.references.add(project, png(80 + number), source="upload", name=f"{number}.png")
    backend.work()


def predict(backend: Backend, url: str, config: str = CONFIG, project: str = "1") -> Any:
    proposer = backend.services.proposer
    serving = proposer.serving(project)
    return proposer.predict(project, Task(**task(url)), parse_labeling_config(config), serving)


def test_a_trained_version_brings_a_region_for_each_label(backend: Backend) -> None:
    backend.serve_version()
    prediction = predict(backend, backend.draw("a.png", CASES["both"]))
    by_label = {region["value"]["brushlabels"][0]: region for region in prediction["result"]}
    assert np.array_equal(mask_of(by_label["scratch"]), square(20, 20))
    assert np.array_equal(mask_of(by_label["dent"]), square(44, 30))
    region = by_label["dent"]
    region["value"].pop("rle")
    assert region.pop("id").startswith("adclick-proposal-")
    assert region == {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"format": "rle", "brushlabels": ["dent"]},
        "score": 0.7,
    }
    assert (prediction["score"], prediction["model_version"]) == (0.6, "fake-1+p1-v1")


def test_references_alone_bring_what_is_unusual_and_say_so(backend: Backend) -> None:
    with_references(backend)
    prediction = predict(backend, backend.draw("a.png", CASES["both"]))
    (region,) = prediction["result"]
    assert region["meta"] == {"text": [NOTES["residual"]]}
    assert region["value"]["brushlabels"] == ["scratch"]  # the first label, for nobody said which defect
    assert np.array_equal(mask_of(region), square(20, 20) | square(44, 30))
    assert prediction["model_version"] == "fake-1"


def test_a_normal_image_is_said_to_be_normal(backend: Backend) -> None:
    backend.serve_version()
    url = backend.draw("a.png")
    (choice,) = predict(backend, url)["result"]
    assert choice["type"] == "choices"
    assert choice["from_name"] == "state"
    assert choice["value"] == {"choices": ["normal"]}
    assert predict(backend, url)["score"] == 0.9
    without = CONFIG.replace('<Choice value="normal"/>', "")
    assert predict(backend, url, without) is None  # an empty prediction would be kept and block later ones


def test_before_any_training_nothing_is_called_normal(backend: Backend) -> None:
    with_references(backend)
    assert predict(backend, backend.draw("a.png")) is None


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["scratch", "dent"], {"scratch": square(20, 20), "dent": square(44, 30)}),
        (["flaw"], {"flaw": square(20, 20) | square(44, 30)}),
        (["Dent", "stain"], {"Dent": square(44, 30)}),
        (["stain", "hole"], None),
    ],
)
def test_types_go_to_the_brush_labels_that_there_are(
    backend: Backend, labels: list[str], found: dict[str, Any] | None
) -> None:
    """Reliability row 13: never a label that does not exist."""
    backend.serve_version()
    painted = "".join(f'<Label value="{label}"/>' for label in labels)
    config = f"""<View><Image name="image" value="$image"/>
      <BrushLabels name="brush" toName="image">{painted}</BrushLabels></View>"""
    prediction = predict(backend, backend.draw("a.png", CASES["both"]), config)
    if found is None:
        assert prediction is None
        return
    masks: dict[str, Any] = {}
    for region in prediction["result"]:
        label = region["value"]["brushlabels"][0]
        masks[label] = masks.get(label, False) | mask_of(region)
    assert masks.keys() == found.keys()
    assert all(np.array_equal(masks[label], mask) for label, mask in found.items())


def with_label(backend: Backend, name: str, cases: Any) -> list[Any]:
    """The masks that are proposed where the config has one label for everything."""
    config = CONFIG.replace(
        '<Label value="scratch"/><Label value="dent"/></Brush', '<Label value="flaw"/></Brush'
    )
    return [mask_of(region) for region in predict(backend, backend.draw(name, cases), config)["result"]]


def test_types_that_the_config_cannot_tell_apart_are_one_region_where_they_touch(backend: Backend) -> None:
    backend.serve_version()
    apart = with_label(backend, "a.png", CASES["both"])
    assert len(apart) == 2
    side = int(square(20, 20).any(axis=0).sum())
    (together,) = with_label(backend, "b.png", [(20, 20, 200), (20 + side, 20, 250)])
    assert np.array_equal(together, square(20, 20) | square(20 + side, 20))


def test_a_part_has_an_id_of_its_own_that_depends_on_no_other_part(backend: Backend) -> None:
    backend.serve_version()
    alone = predict(backend, backend.draw("a.png", CASES["scratch"]))["result"]
    both = predict(backend, backend.draw("a.png", CASES["both"]))["result"]
    assert len({region["id"] for region in both}) == 2
    assert alone[0]["id"] in {region["id"] for region in both}


def test_an_unknown_defect_is_never_painted_as_background(backend: Backend) -> None:
    with_references(backend)
    url = backend.draw("a.png", CASES["scratch"])
    for labels, expected in ((["background", "stain"], "stain"), (["stain", "Defect"], "Defect")):
        painted = "".join(f'<Label value="{label}"/>' for label in labels)
        config = CONFIG.replace('<Label value="scratch"/><Label value="dent"/></Brush', f"{painted}</Brush")
        (region,) = predict(backend, url, config)["result"]
        assert region["value"]["brushlabels"] == [expected]


def test_a_region_keeps_its_id_until_the_version_changes(backend: Backend) -> None:
    backend.serve_version()
    url = backend.draw("a.png", CASES["scratch"])
    ids = [predict(backend, url)["result"][0]["id"] for _ in range(2)]
    backend.serve_version()
    ids.append(predict(backend, url)["result"][0]["id"])
    assert ids[0] == ids[1] != ids[2]


def test_a_version_of_one_project_never_serves_another(backend: Backend) -> None:
    """Reliability row 24."""
    backend.serve_version()
    with_references(backend, project="2")
    url = backend.draw("a.png", CASES["both"])
    assert predict(backend, url, project="1")["model_version"] == "fake-1+p1-v1"
    assert predict(backend, url, project="2")["model_version"] == "fake-1"
    (one, _, asked_of_one), (two, bank, asked_of_two) = backend.engine.proposed
    assert (one.project, two.project, bank.project) == ("1", "2", "2")
    assert asked_of_one is not None
    assert "/projects/1/" in str(asked_of_one.trained)
    assert asked_of_two is None


def test_a_version_activated_in_one_worker_is_served_by_the_other(
    make_backend: Callable[..., Backend], tmp_path: Path
) -> None:
    """Reliability row 16: two workers on one data folder, activation and roll back."""
    first, second = make_backend(), make_backend()
    with_references(first)
    url = first.draw("a.png", CASES["scratch"])

    def served_by_second() -> tuple[str, str]:
        answer = second.open_tasks([task(url)]).json["results"][0]
        return answer["model_version"], second.setup().json["model_version"]

    assert served_by_second() == ("fake-1", "fake-1")
    first.serve_version()
    assert served_by_second() == ("fake-1+p1-v1",) * 2
    first.services.registry.roll_back("1")
    assert served_by_second() == ("fake-1",) * 2
    assert second.engine.proposed[1][2] == first.services.registry.get("1", "v1").proposing()
    shutil.rmtree(tmp_path / "data/projects/1/models/v1")
    assert served_by_second() == ("fake-1",) * 2


def serve_detectors(backend: Backend) -> Path:
    """The next version has detectors, and its masks come from InvAD; where those are."""
    registry = backend.services.registry
    name = registry.new_name("1")
    folder = backend.settings.data_dir / "candidates" / name
    registry.publish("1", detector_candidate(candidate(folder, name.encode(), source="invad-tiny")), name)
    version = registry.activate("1", name)
    assert version.detector is not None
    return version.detector


def test_a_detector_brings_one_region_that_says_who_found_it(backend: Backend) -> None:
    with_references(backend)
    serve_detectors(backend)
    prediction = predict(backend, backend.draw("a.png", CASES["both"]))
    (region,) = prediction["result"]
    assert region["meta"]["text"][0].startswith("Found by InvAD: this place is unlike good images.")
    assert region["value"]["brushlabels"] == ["scratch"]
    assert prediction["model_version"] == "fake-1+p1-v1"
    # It learned nothing of defects, so it cannot say that there are none.
    assert predict(backend, backend.draw("b.png")) is None


def test_another_source_is_another_prediction(backend: Backend) -> None:
    """Region ids too: Label Studio keeps what it has under a name."""
    with_references(backend)
    serve_detectors(backend)
    url = backend.draw("a.png", CASES["scratch"])
    first = predict(backend, url)
    backend.services.registry.choose("1", "residual")
    second = predict(backend, url)
    assert second["model_version"] == "fake-1+p1-v1-residual"
    assert second["result"][0]["id"] != first["result"][0]["id"]
    assert backend.setup().json["model_version"] == "fake-1+p1-v1-residual"


def test_detectors_that_cannot_be_loaded_are_refused_and_the_version_before_answers(backend: Backend) -> None:
    """Reliability row 8."""
    with_references(backend)
    backend.serve_version()
    detector = serve_detectors(backend)
    backend.engine.broken.add(detector)
    url = backend.draw("a.png", CASES["scratch"])
    with pytest.raises(VersionError, match="lacks a layer"):
        predict(backend, url)
    assert predict(backend, url)["model_version"] == "fake-1+p1-v1"
    assert "lacks a layer" in backend.services.registry.get("1", "v2").damage
    assert not backend.services.registry.get("1", "v1").damage


def test_a_product_with_too_few_references_is_judged_by_the_trained_network(backend: Backend) -> None:
    with_references(backend, 2)
    serve_detectors(backend)
    prediction = predict(backend, backend.draw("a.png", CASES["both"]))
    assert {region["value"]["brushlabels"][0] for region in prediction["result"]} == {"scratch", "dent"}


def test_every_part_of_a_type_is_proposed_whose_threshold_somebody_set(backend: Backend) -> None:
    """However seldom people kept such parts: what they set by hand is what they want to see."""
    named = candidate(backend.services.settings.data_dir / "c", types=["dent", "scratch"])
    backend.services.registry.publish("1", named, "v1")
    backend.services.registry.activate("1", "v1")
    url = backend.draw("a.png", CASES["both"])
    proposer = backend.services.proposer
    config, shown = parse_labeling_config(CONFIG), Task(**task(url))
    proposer.needed = lambda *_: 0.99  # type: ignore[method-assign]
    assert proposer.predict("1", shown, config, proposer.serving("1")) is None
    backend.services.thresholds.choose("1", "v1", "trained", {"dent": 0.3})
    found = predict(backend, url)
    assert [region["value"]["brushlabels"] for region in found["result"]] == [["dent"]]
    assert found["model_version"].startswith("fake-1+p1-v1-at-")
    backend.services.thresholds.choose("1", "v1", "trained", {"dent": 0.95})
    assert predict(backend, url) is None


def test_a_threshold_set_for_another_source_shows_nothing_more(backend: Backend) -> None:
    """A version whose detectors need more references than there are proposes from its network, as it is calibrated."""
    candidate_with = detector_candidate(
        candidate(backend.services.settings.data_dir / "c", types=["defect", "dent"], source="invad-tiny")
    )
    backend.services.registry.publish("1", candidate_with, "v1")
    backend.services.registry.activate("1", "v1")
    backend.services.thresholds.choose("1", "v1", "invad-tiny", {"defect": 0.3})
    serving = backend.services.proposer.serving("1")
    assert serving.source is not None and serving.source.by_hand == {"defect"}
    few = Proposals((), 0.9, "trained", (8, 8))
    assert by_hand(few, serving.source) == frozenset()
    assert by_hand(replace(few, source="invad-tiny"), serving.source) == {"defect"}
