"""A person labels real photographs in a real Label Studio: how long that takes, with one backend or another.

``python -m tests.e2e.photographs DATA --person now --out FILE`` labels five defective images of each product of DATA, a
folder in MVTec layout, each until its masks overlap the truth by 0.8 or six clicks are spent. ``--person before
--root CHECKOUT`` does so with another checkout's backend and labeling config, as its README told a person to work.

A person's own time is really waited, by the same figures for both (`COSTS`): what Label Studio does meanwhile, such as
opening a task a second time, happens as it does to a person. It is counted apart from what the machine takes, and
from the time until Label Studio shows the image.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from tests.e2e import editor, servers
from tests.e2e.browser import LabelStudioWindow, chromium
from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import around, overlap, wait_for_references, where_to_click

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page, Request

Mask = NDArray[np.bool_]

PRODUCTS = ("hazelnut", "metal_nut", "carpet", "transistor", "screw", "leather")
EACH, REFERENCES = 5, 8  # images of a product
ENOUGH, MOST_CLICKS = 0.8, 6
COSTS = {"look": 1.0, "point": 0.8, "key": 0.3, "scroll": 0.6, "notice": 1.5}
"""Seconds: to take an image in, to point at something and press, to press a key, to scroll, and until a person
notices that nothing happens."""
WORTH_CORRECTING = 0.3  # overlap with the truth, below which a proposed mask is deleted
WINDOW = {"width": 1366, "height": 768}

# Whether the image of a task is on the screen, however often the task is opened.
SHOWN = """task => Number(window.Htx?.task?.id) === task &&
    window.Htx.annotationStore.selected?.objects[0]?.stageWidth > 1 &&
    document.querySelectorAll(".konvajs-content canvas").length > 0"""
WAITING = "() => Htx.awaitingSuggestions"
# The ids of all masks on the screen: regions, and suggestions.
MASKS = """() => {
    const opened = Htx.annotationStore.selected;
    return [...opened.regions, ...opened.suggestions.values()].filter(one => one.type === "brushregion").map(
        one => one.cleanId);
}"""


@dataclass
class Photograph:
    """One image, and how its labelling went; seconds."""

    product: str
    type: str
    task: int
    loading: float = 0.0
    machine: float = 0.0
    person: float = 0.0
    clicks: int = 0
    lost: int = 0
    proposed: int = 0
    deletions: int = 0
    overlap: float = 0.0


@dataclass
class Person:
    """Works in the window of a task and takes time.

    Attributes:
        page: the window.
        now: works as the README says today; otherwise as it said before.
        took: seconds that the person took for the image at hand.
    """

    page: Page
    now: bool
    took: float = field(default=0.0)

    def take(self, what: str) -> None:
        """Spend a person's time on something."""
        self.took += COSTS[what]
        self.page.wait_for_timeout(1000 * COSTS[what])

    def press(self, key: str) -> None:
        """Press a key or several at once."""
        self.take("key")
        self.page.keyboard.press(key)


