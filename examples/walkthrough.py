"""The README's walk-through, without Label Studio: draw, add references, click, look at the mask.

    python examples/walkthrough.py [OUT] [--product flange] [--defect stain] [--backend URL]

Plays Label Studio's part: serves the drawn images, connects through ``/setup``, marks the good images normal through
``/webhook`` and sends the clicks to ``/predict``, with the very bodies that Label Studio sends. Writes
``OUT/walkthrough.png`` and prints how well the mask fits the true one after each click.

Without ``--backend`` a backend is started for the occasion. A backend that already runs has to be one without
LABEL_STUDIO_URL, since it shall take the images from here.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import requests
from draw_samples import draw, save_image
from drawing.products import PRODUCTS
from numpy.typing import NDArray

from adclick_backend.brush.rle import decode_rle

CONFIG = Path(__file__).with_name("labeling_config.xml").read_text()
PROJECT = 1_000_000  # far from the numbers of projects that a running backend may know
Mask = NDArray[np.bool_]


class Click(NamedTuple):
    """A click in pixels; ``positive`` is False for Alt-click."""

    x: float
    y: float
    positive: bool


class Backend:
    """A running backend, spoken to as Label Studio speaks to it."""

    def __init__(self, url: str, images: str) -> None:
        self.url = url
        setup = {"project": f"{PROJECT}.1", "schema": CONFIG, "hostname": images, "access_token": ""}
        print("connected:", self.post("/setup", setup)["model_version"])
        self.post(
            "/confirm", {"project": PROJECT}
        )  # an administrator says that images may be fetched from there

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST a JSON body and decode the answer."""
        answer = requests.post(self.url + path, json=body, timeout=100)
        answer.raise_for_status()
        return answer.json()

    def mark_normal(self, task: int, image: str) -> None:
        """Say that a person submitted the choice "normal" for a task."""
        choice = {
            "from_name": "state",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["normal"]},
        }
        annotation = {"id": task, "task": task, "result": [choice], "was_cancelled": False}
        task_body = {"id": task, "data": {"image": image}, "project": PROJECT}
        event = {
            "annotation": annotation,
            "project": {"id": PROJECT, "label_config": CONFIG},
            "task": task_body,
        }
        self.post("/webhook", {"action": "ANNOTATION_CREATED", **event})

    def wait_for_references(self, count: int, limit_s: float = 120.0) -> None:
        """Wait until the backend has taken in that many references."""
        pattern = re.compile(rf'^adclick_references{{[^}}]*"{PROJECT}"[^}}]*"ready"}} (\d+)', re.MULTILINE)
        deadline = time.monotonic() + limit_s
        while sum(map(int, pattern.findall(requests.get(f"{self.url}/metrics", timeout=10).text))) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"After {limit_s:.0f} s there are no {count} references; see {self.url}")
            time.sleep(0.2)

    def click(
        self, task: int, image: str, label: str, clicks: Sequence[Click], shape: tuple[int, int]
    ) -> Mask:
        """Send all clicks so far, as the labeling editor does; returns the mask, H x W bool."""
        points = [_keypoint(number, click, label, shape) for number, click in enumerate(clicks)]
        body = {
            "tasks": [{"id": task, "data": {"image": image}, "project": PROJECT, "annotations": []}],
            "project": f"{PROJECT}.1",
            "label_config": CONFIG,
            "params": {"login": None, "password": None, "context": {"result": points}},
        }
        (prediction,) = self.post("/predict", body)["results"]
        if not prediction["result"]:
            return np.zeros(shape, bool)
        (region,) = prediction["result"]
        return decode_rle(region["value"]["rle"], region["original_width"], region["original_height"])


def _keypoint(number: int, click: Click, label: str, shape: tuple[int, int]) -> dict[str, Any]:
    height, width = shape
    return {
        "id": f"click{number}",
        "from_name": "click",
        "to_name": "image",
        "type": "keypointlabels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * click.x / width,
            "y": 100 * click.y / height,
            "width": 0.3,
            "keypointlabels": [label],
        },
        "is_positive": click.positive,
    }


