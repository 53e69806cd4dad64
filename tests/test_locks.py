"""Reliability row 26: the locks are what setup.cfg asks for, by hash, and the image installs nothing else."""

from __future__ import annotations

import re
from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement

from tests.helpers.documents import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LOCKS = {file.stem: file.read_text("utf-8") for file in (ROOT / "locks").glob("*.txt")}


def pins(name: str) -> dict[str, str]:
    """The version of each package."""
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", LOCKS[name]))


def asked(section: str, option: str, file: str = "setup.cfg") -> list[Requirement]:
    read = ConfigParser(interpolation=None)
    read.read(ROOT / file)
    lines = [line.strip() for line in read[section][option].splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_there_is_one_for_each_image() -> None:
    assert LOCKS.keys() == {"cpu", "cuda", "language", "runtime"}
    default = re.findall(r"^ARG LOCK=(\w+)$", DOCKERFILE, re.MULTILINE)
    assert default == ["cpu"]
    assert "COPY locks/runtime.txt ." in stage("runtime-packages")


def stage(name: str) -> str:
    """The lines of the Dockerfile from where a stage begins to where the next one does."""
    (found,) = re.findall(rf"(?ms)^FROM \S+ AS {name}$(.*?)(?=^FROM|\Z)", DOCKERFILE)
    return str(found)


@pytest.mark.parametrize("name", LOCKS)
def test_every_download_has_a_hash(name: str) -> None:
    entries = re.split(r"(?m)^(?=\w)", re.sub(r"(?m)^#.*\n", "", LOCKS[name]))[1:]
    assert len(entries) > (5 if name == "runtime" else 30)
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", entry), entry[:200]


def test_the_runtime_needs_little() -> None:
    """No torch, no Pillow, no web server; what it shares with the backend it has in the same version."""
    project = (ROOT / "adclick_runtime" / "pyproject.toml").read_text("utf-8")
    (block,) = re.findall(r"(?ms)^dependencies = \[$(.*?)^\]$", project)
    wanted = [Requirement(line) for line in re.findall(r'^ *"(.+)",$', block, re.MULTILINE)]
    assert {each.name for each in wanted} == {"numpy", "opencv-python-headless", "onnxruntime"}
    locked = pins("runtime")
    for requirement in wanted:
        assert requirement.specifier.contains(locked[requirement.name]), f"{requirement}: make lock"
    assert not locked.keys() & {"torch", "pillow", "flask", "pydantic", "safetensors"}
    shared = locked.keys() & pins("cpu").keys()
    assert {"numpy", "opencv-python-headless"} <= shared
    assert [name for name in shared if locked[name] != pins("cpu")[name]] == []


@pytest.mark.parametrize("name", sorted(LOCKS.keys() - {"runtime"}))
def test_setup_cfg_is_satisfied(name: str) -> None:
    wanted = asked("options", "install_requires")
    if name == "language":
        wanted += asked("options.extras_require", "language")
    # The image builds the package with what is locked.
    (build,) = re.findall(r"requires = \[\"(.+)\"\]", (ROOT / "pyproject.toml").read_text("utf-8"))
    for requirement in [*wanted, Requirement(build)]:
        assert requirement.specifier.contains(pins(name)[requirement.name]), f"{requirement}: make lock"


@pytest.mark.parametrize("name", ["cuda", "language"])
def test_they_differ_in_what_they_are_for_alone(name: str) -> None:
    """The backend is the same in all of them."""
    added = pins(name)
    different = {
        package: version for package, version in pins("cpu").items() if added.get(package) != version
    }
    assert different == ({"torch": f"{added['torch']}+cpu"} if name == "cuda" else {})


def test_the_cpu_build_of_torch_brings_no_driver_of_a_gpu() -> None:
    assert pins("cpu")["torch"].endswith("+cpu")
    assert not [package for package in pins("cpu") if re.match("nvidia|cuda|triton", package)]


def test_the_image_installs_nothing_that_is_not_locked() -> None:
    (base,) = re.findall(r"^FROM (\S+) AS base$", DOCKERFILE, re.MULTILINE)
    python = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert python and f"--python-version {python[1]} " in (ROOT / "Makefile").read_text("utf-8")
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert [one for one, _ in stages[1:]] == ["base"] * 3
    assert stages[-1][1] == "backend"  # which is built where no target is named
    installed = re.findall(r"pip install (.+)", stage("backend"))
    assert len(installed) == 2
    assert "--require-hashes" in installed[0] and "--only-binary :all:" in installed[0]
    assert "--no-deps --no-build-isolation" in installed[1]
    assert "!locks" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def test_the_image_of_the_runtime_installs_nothing_that_is_not_locked() -> None:
    (installed,) = re.findall(r"pip install (.+)", stage("runtime-packages"))
    assert "--require-hashes --only-binary :all: --no-compile --target /packages" in installed
    assert "pip install" not in stage("runtime")
    assert "COPY --from=runtime-packages /packages /app" in stage("runtime")
    assert "USER adclick" in stage("runtime")
