"""What the documents name exists: links, files, options and commands, messages, settings, rooms."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from configparser import ConfigParser
from contextlib import redirect_stdout
from io import StringIO

import draw_samples
import pytest
import walkthrough
import yaml

from adclick_backend.cli import COMMANDS, main
from adclick_backend.settings import Settings
from adclick_runtime.cli import COMMANDS as DETECT_COMMANDS
from adclick_runtime.cli import main as detect_main
from adclick_runtime.cli import parser_of
from tests.e2e.servers import ALLOW_PRIVATE
from tests.helpers.documents import ROOT, Document, command_lines, documents

DOCUMENTS = documents()
README = Document("README.md")


def each_document() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("document", DOCUMENTS, ids=[document.name for document in DOCUMENTS])


@each_document()
def test_links_lead_somewhere(document: Document) -> None:
    for text, target in document.links():
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (document.folder / path).resolve() if path else ROOT / document.name
        assert there.exists(), f"[{text}]({target})"
        if anchor:
            assert anchor in Document(str(there.relative_to(ROOT))).anchors(), f"[{text}]({target})"


@each_document()
def test_files_that_are_named_exist(document: Document) -> None:
    """Where a link leads that is named by the file, else from the document's folder or from the root.

    So the tests that tests/README.md names exist.
    """
    named = re.compile(r"([\w.-]+/)*[\w.-]+\.(py|md|xml|yml|cfg|toml)|([\w-]+/)+")
    linked = {text.strip("`"): target for text, target in document.links()}
    for span in filter(named.fullmatch, document.spans()):
        if span in linked:
            assert linked[span].endswith(span), f"[{span}]({linked[span]})"
        else:
            assert (document.folder / span).exists() or (ROOT / span).exists(), span


def test_every_reliability_row_names_its_tests() -> None:
    rows = Document("tests/README.md").rows("row")
    assert len(rows) > 25
    for number, *_, tests in rows:
        assert re.findall(r"`[\w/]*test_\w+\.py`", tests), f"row {number}"


# --- commands


@each_document()
def test_commands_of_adclick_are_understood(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in document.commands():
        understand(command, monkeypatch)


@each_document()
def test_commands_of_the_runtime_are_understood(document: Document) -> None:
    for command in document.commands():
        program, *words = shlex.split(command)
        if program == "adclick-detect":
            name = words.pop(0) if words[0] in DETECT_COMMANDS else ""
            parser_of(name).parse_args(words)


def test_commands_of_the_compose_file_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    comment = re.findall(r"^# ?(.*)$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    within = re.findall(r"'(adclick [^']+)'", "\n".join(comment))
    assert len(within) == 1
    for command in command_lines(within[0]):
        understand(command, monkeypatch)


def understand(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the argument parser read a command of ``adclick`` and what it would run do nothing."""
    found = re.search(r"(?:^|\s)(?:adclick|adclick_backend)\s+(.*)", command)
    if not found:
        return
    words = shlex.split(found[1])
    if words == ["--help"]:
        return
    chosen = COMMANDS[words[0]]
    if chosen.parts:
        chosen = chosen.parts[words[1]]
    monkeypatch.setattr(importlib.import_module(chosen.module), "run", lambda _: 0)
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 2
    assert status == 0, command