def next_click(mask: Mask, truth: Mask) -> Click:
    """Where a person would click next: well inside the largest piece of what is still wrong."""
    best = Click(0, 0, True)
    depth = 0.0
    for wrong, positive in ((truth & ~mask, True), (mask & ~truth, False)):
        inside = cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        if inside.max() > depth:
            depth = float(inside.max())
            row, column = np.unravel_index(int(inside.argmax()), inside.shape)
            best = Click(column + 0.5, row + 0.5, positive)
    return best


def overlap(mask: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def picture(image: NDArray[np.uint8], masks: Sequence[Mask], clicks: Sequence[Click]) -> NDArray[np.uint8]:
    """The image, then each mask over it with the clicks so far, side by side."""
    panels = [image]
    for count, mask in enumerate(masks, start=1):
        panel = image.copy()
        panel[mask] = (0.45 * panel[mask] + 0.55 * np.array([255, 40, 70])).astype(np.uint8)
        outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, outline, -1, (255, 255, 255), 1, cv2.LINE_AA)
        for click in clicks[:count]:
            centre = (round(click.x), round(click.y))
            cv2.circle(panel, centre, 5, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(panel, centre, 4, (0, 170, 60) if click.positive else (220, 0, 0), -1, cv2.LINE_AA)
        panels.append(panel)
    return np.hstack(panels)


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; yields its URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def own_backend(data_dir: Path) -> Iterator[str]:
    """Start a backend on a free port; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [str(Path(sys.executable).parent / "adclick"), "serve", "--host", "127.0.0.1"]
    command += ["--port", url.rsplit(":", 1)[1], "--data-dir", str(data_dir)]
    foreign = ("LABEL_STUDIO_", "BASIC_AUTH_", "ADCLICK_LABEL_STUDIO_", "ADCLICK_BASIC_AUTH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "backend.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(240):
            try:
                requests.get(f"{url}/health", timeout=2).raise_for_status()
                break
            except (requests.ConnectionError, requests.Timeout):
                if process.poll() is not None:
                    raise RuntimeError(
                        f"The backend did not start; see {data_dir / 'backend.log'}."
                    ) from None
                time.sleep(0.25)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def walk(args: argparse.Namespace, url: str) -> float:
    """Walk through; returns the overlap after the last click."""
    out: Path = args.out
    sample = draw(args.product, args.defect, seed=args.seed)
    save_image(out / "images" / "defect.png", sample.image)
    for number in range(args.references):
        save_image(out / "images" / f"good_{number}.png", draw(args.product, seed=number).image)
    with file_server(out / "images") as images:
        backend = Backend(url, images)
        for number in range(args.references):
            backend.mark_normal(number + 1, f"/good_{number}.png")
        backend.wait_for_references(args.references)
        print(f"references: {args.references} images of a good {args.product}")
        masks: list[Mask] = []
        clicks: list[Click] = []
        for _ in range(args.clicks):
            before = masks[-1] if masks else np.zeros_like(sample.mask)
            clicks.append(next_click(before, sample.mask))
            masks.append(backend.click(999, "/defect.png", args.defect, clicks, sample.mask.shape))
            kind = "click" if clicks[-1].positive else "Alt-click"
            print(f"{kind} {len(clicks)}: IoU {overlap(masks[-1], sample.mask):.2f}")
    save_image(out / "walkthrough.png", picture(sample.image, masks, clicks))
    print(f"picture: {out / 'walkthrough.png'}")
    return overlap(masks[-1], sample.mask)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path, nargs="?", default=Path("data/walkthrough"), metavar="OUT")
    parser.add_argument("--product", choices=sorted(PRODUCTS), default="flange")
    parser.add_argument(
        "--defect", default="stain", help="scratch, dent, stain ... as far as the product has it"
    )
    parser.add_argument("--backend", metavar="URL", help="a backend that already runs")
    parser.add_argument("--references", type=int, default=8, help="good images to add first")
    parser.add_argument("--clicks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=9, help="another seed draws another defect")
    args = parser.parse_args(argv)
    if args.defect not in PRODUCTS[args.product].defects:
        parser.error(f"A {args.product} has {', '.join(PRODUCTS[args.product].defects)}.")
    with nullcontext(args.backend) if args.backend else own_backend(args.out / "backend") as url:
        walk(args, url.rstrip("/"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