class Session:
    """Labels the images of a project one after the other."""

    def __init__(self, window: LabelStudioWindow, project: Project, person: Person) -> None:
        self.window, self.project, self.person, self.page = window, project, person, window.page
        self._asked: list[Request] = []
        self.page.on("request", self._note)
        self._known: dict[str, Mask] = {}
        self._clicked: list[tuple[int, int]] = []
        self.why = ""

    def _note(self, request: Request) -> None:
        if "/interactive-annotating" in request.url:
            self._asked.append(request)

    def label(self, photograph: Photograph, truth: Mask, type_: str) -> None:
        """Label one image and submit it."""
        self.person.took, self._known, self._clicked = 0.0, {}, []
        begun = time.monotonic()
        self.page.goto(f"{self.window.url}/projects/{self.project.id}/data?task={photograph.task}")
        self.window._until(SHOWN, photograph.task)
        photograph.loading = time.monotonic() - begun
        begun = time.monotonic()
        self.person.take("look")
        self._judge_proposal(photograph, truth)
        while photograph.clicks < MOST_CLICKS and overlap(self._shown(truth), truth) < ENOUGH:
            photograph.clicks += 1
            self._click(photograph, truth, type_)
        if self.page.evaluate("() => Htx.annotationStore.selected.suggestions.size"):
            self.person.take("point")
            self.window.accept_suggestion()
        photograph.overlap = overlap(self._shown(truth), truth)
        self.person.take("point")
        self.window.submit()
        photograph.person = self.person.took
        photograph.machine = time.monotonic() - begun - self.person.took

    def _shown(self, like: Mask) -> Mask:
        """Everything that is masked on the screen."""
        mask = np.zeros_like(like)
        for name in self.page.evaluate(MASKS):
            mask |= self._mask(name, like)
        return mask

    def _mask(self, name: str, like: Mask) -> Mask:
        if name not in self._known:
            for row in self.project.predictions(self.task):
                self._known |= {one["id"]: decode(one) for one in row["result"] if "rle" in one["value"]}
        return self._known.get(name, np.zeros_like(like))

    @property
    def task(self) -> int:
        """The task that is open."""
        return int(self.page.evaluate("() => Number(Htx.task.id)"))

    def _judge_proposal(self, photograph: Photograph, truth: Mask) -> None:
        """Delete what was proposed, as far as it is not worth to be corrected."""
        proposed = list(dict.fromkeys(self.page.evaluate(MASKS)))
        photograph.proposed = len(proposed)
        whole = overlap(self._shown(truth), truth)
        if not proposed or whole >= ENOUGH:
            return
        if not self.person.now:  # they could not be corrected by clicks on them
            photograph.deletions += len(proposed)
            self._delete_all()
            return
        wrong = [name for name in proposed if not (self._mask(name, truth) & truth).any()]
        rest = np.logical_or.reduce(
            [self._mask(name, truth) for name in proposed if name not in wrong] or [truth & False]
        )
        if overlap(rest, truth) < WORTH_CORRECTING:
            photograph.deletions += len(proposed)
            self._delete_all()
            return
        for name in wrong:
            photograph.deletions += 1
            self._delete(name)

    def _delete_all(self) -> None:
        """Ctrl+Backspace, confirmed."""

        def confirm(dialog: Dialog) -> None:
            dialog.accept()

        self.page.on("dialog", confirm)
        self.person.press("Control+Backspace")
        self.person.take("point")
        self.page.remove_listener("dialog", confirm)
        if self.page.evaluate(editor.REGIONS):
            self.window.delete_proposals()

    def _delete(self, name: str) -> None:
        """Choose a region in the list and press Backspace."""
        self.person.take("point")
        self.page.evaluate(
            """name => {
                const opened = Htx.annotationStore.selected;
                opened.selectArea(opened.regions.find(one => one.cleanId === name));
            }""",
            name,
        )
        self.person.press("Backspace")

    def _click(self, photograph: Photograph, truth: Mask, type_: str) -> None:
        """One click on what is most wrong, as often as it is lost."""
        shown = self._shown(truth)
        alt = int((shown & ~truth).sum()) > int((truth & ~shown).sum())
        clicked = np.logical_or.reduce(
            [around(place, truth.shape) for place in self._clicked] or [truth & False]
        )
        x, y = where_to_click(shown & ~clicked, truth & ~clicked, alt=alt)  # not on a key point
        row, column = int(y * truth.shape[0]), int(x * truth.shape[1])
        self._clicked.append((row, column))
        held: list[str] = ["Alt"] * alt
        if self.person.now and shown[row, column]:  # the README says so
            held.append("Control")
        for _ in range(4):
            self._get_ready(type_)
            if self._arrives(x, y, held, truth):
                return
            photograph.lost += 1
            print(f"A click at {x:.3f}, {y:.3f} is lost, as {self.why}: {self.window.state()}", flush=True)
            self.person.take("notice")
            if self.page.evaluate(editor.SELECTED_REGIONS):
                self.person.press("Escape")
                held = [*["Alt"] * alt, "Control"]

    def _arrives(self, x: float, y: float, held: list[str], truth: Mask) -> bool:
        """Whether a click is answered, and its answer to be seen then."""
        for key in held:
            self.person.take("key")
            self.page.keyboard.down(key)
        self.person.take("point")
        sent = len(self._asked)
        place = self.window._on_page(x, y)
        self.page.mouse.click(*place)
        for key in held:
            self.page.keyboard.up(key)
        for _ in range(20):  # a second: this machine may be busy
            if len(self._asked) > sent:
                break
            self.page.wait_for_timeout(50)
        else:
            self.why = "nothing was sent"
            return False
        response = self._asked[-1].response()
        answer = response.json() if response is not None else {}
        result = (answer.get("data") or {}).get("result") or []
        self.page.wait_for_function(f"() => !({WAITING})()")
        self._known |= {one["id"]: decode(one) for one in result if "rle" in one["value"]}
        for _ in range(20):
            if not result or any(one["id"] in self.page.evaluate(MASKS) for one in result):
                return True
            self.page.wait_for_timeout(50)
        self.why = "the answer is not there"
        return False

    def _get_ready(self, type_: str) -> None:
        """The purple tool and the label, as far as they are not chosen."""
        if self.page.evaluate(editor.READY_TO_CLICK, [type_, 0, "KeyPoint"]):
            return
        chosen = self.page.evaluate(
            """name => [...Htx.annotationStore.selected.names.values()].some(
                tag => tag.type === "keypointlabels" && tag.selectedValues().includes(name))""",
            type_,
        )
        if not chosen and self.person.now:
            self.person.press(self._key(type_))
        elif not chosen:
            self._point_at_label(type_)
        if self.page.evaluate(editor.TOOL, 0) != "KeyPointTool-dynamic":
            self.person.press("m")

    def _key(self, type_: str) -> str:
        key: str = self.page.evaluate(
            """name => [...Htx.annotationStore.selected.names.values()].find(
                tag => tag.type === "keypointlabels").children.find(label => label.value === name).hotkey""",
            type_,
        )
        return key

    def _point_at_label(self, type_: str) -> None:
        """Press the label; where it lies below the window's edge, scroll there and back."""
        place = self.page.evaluate(editor.PLACE_OF_LABEL, [type_, 0, "KeyPoint"])
        label = self.page.locator(".lsf-label").nth(place)
        box = label.bounding_box()
        hidden = box is None or box["y"] + box["height"] > WINDOW["height"] - 50  # above the bar with Submit
        if hidden:
            self.person.take("scroll")
            label.scroll_into_view_if_needed()
        self.person.take("point")
        label.click()
        if hidden:
            self.person.take("scroll")
            self.page.evaluate("() => document.querySelector('.lsf-main-content').scrollTo(0, 0)")


