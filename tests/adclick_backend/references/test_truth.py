"""References and labels are one truth, kept in step with Label Studio; and only what a person said becomes one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from adclick_backend.references import syncing
from adclick_backend.training.training_set import build_training_set
from adclick_backend.workers import process
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated, block, brush, choice, rectangle, region
from tests.helpers.local_server import Reply
from tests.helpers.references import png, wait_for

MASK = block(8, 12, 16, 20)
LABELS = "/projects/1/labels"


def config(*controls: str) -> str:
    """`CONFIG` with other controls about the image."""
    return CONFIG.replace(
        '<Choices name="state" toName="image"><Choice value="normal"/><Choice value="defective"/></Choices>',
        "".join(controls),
    )


def choices(name: str, *values: str) -> str:
    inside = "".join(f'<Choice value="{value}"/>' for value in values)
    return f'<Choices name="{name}" toName="image">{inside}</Choices>'


def picked(name: str, *values: Any, kind: str = "choices") -> dict[str, Any]:
    return {
        "id": f"c{name}",
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "value": {kind: list(values)},
    }


def said(backend: Backend, result: list[dict[str, Any]], xml: str, number: int = 1, second: int = 41) -> None:
    """Connect with a labeling config, and submit an annotation of a task."""
    backend.setup(config=xml)
    url = backend.draw(f"{number}.png", grey=90 + number)
    backend.webhook(
        "ANNOTATION_CREATED",
        config=xml,
        annotation=annotated(number, result, second),
        task={"id": number, "data": {"image": url}},
    )


def truth(backend: Backend) -> tuple[list[int | None], dict[str, dict[str, str]], int]:
    """The tasks that are references, and what was labelled: types with kinds, and how many are normal."""
    references = [row.task_id for row in backend.services.store.references.of_project("1")]
    details = backend.services.labels.details("1")
    return references, details.types, details.normal  # type: ignore[return-value]


# --- only a statement about defects is one


SHARPNESS, STATE = choices("sharpness", "good", "blurred"), choices("state", "normal", "defective")
TAXONOMY = (
    '<Taxonomy name="tax" toName="image"><Choice value="Defect"><Choice value="Scratch"/></Choice>'
    '<Choice value="OK"/></Taxonomy>'
)
BOXES = """<RectangleLabels name="box" toName="image" smart="false">
  <Label value="OK"/><Label value="short"/>
