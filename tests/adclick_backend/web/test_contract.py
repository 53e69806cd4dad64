"""The label-studio-ml 2.x contract: the same with and without that package."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adclick_backend.store import ProjectIdError, Store
from adclick_backend.web.contract import ProjectModel, StandInBase, find_base
from tests.helpers.backend import CONFIG


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


class Model(ProjectModel):
    """Counts its requests."""

    def setup(self) -> None:
        self.set("setups", str(int(self.get("setups") or 0) + 1))


def test_strings_are_kept_for_each_project(store: Store) -> None:
    model = Model("1.1795338618", CONFIG, store=store)
    assert model.model_version == "0.0.1"
    model.set("model_version", "adclick-7")
    again = Model("1", None, store=store)
    assert (again.model_version, again.label_config, again.get("setups")) == ("adclick-7", CONFIG, "2")
    assert again.has("model_version")
    assert not again.has("nothing")
    other = Model("2.1", store=store)
    assert (other.model_version, other.label_config, other.get("setups")) == ("0.0.1", "", "1")


def test_requests_without_a_project_have_a_place_of_their_own(store: Store) -> None:
    Model(None, CONFIG, store=store)
    assert [project.id for project in store.projects.all()] == ["0"]
    with pytest.raises(ProjectIdError):
        Model("../x", CONFIG, store=store)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"a": [1]}', {"a": [1]}),
        ({"b": 2}, {"b": 2}),
        ("", {}),
        ("[]", {}),
        ("7", {}),
        ("no json", {}),
        ("[" * 100_000, {}),
    ],
)
def test_parameters_are_an_object_whatever_was_typed(store: Store, given: Any, kept: dict[str, Any]) -> None:
    model = Model("1", store=store)
    model.set_extra_params(given)
    assert model.extra_params == kept


def fake_package(monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    for name in ("label_studio_ml", *(f"label_studio_ml.{part}" for part in parts)):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["label_studio_ml"].__path__ = []


def test_label_studio_ml_1_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(monkeypatch, "model")
    assert find_base() is StandInBase


def test_a_broken_label_studio_ml_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_package(monkeypatch, "model", "response")
    assert find_base() is StandInBase


UPSTREAM = '''
class LabelStudioMLBase:
    """What the constructor of label-studio-ml 2.x does; its own cache must stay unused."""

    INITIAL_MODEL_VERSION = "0.0.1"
    TRAIN_EVENTS = ("ANNOTATION_CREATED", "START_TRAINING")

    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        self._label_studio_client = None
        if label_config is not None:
            self.use_label_config(label_config)
        if not self.model_version:
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    def get(self, key, *_):
        raise AssertionError("the package's cache was used")

    set = has = use_label_config = set_extra_params = get
    model_version = label_config = property(get)

    def process_event(self, event, data, job_id, additional_params):
        return self.fit(event=event, data=data, job_id=job_id, **additional_params)
'''

SCRIPT = """
import json, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from adclick_backend.web.backend import ADClickBackend
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from tests.helpers.fake_engine import FakeEngine

services = Services(Settings(data_dir=Path(sys.argv[3])), FakeEngine())
model = ADClickBackend(project_id="1.1795338618", label_config=sys.argv[4], services=services)
bases = [base.__module__ for base in ADClickBackend.__mro__]
print(json.dumps({
    "upstream": "label_studio_ml.model" in bases,
    "version": model.model_version,
    "predict": model.predict([{"id": 1, "data": {"image": "/a.png"}}], {"result": []}, login=None),
    "fit": model.fit(event="START_TRAINING", data={"project": {"id": 1}}, job_id="x"),
    "other": model.fit("TASKS_CREATED", {"project": {"id": 1}, "tasks": []}),
    "config": model.label_config == sys.argv[4],
}))
services.stop()
"""


def behaviour(folder: Path, *, with_package: bool) -> dict[str, Any]:
    """What the backend answers in a process with, or without, a package like label-studio-ml 2.x."""
    package = folder / "label_studio_ml"
    package.mkdir(parents=True)
    if with_package:
        (package / "__init__.py").touch()
        (package / "response.py").touch()
    (package / "model.py").write_text(UPSTREAM)
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(folder),
        str(Path(__file__).parents[3]),
        str(folder / "data"),
        CONFIG,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_the_backend_answers_the_same_on_both_bases(tmp_path: Path) -> None:
    on_upstream = behaviour(tmp_path / "with", with_package=True)
    alone = behaviour(tmp_path / "without", with_package=False)
    assert (on_upstream.pop("upstream"), alone.pop("upstream")) == (True, False)
    assert on_upstream == alone
    assert alone["version"] == "fake-1"
    assert alone["predict"] == [{"result": [], "score": 0}]
    assert "waits for its turn" in alone["fit"]["message"]
    assert alone["other"] is None