def read(path: Path) -> NDArray[np.uint8]:
    """An image, H x W x 3 uint8 RGB."""
    return np.ascontiguousarray(np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1])


def defects(folder: Path) -> list[tuple[str, Path, Path]]:
    """Type, image and mask of some defects of a product, of its types in turn."""
    types = sorted(path for path in (folder / "test").iterdir() if path.is_dir() and path.name != "good")
    rows = [(kind.name, sorted(kind.iterdir())) for kind in types]
    turns = [(name, files[turn]) for turn in range(9) for name, files in rows if turn < len(files)]
    found = []
    for name, file in turns:
        mask = folder / "ground_truth" / name / f"{file.stem}_mask.png"
        if mask.exists():
            found.append((name, file, mask))
    return found


def good(folder: Path) -> list[Path]:
    """Defect-free images of a product."""
    places = (folder / "train/good", folder / "test/good")
    return [file for place in places if place.is_dir() for file in sorted(place.iterdir())]


def config_of(root: Path, labels: list[str]) -> str:
    """The labeling config that a checkout recommends."""
    code = (
        "import sys; from adclick_backend.config.labeling_config import recommended_config; "
        "print(recommended_config(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *labels]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def make_project(
    person: requests.Session, url: str, backend: str, root: Path, folder: Path, each: int, count: int
) -> Iterator[tuple[Project, Photograph, Mask]]:
    """A connected project of a product with its references; what there is to label in it."""
    rows, references = defects(folder)[:each], good(folder)[:count]
    labels = sorted({name for name, _, _ in rows})
    project = Project.with_config(person, url, f"Photographs of {folder.name}", config_of(root, labels))
    tasks = project.upload([*map(read, references), *(read(image) for _, image, _ in rows)])
    project.connect(backend)
    for task in tasks[: len(references)]:
        project.mark_normal(task)
    wait_for_references(backend, project.id, ready=len(references), limit_s=600)
    for task, (name, _, mask) in zip(tasks[len(references) :], rows, strict=True):
        truth = np.asarray(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)) > 0
        yield project, Photograph(folder.name, name, task), truth


