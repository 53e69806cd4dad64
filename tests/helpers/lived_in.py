"""A project that somebody has worked with for a while: something stands on every page of the dashboard."""

from __future__ import annotations

import json
import re
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import cv2
import numpy as np
from PIL import Image

from adclick_backend.dashboard.contact_sheet import sheet_row
from adclick_backend.dashboard.drawing import jpeg
from adclick_backend.dashboard.image_names import image_names
from adclick_backend.jobs.files import JobFiles
from adclick_backend.report.evaluation import evaluate
from adclick_backend.report.page import Report, Section, render
from adclick_backend.store.generated import GeneratedFiles, Origin, key_of_type
from adclick_backend.store.point_curves import CurveImage, PointCurve
from model.generation.anogen.window import Box
from model.metrics.operating_curve import POINTS, seen_at
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.labelled import disc, labelled, normal
from tests.helpers.labels import annotated, block, brush, choice, rectangle
from tests.helpers.versions import candidate, detector_candidate

PROJECT = "1"
LONG_TITLE = "Flange DN 80, machined side, line 4, after washing"
MEASURES = {"iou": 0.0, "ap": 0.0, "false_area": 0.0, "click_1": 0.0, "click_3": 0.0, "click_5": 0.0}


def plate(number: int, width: int = 320, height: int = 240) -> bytes:
    """A PNG of a brushed plate with a hole; another one for each number."""
    rng = np.random.default_rng(number)
    pixels = (
        (rng.normal(150, 14, (height, 1, 1)) + rng.normal(0, 5, (height, width, 3)))
        .clip(0, 255)
        .astype(np.uint8)
    )
    cv2.circle(pixels, (width // 2 + number % 7 * 4, height // 2), height // 5, (45, 40, 38), -1)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def live_in(backend: Backend, folder: Path) -> None:
    """Fill project 1 of a backend that it is connected to, and connect two more.

    Args:
        backend: with project 1.
        folder: for the files of versions until they are published.
    """
    store = backend.services.store
    store.projects.save(PROJECT, title=LONG_TITLE)
    for number, title in (("2", "Screws"), ("3", "")):
        backend.setup(f"{number}.1", config=CONFIG if number == "2" else "<View/>")
        store.projects.save(number, title=title)
    _references(backend)
    _labels(backend)
    _generated(backend)
    _versions(backend, folder)
    _thresholds(backend)
    _jobs(backend)
    _report(backend)
    for _ in range(2):
        backend.click(
            task("ftp://images/a/very/long/address/that/has/no/place/to/break/flange_0000071.png", 71),
            [point(1, 1)],
        )


def pages(backend: Backend) -> dict[str, str]:
    """Address -> HTML of the list of projects, and of every page that links of project 1 lead to."""
    found: dict[str, str] = {}
    waiting = ["/projects", f"/projects/{PROJECT}"]
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        with backend.client.get(path) as answer:
            assert answer.status_code == 200, path
            found[path] = answer.get_data(as_text=True)
        for link in re.findall(r'<a [^>]*href="([^"]+)"', found[path]):
            to = urlsplit(urljoin(path, unescape(link)))
            ours = not to.netloc and f"{to.path}/".startswith(f"/projects/{PROJECT}/")
            if ours and not to.path.endswith(".png"):
                waiting.append(to.path + (f"?{to.query}" if to.query else ""))
    return found


def _references(backend: Backend) -> None:
    services = backend.services
    for number in range(9):
        name = f"flange_side_a_{number:04d}.png"
        services.references.add(PROJECT, plate(number), source="upload", name=name)
    services.references.add(PROJECT, b"no image", source="upload", name="broken.png")
    torn = plate(99, 300, 300)
    second = torn.index(b"IDAT", torn.index(b"IDAT") + 4)
    torn = torn[:second] + b"ID\xffT" + torn[second + 4 :]
    services.references.add(PROJECT, torn, source="upload", name="torn.png")
    backend.work()
    found = services.store.references.of_project(PROJECT)
    scores = {one.sha: (0.1, 5.0 if one is found[3] else 0.2) for one in found if one.sha}
    services.store.references.save_scores(PROJECT, "", scores)
    services.references.remove(PROJECT, found[0].id)


def _labels(backend: Backend) -> None:
    spot = block(8, 12, 16, 20)
    results: list[list[dict[str, Any]]] = [
        *([brush(spot, "scratch")] for _ in range(6)),
        [rectangle(8, 12, 16, 20, "dent")],
        [choice("normal"), brush(spot, "scratch")],
        [brush(spot, "rust")],
    ]
    for number, result in enumerate(results, 1):
        url = f"/data/upload/1/0a1b2c3d-flange_{number:04d}.png"
        data = {"id": number, "data": {"image": url}}
        backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
        sha = labelled(number).name
        backend.services.labels.keep(PROJECT, f"{sha}.png", plate(number))
        backend.services.store.labels.fetched(PROJECT, number, url, sha=sha, file=f"{sha}.png")
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 2}], task={"id": 2})
    backend.services.store.projects.save(PROJECT, title=LONG_TITLE)  # messages bring a title of their own


def _generated(backend: Backend) -> None:
    files, spot = GeneratedFiles(backend.services.files), block(100, 120, 140, 180, (240, 320))
    for number in range(5):
        pixels = np.asarray(Image.open(BytesIO(plate(number))), np.uint8).copy()
        painted = pixels.copy()
        painted[spot] //= 2
        box = Box(110, 90, 190, 150)
        origin = Origin(
            "scratch",
            number,
            number,
            (110, 90, 190, 150),
            "a" * 64,
            "",
            0,
            "adclick-anogen-1-0a1b2c3d",
            ("b" * 64,),
        )
        files.add(PROJECT, origin, painted, spot, sheet_row(pixels, painted, spot, box))
    files.keep(PROJECT, key_of_type("scratch"), 1, kept=False)