@each_document()
def test_options_that_are_named_exist(document: Document, options: set[str]) -> None:
    for span in document.spans():
        if re.match(r"--\w", span):
            unknown = set(re.findall(r"--\w[\w-]*", span)) - options
            assert not unknown, span


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of ``adclick``, of ``adclick-detect`` and of the examples."""
    calls: list[tuple[Callable[[Sequence[str]], int], list[str]]]
    calls = [(draw_samples.main, []), (walkthrough.main, []), (detect_main, [])]
    calls += [(detect_main, [name]) for name in DETECT_COMMANDS]
    for name, command in COMMANDS.items():
        calls += [(main, [name, part]) for part in command.parts] or [(main, [name])]
    with redirect_stdout(StringIO()) as printed:
        for call, words in calls:
            with pytest.raises(SystemExit, match="0"):
                call([*words, "--help"])
    return set(re.findall(r"--\w[\w-]*", printed.getvalue()))


@each_document()
def test_targets_of_make_exist(document: Document) -> None:
    targets = {word for command in document.commands() for word in re.findall(r"\bmake ([\w-]+)", command)}
    if targets:
        # An interpreter that is named need not be looked for, which takes seconds.
        dry_run = ["make", "-n", f"PYTHON={sys.executable}", *targets]
        done = subprocess.run(dry_run, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# --- what the README says


def test_quoted_messages_are_those_that_are_printed() -> None:
    """Ours word for word in the code, Label Studio's in the test of their explanations."""
    packages = ("adclick_backend", "adclick_runtime", "model")
    sources = [file for name in packages for file in (ROOT / name).rglob("*.py")] + [ROOT / "Makefile"]
    sources.append(ROOT / "tests/adclick_backend/commands/test_connect.py")
    texts = [source.read_text("utf-8") for source in sources]
    rows = README.rows("what you see")
    messages = [
        message for seen, *_ in rows if seen.startswith("`") for message in re.findall("`(.+?)`", seen)
    ]
    assert len(messages) > 5
    for message in messages:
        assert any(all(piece in text for piece in message.split(" ... ")) for text in texts), message


def test_every_setting_is_in_the_table() -> None:
    named = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in README.rows("variable"))))
    for field, names in _environment().items():
        # The server itself sets the one of Prometheus.
        assert names & named or field == "prometheus_multiproc_dir", f"{field} has no row"


def _environment() -> dict[str, set[str]]:
    """The environment variables of each setting."""
    found = {}
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        found[field] = set(map(str, alias.choices)) if alias else {f"ADCLICK_{field.upper()}"}  # type: ignore[union-attr]
    return found


def test_files_of_the_figure_are_linked_below_it() -> None:
    (figure,) = [fence.text for fence in README.fences if "residual.py" in fence.text]
    linked = {text.strip("`") for text, _ in README.links()}
    assert set(re.findall(r"\w+\.py", figure)) <= linked


# --- Docker, as far as that goes without an engine


def test_the_compose_file_wires_what_the_backend_reads() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    backend, label_studio = services["adclick"], services["label-studio"]
    known = set().union(*_environment().values())
    assert backend["environment"].keys() <= known
    assert (ROOT / backend["build"] / "Dockerfile").is_file()
    assert backend["ports"][0].endswith(f":{Settings.model_fields['port'].default}")
    assert backend["environment"]["LABEL_STUDIO_URL"] == "http://label-studio:8080"
    assert label_studio["environment"].items() >= ALLOW_PRIVATE.items()
    tested = re.findall(r"^LABEL_STUDIO_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert label_studio["image"].rpartition(":")[2] == tested[0]


def test_the_image_sets_what_the_backend_reads() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ours = set(re.findall(r"\b(ADCLICK_\w+)=", dockerfile))
    assert ours and ours <= set().union(*_environment().values())
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists() and source.split("/")[0] in sent, line


# --- the floor plan


@pytest.mark.parametrize("package", ["adclick_backend", "model"])
def test_the_table_of_rooms_is_the_floor_plan(package: str) -> None:
    rows = README.rows(f"`{package}/`")
    table = []
    for rooms, _ in rows:
        links = re.findall(r"\[`(\w+)`\]\(([^)]+)\)", rooms)
        assert all(target.removesuffix(".py") == f"{package}/{room}" for room, target in links), rooms
        table.append([room for room, _ in links])
    assert table == floor_plan(package)


def test_the_row_of_training_has_its_own_floors() -> None:
    (row,) = [what for rooms, what in README.rows("`model/`") if rooms.startswith("[`training`]")]
    _, _, floors = row.partition(": ")
    assert [re.findall(r"\[`(\w+)`\]", floor) for floor in floors.split(";")] == floor_plan("model.training")


def floor_plan(container: str) -> list[list[str]]:
    """The layers of a contract of import-linter, from top to bottom."""
    read = ConfigParser(interpolation=None)
    read.read(ROOT / "setup.cfg")
    (layers,) = [
        section["layers"]
        for name, section in read.items()
        if name.startswith("importlinter:contract:") and section.get("containers") == container
    ]
    return [[room.strip() for room in layer.split("|")] for layer in layers.split("\n") if layer.strip()]