</RectangleLabels>"""


@pytest.mark.parametrize(
    ("controls", "result", "expected"),
    [
        ([SHARPNESS, STATE], [picked("sharpness", "good"), picked("state", "defective")],
         ([], {"defect": {"tag": 1}}, 0)),
        ([choices("camera", "left", "right"), STATE], [picked("camera", "left")], ([], {}, 0)),
        ([choices("state", "No defect", "Defect")], [picked("state", "No defect")], ([], {}, 0)),
        ([TAXONOMY], [picked("tax", ["Defect", "Scratch"], kind="taxonomy")], ([], {"scratch": {"tag": 1}}, 0)),
        ([TAXONOMY], [picked("tax", ["OK"], kind="taxonomy")], ([1], {}, 1)),
        ([BOXES], [{**rectangle(8, 8, 20, 16, label="OK"), "from_name": "box"}], ([], {}, 0)),
        ([choices("result", "i.O.", "n.i.O.")], [picked("result", "i.O.")], ([], {}, 0)),
        (['<Rating name="stars" toName="image"/>'],
         [{"id": "r", "from_name": "stars", "to_name": "image", "type": "rating", "value": {"rating": 5}}],
         ([], {}, 0)),
    ],
    ids=["sharpness good, state defective", "camera left, nothing else", "choice No defect", "taxonomy Defect Scratch",
         "taxonomy OK", "rectangle labelled OK", "words of another language", "a rating"],
)  # fmt: skip
def test_what_does_not_speak_of_defects_trains_nothing(
    backend: Backend, controls: list[str], result: list[dict[str, Any]], expected: Any
) -> None:
    said(backend, result, config(*controls))
    assert truth(backend) == expected


def test_the_dashboard_asks_once_what_the_projects_own_words_mean(backend: Backend) -> None:
    xml = config(choices("befund", "i.O.", "n.i.O."))
    for number, word in enumerate(("i.O.", "n.i.O.", "i.O."), 1):
        said(backend, [picked("befund", word)], xml, number)
    assert truth(backend) == ([], {}, 0)
    assert "Which value of befund means free of defects" in page(backend, "/projects/1")
    shown = page(backend, LABELS)
    assert "What do these choices mean?" in shown and "n.i.O." in shown
    send(backend, f"{LABELS}/meanings", **{"meaning-0-0": "normal", "meaning-0-1": "defective"})
    assert truth(backend) == ([1, 3], {"defect": {"tag": 1}}, 2)
    assert "What do these choices mean?" not in page(backend, LABELS)
    assert "Which value of" not in page(backend, "/projects/1")
    # what is proposed to Label Studio speaks the same language
    vocabulary, main = backend.services.labels.vocabulary("1"), backend.services.labels.config("1").main
    assert vocabulary.normal_choice(main) == "i.O."
    # and the person may change their mind
    send(backend, f"{LABELS}/meanings", **{"meaning-0-0": "nothing", "meaning-0-1": "nothing"})
    assert truth(backend) == ([], {}, 0)


def test_a_meaning_that_there_is_not_is_refused(backend: Backend) -> None:
    said(backend, [], config(choices("befund", "i.O.", "n.i.O.")))
    assert send(backend, f"{LABELS}/meanings", **{"meaning-0-0": "fine"}).status_code == 400


def test_a_contradiction_is_listed_and_neither_side_trains(backend: Backend) -> None:
    said(backend, [choice("normal"), brush(MASK)], CONFIG)
    assert truth(backend) == ([], {}, 0)
    assert "It is called normal, and a defect is marked in it." in page(backend, LABELS)
    assert "called normal with a defect marked in it" in page(backend, "/projects/1")
    said(backend, [brush(MASK)], CONFIG, second=50)  # somebody decides
    assert truth(backend) == ([], {"scratch": {"mask": 1}}, 0)


def test_clicked_undone_and_submitted_empty_is_no_reference(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("1.png", [(20, 20, 200)])
    assert backend.click(task(url, 1), [point(20, 20)]).get_json()["results"][0]["result"]
    said(backend, [], CONFIG)
    assert truth(backend) == ([], {}, 0)
    assert "submitted empty after somebody had clicked" in page(backend, LABELS)
    said(backend, [], CONFIG, 2)  # nobody clicked there
    assert truth(backend) == ([2], {}, 1)
    said(backend, [choice("normal")], CONFIG, second=50)  # now it is said
    assert truth(backend) == ([2, 1], {}, 2)


def test_key_points_without_their_mask_are_named_and_computed_again(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    backend = connect(make_backend, server)
    server.tasks = [a_task(1, [region("keypointlabels", "scratch", x=31.25, y=41.67, width=1)], reds=True)]
    serve_images(server)
    backend.sync()
    assert "press the tick in the bottom bar before Submit" in page(backend, LABELS)
    assert "submitted without accepting the mask" in page(backend, "/projects/1")
    send(backend, f"{LABELS}/masks")
    run_the_job(backend)
    (prediction,) = server.tasks[0]["predictions"]  # type: ignore[misc]
    assert prediction["result"][0]["type"] == "brushlabels"
    assert prediction["result"][0]["value"]["brushlabels"] == ["scratch"]


# --- one truth with Label Studio


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as running:
        yield running


def connect(make_backend: Callable[..., Backend], server: FakeLabelStudio) -> Backend:
    backend = make_backend(label_studio_url=server.url, label_studio_api_key=PERSONAL_TOKEN)
    backend.services.store.projects.save("1", label_config=CONFIG, hostname=server.url, created="1795338618")
    return backend


def a_task(
    number: int, result: list[dict[str, Any]] | None, second: int = 0, reds: bool = False
) -> dict[str, Any]:
    return {
        "id": number,
        "project": 1,
        "reds": reds,
        "data": {"image": f"/data/upload/1/{number}.png"},
        "annotations": [] if result is None else [annotated(number, result, second)],
    }


def serve_images(server: FakeLabelStudio) -> None:
    for one in server.tasks:
        path = one["data"]["image"]  # type: ignore[index]
        server.files[path] = Reply(
            body=red_square() if one.get("reds") else png(10 + int(str(one["id"])) % 200)
        )


def red_square() -> bytes:
    picture = Image.new("RGB", (64, 48), (90, 90, 90))
    picture.paste((200, 0, 0), (16, 16, 24, 24))
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def run_the_job(backend: Backend) -> None:
    (job,) = [job for job in backend.services.jobs.of_project("1") if job.kind == "masks"]
    backend.services.store.jobs.begin(job.id, "Starting.")
    process._run(job.id, backend.services, None)
    assert backend.services.jobs.get("1", job.id).state == "done"


def test_what_was_marked_before_the_backend_was_connected_becomes_a_reference(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    backend = connect(make_backend, server)
    server.tasks = [a_task(1, [choice("normal")])]
    serve_images(server)
    backend.sync()
    backend.work()
    assert truth(backend) == ([1], {}, 1)
    assert [row.state for row in backend.services.store.references.of_project("1")] == ["ready"]


def test_a_reference_that_was_corrected_or_deleted_while_the_backend_was_away_stops_being_one(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    backend = connect(make_backend, server)
    server.tasks = [a_task(number, [choice("normal")]) for number in (1, 2, 3)]
    serve_images(server)
    backend.sync()
    assert truth(backend) == ([1, 2, 3], {}, 3)
    server.tasks = [a_task(1, [brush(MASK)], 30), a_task(2, None)]
    backend.sync()
    assert truth(backend) == ([], {"scratch": {"mask": 1}}, 0)


def test_annotations_made_in_bulk_are_read_back(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    """ANNOTATIONS_CREATED says neither what is in them nor of which image."""
    backend = connect(make_backend, server)
    server.tasks = [a_task(1, [choice("normal")]), a_task(2, [brush(MASK)])]
    serve_images(server)
    backend.webhook("ANNOTATIONS_CREATED", annotations=[{"id": 1}, {"id": 2}])
    backend.work()
    assert wait_for(lambda: truth(backend) == ([1], {"scratch": {"mask": 1}}, 1))


def test_annotations_made_in_bulk_that_nobody_can_read_are_said(backend: Backend) -> None:
    backend.setup()
    backend.webhook("ANNOTATIONS_CREATED", annotations=[{"id": 9}])
    assert "Annotations were made from predictions" in page(backend, "/projects/1")


def test_a_removed_reference_says_what_becomes_of_its_label_and_can_be_put_back(
    make_backend: Callable[..., Backend], server: FakeLabelStudio
) -> None:
    backend = connect(make_backend, server)
    server.tasks = [a_task(1, [choice("normal")]), a_task(2, [brush(MASK)])]
    serve_images(server)
    backend.sync()
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    asked = page(backend, f"/projects/1/references/{row.id}/remove")
    assert "left out of training from now on" in asked
    send(backend, f"/projects/1/references/{row.id}/remove")
    backend.sync()  # Label Studio still calls it normal; the person's word here counts
    assert backend.services.references.bank("1").references == ()
    left = build_training_set("1", backend.services)
    assert any("its reference was removed" in sentence for sentence in left.skipped)
    assert len(left.images) == 1
    assert "Put back" in page(backend, "/projects/1/references")
    send(backend, f"/projects/1/references/{row.id}/put-back")
    backend.work()
    assert len(backend.services.references.bank("1").references) == 1
    assert len(build_training_set("1", backend.services).images) == 2


def test_it_is_synchronised_by_itself_after_a_start_and_a_connect(
    make_backend: Callable[..., Backend], server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = connect(make_backend, server)
    server.tasks = [a_task(1, [choice("normal")])]
    serve_images(server)
    monkeypatch.setattr(syncing, "AFTER_START_S", 0.0)
    monkeypatch.setattr(syncing, "AFTER_CONNECT_S", 0.0)
    backend.services.syncs.plan_all()  # as the keeper does when it begins
    backend.work()
    assert wait_for(lambda: truth(backend)[0] == [1])
    assert wait_for(lambda: not backend.services.syncs.state("1").running)
    server.tasks.append(a_task(2, [choice("normal")]))
    serve_images(server)
    backend.setup(hostname=server.url)  # was synchronised just now: nothing is planned
    backend.work()
    assert truth(backend)[0] == [1]
    monkeypatch.setattr(syncing, "FRESH_S", -1.0)
    backend.setup(hostname=server.url)
    backend.work()
    assert wait_for(lambda: truth(backend)[0] == [1, 2])


@pytest.mark.parametrize("seed", range(3))
def test_taken_apart_and_together_again_at_random(
    make_backend: Callable[..., Backend], server: FakeLabelStudio, seed: int
) -> None:
    """200 events, half of whose messages are lost, repeated or late; after one synchronisation all is as Label Studio
    says, and nothing was ever learned that nobody said."""
    rng, backend = random.Random(seed), connect(make_backend, server)
    results: dict[str, list[dict[str, Any]]] = {
        "normal": [choice("normal")],
        "empty": [],
        "painted": [brush(MASK)],
        "boxed": [rectangle(4, 4, 20, 16)],
        "both": [choice("normal"), brush(MASK)],
        "points": [region("keypointlabels", "scratch", x=10, y=10, width=1)],
    }
    late: list[dict[str, Any]] = []
    next_id = 1
    ever: set[tuple[int, str]] = set()
    kinds_of_event = ["annotate", "annotate", "correct", "delete", "forget", "restart", "late", "synchronise"]
    for second in range(1, 201):
        event = rng.choice(kinds_of_event)
        message: dict[str, Any] | None = None
        when = f"2026-11-22T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
        annotated_tasks = [one for one in server.tasks if one["annotations"]]
        if event == "annotate" or (event == "correct" and not annotated_tasks):
            kind = rng.choice(list(results))
            server.tasks.append({**a_task(next_id, results[kind]), "kind": kind})
            server.tasks[-1]["annotations"][0]["updated_at"] = when  # type: ignore[index]
            message = {"action": "ANNOTATION_CREATED", "one": server.tasks[-1]}
            next_id += 1
        elif event == "correct":
            one = rng.choice(annotated_tasks)
            one["kind"] = rng.choice(list(results))
            one["annotations"] = [
                {**annotated(int(str(one["id"])), results[str(one["kind"])]), "updated_at": when}
            ]
            message = {"action": "ANNOTATION_UPDATED", "one": one}
        elif event == "delete" and annotated_tasks:
            one = rng.choice(annotated_tasks)
            message = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": one["id"]}]}
            one["annotations"] = []
        elif event == "forget" and server.tasks:
            one = server.tasks.pop(rng.randrange(len(server.tasks)))
            message = {"action": "TASKS_DELETED", "tasks": [{"id": one["id"]}]}
        elif event == "restart":
            backend.services.store.close()
        elif event == "late" and late:
            deliver(backend, late.pop(rng.randrange(len(late))))
        elif event == "synchronise" and rng.random() < 0.2:
            serve_images(server)
            backend.sync()
        for one in server.tasks:
            if one["annotations"]:
                ever.add((int(str(one["id"])), str(one["kind"])))
        if message is not None:
            message = frozen(message)
            fate = rng.random()
            if fate < 0.5:
                deliver(backend, message)
            if 0.4 < fate < 0.7:
                late.append(message)
        for number in truth(backend)[0]:
            assert {(number, "normal"), (number, "empty")} & ever, "a reference that nobody called normal"
    serve_images(server)
    assert backend.sync() == ""
    now = {int(str(one["id"])): str(one["kind"]) for one in server.tasks if one["annotations"]}
    references, types, normal = truth(backend)
    assert sorted(references) == [number for number, kind in now.items() if kind in ("normal", "empty")]
    assert normal == len(references)
    kinds = list(now.values())
    counted = {"mask": kinds.count("painted"), "box": kinds.count("boxed")}
    expected = {name: number for name, number in counted.items() if number}
    assert types == ({"scratch": expected} if expected else {})
    for message in late:  # and whatever still arrives changes nothing
        deliver(backend, message)
    backend.sync()
    assert sorted(truth(backend)[0]) == sorted(references)


def frozen(message: dict[str, Any]) -> dict[str, Any]:
    """The message as it was when it was sent."""
    one = message.pop("one", None)
    if one is None:
        return message
    return {
        **message,
        "annotation": dict(one["annotations"][0]),
        "task": {"id": one["id"], "data": one["data"]},
    }


def deliver(backend: Backend, message: dict[str, Any]) -> None:
    assert backend.webhook(**message).status_code in (200, 201)