def _versions(backend: Backend, folder: Path) -> None:
    registry = backend.services.registry
    for number, iou in ((1, 0.41), (2, 0.583), (3, 0.571)):
        measured = {name: iou + 0.05 * i for i, name in enumerate(MEASURES)} | {"false_area": 0.004}
        data = {"images": list("abcdef"), "held_out": ["g", "h"], "references": {"": 9}, "tried_on": ["r"]}
        made = candidate(
            folder / f"v{number}", bytes([number]), types=["dent", "scratch"], metrics=measured, data=data
        )
        detector_candidate(made)
        (made / "pictures").mkdir()
        for name in ("01.png", "click-01.png", "source-01.png"):
            (made / "pictures" / name).write_bytes(plate(number, 960, 200))
        rows = [
            {"name": name, "labelled": iou, "drawn": 0.6, "ap": 0.7, "false_area": 0.0, "milliseconds": 84.6}
            for name in ("trained", "packaged", "residual", "invad-tiny", "invad-tiny+residual")
        ]
        told = {
            "against": f"v{number - 1}" if number > 1 else "",
            "reason": "It was promoted, for it is not worse than the version before: the overlap (IoU) of its masks "
            "with the labels: 41.0 %, now 58.3 %.",
            "candidate": measured,
            "serving": {name: value - 0.0002 for name, value in measured.items()} if number > 1 else {},
            "images": [{"image": labelled(3).name, "types": ["scratch"]}],
            "clicks": {
                "reason": "Clicks are answered by the adapted network.",
                "images": [{"types": ["dent"]}],
            },
            "generated": {
                "used": True,
                "reason": "24 generated pictures were tried: they help, and took part. On 2 labelled images that "
                "neither way has learned from: the overlap (IoU) of its masks with the labels 41.0% without, "
                "58.3% with them.",
            },
            "sources": {
                "serves": "trained",
                "reason": "Of 5 sources the trained network did best.",
                "rows": rows,
            },
        }
        (made / "comparison.json").write_text(json.dumps(told))
        registry.publish(PROJECT, made, f"v{number}")
        registry.activate(PROJECT, f"v{number}")


def _thresholds(backend: Backend) -> None:
    """The thresholds of the last version were measured and set."""
    services = backend.services
    standing = services.thresholds.of(PROJECT)
    files = standing.curve
    shas = [*(sha for _, _, sha in services.store.labels.hashes(PROJECT)), *(f"{n:064d}" for n in range(8))]
    rows, columns = np.mgrid[:240, :320]
    images = []
    for number, sha in enumerate(shas):
        good, seen = number >= 6, {}
        top = 0.02 + 0.05 * (number - 6) if good else 0.98 - 0.14 * number
        hill = top * np.exp(-((rows - 120) ** 2 + (columns - 160 - 8 * number) ** 2) / 900)
        found = np.maximum(hill, 0.0005).astype(np.float32)
        truth = None if good else np.hypot(rows - 120, columns - 160 - 8 * number) < 24
        for place, name in enumerate(standing.types):
            if good or name == "scratch":
                seen[name] = seen_at(found * np.float32(1 - 0.4 * place), truth)
                files.put_map(number, place, found, truth)
        files.put_picture(number, jpeg(np.asarray(Image.open(BytesIO(plate(number))), np.uint8)))
        images.append(CurveImage(sha, good, seen))
    note = "3 good images were left out, for the version may have learned from them."
    files.write(PointCurve(services.engine.version, 0.0, POINTS, standing.types, images, (note,)))
    services.thresholds.choose(PROJECT, standing.name, standing.source.name, {"scratch": 0.24})


def _jobs(backend: Backend) -> None:
    jobs, table = backend.services.jobs, backend.services.store.jobs
    for version, state, message in (
        ("v1", "done", "Version v1 was trained. It was promoted: no version served before."),
        ("", "failed", "The disk with the data folder is full."),
        ("", "cancelled", "Cancelled; the version before goes on serving."),
    ):
        job = jobs.enqueue(PROJECT, "train", "the dashboard")
        table.begin(job.id, "Reading labels.")
        table.end(job.id, state, message, version=version)  # type: ignore[arg-type]
    running = jobs.enqueue(PROJECT, "train", "Start Training in Label Studio")
    table.begin(running.id, "Reading labels.")
    files = JobFiles(backend.settings.data_dir)
    files.folder(PROJECT, running.id).mkdir(parents=True)
    for step in range(1, 8):
        share = step / 10
        curve = {"progress": share, "state": "training", "loss": 1 / step, "iou": share, "ap": share**2}
        files.add_to_curve(PROJECT, running.id, curve)
    files.log_path(PROJECT, running.id).write_text("Step 7 of 10.\n" * 12)
    table.report(running.id, "training", message="Step 7 of 10.", progress=0.7, seconds_left=20)


def _report(backend: Backend) -> None:
    images = [*map(labelled, range(1, 7)), *map(normal, range(4))]

    def look(image: Any) -> dict[str, Any]:
        number = int(image.name[-1])
        return {"scratch": disc(number + (number == 3)).astype(np.float32) * (0.9 if image.labels else 0.1)}

    named = image_names(backend.services.store, PROJECT)
    remark = "None of these images was trained on."
    section = Section(f"Project {PROJECT}", remark, evaluate(images, look), named)
    facts = {"project": PROJECT, "version": "v3", "written": "2026-11-28 10:00"}
    page = render(Report("Without a click: project 1, v3", facts, [section]))
    backend.services.files.put(f"projects/{PROJECT}/reports/v3.html", page.encode())