def main() -> None:
    """Label everything, print a line for each image, and write the whole down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--person", choices=("now", "before"), default="now")
    parser.add_argument("--root", type=Path, default=servers.REPOSITORY, help="checkout of the backend")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--products", nargs="*", default=PRODUCTS)
    parser.add_argument("--each", type=int, default=EACH, help="defective images of a product")
    parser.add_argument("--references", type=int, default=REFERENCES, help="good images of a product")
    args = parser.parse_args()
    now = args.person == "now"
    os.environ["PYTHONPATH"] = str(args.root.resolve())
    done: list[Photograph] = []
    with tempfile.TemporaryDirectory() as folder, servers.label_studio(Path(folder) / "ls") as url:
        person = servers.log_in(url)
        key = person.post(f"{url}/api/token/", timeout=120).json()["token"]
        with (
            servers.backend(Path(folder) / "backend", label_studio_url=url, api_key=key) as backend,
            chromium() as page,
        ):
            page.set_viewport_size(WINDOW)  # type: ignore[arg-type]
            window = LabelStudioWindow(page, url)
            for product in args.products:
                for project, photograph, truth in make_project(
                    person, url, backend, args.root, args.data / product, args.each, args.references
                ):
                    if not done or done[-1].product != product:  # once, and not counted
                        session = Session(window, project, Person(page, now))
                        _set_up(window, project, photograph.task, photograph.type, now=now)
                    session.label(photograph, truth, photograph.type)
                    done.append(photograph)
                    print(json.dumps(asdict(photograph)), flush=True)
                    args.out.write_text(json.dumps([asdict(one) for one in done], indent=1))
    report(done)


def _set_up(window: LabelStudioWindow, project: Project, task: int, label: str, *, now: bool) -> None:
    """What a person switches on once: Auto-Annotation, and what the README says beside it."""
    if window.page.evaluate("() => localStorage.getItem('adclick-set-up')"):
        return
    good_task = task - 1  # the last reference, so that nothing of the first defect is opened before its time
    window.open_task(project.id, good_task)
    window.take_smart_keypoint(label, auto_accept=now)
    kept = window.page.evaluate("() => Htx.settings.continuousLabeling")
    if kept != now:
        window.page.evaluate("() => Htx.settings.toggleContinuousLabeling()")
    window.page.evaluate("() => localStorage.setItem('adclick-set-up', 'yes')")


def report(done: list[Photograph]) -> None:
    """Print means over the images."""
    for name in ("loading", "machine", "person"):
        print(f"{name:9} {statistics.mean(getattr(one, name) for one in done):6.1f} s an image")
    total = statistics.mean(one.machine + one.person for one in done)
    print(f"both      {total:6.1f} s an image beyond Label Studio's loading")
    for name in ("clicks", "lost", "proposed", "deletions"):
        print(f"{name:9} {sum(getattr(one, name) for one in done)}")
    enough = sum(one.overlap >= ENOUGH for one in done)
    print(
        f"overlap   {statistics.mean(one.overlap for one in done):.2f}, {enough} of {len(done)} reach {ENOUGH}"
    )


if __name__ == "__main__":
    main()
