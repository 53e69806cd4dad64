"""The label-studio-ml 2.x class contract, over this backend's own store.

label-studio-ml 2.x is not on PyPI, and the 1.0.9 that is speaks another protocol. So nothing here depends on
it: where 2.x can be imported its ``LabelStudioMLBase`` is the base class, elsewhere a stand-in with the same
constructor is, and whatever either of them would keep, `ProjectModel` keeps in the store. Both behave the
same.
"""

from __future__ import annotations

import importlib
import json
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from adclick_backend.store import Store
from adclick_backend.store import project_id as read_project_id

log = logging.getLogger(__name__)

NO_PROJECT = (
    "0"  # Label Studio counts from 1; what requests without a project leave behind is kept under this
)


class StandInBase(ABC):
    """The constructor of label-studio-ml 2.x's ``LabelStudioMLBase``, and what it calls."""

    INITIAL_MODEL_VERSION = "0.0.1"

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.use_label_config(label_config)
        if not self.model_version:
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    @abstractmethod
    def setup(self) -> None:
        """Called at the end of the constructor, so with every request."""

    @abstractmethod
    def use_label_config(self, label_config: str) -> None:
        """Take over the labeling config of the project."""

    @abstractmethod
    def set(self, key: str, value: str) -> None:
        """Keep a string for the project."""

    @property
    @abstractmethod
    def model_version(self) -> str | None:
        """The version of the model that answers the project."""


def find_base() -> type:
    """label-studio-ml 2.x's base class, or the stand-in where that cannot be imported."""
    try:
        importlib.import_module("label_studio_ml.response")  # only 2.x has it
        base: type = importlib.import_module("label_studio_ml.model").LabelStudioMLBase
    except ModuleNotFoundError:
        return StandInBase
    except Exception:
        log.warning("label-studio-ml is installed but cannot be imported; going on without it", exc_info=True)
        return StandInBase
    return base


if TYPE_CHECKING:
    LabelStudioMLBase = StandInBase
else:
    LabelStudioMLBase = find_base()


class ProjectModel(LabelStudioMLBase):
    """A model as one project sees it: its key-value store, labeling config, parameters and model version.

    Args:
        project_id: as Label Studio sends it, such as ``"1.1795338618"``.
        label_config: the labeling config; None keeps the one that is known.
        store: where everything is kept.
    """

    def __init__(
        self, project_id: str | None = None, label_config: str | None = None, *, store: Store
    ) -> None:
        self._store = store
        self._project = read_project_id(project_id) if project_id else NO_PROJECT
        super().__init__(project_id=self._project, label_config=label_config)

    def get(self, key: str) -> str | None:
        """The string kept for the project, or None."""
        return self._store.values.get(self._project, key)

    def set(self, key: str, value: str) -> None:
        """Keep a string for the project; nothing is written when it is kept already, or when the disk is full."""
        if self.get(key) != value:
            self._store.values.set_if_possible(self._project, key, value)

    def has(self, key: str) -> bool:
        """Whether a string of that name is kept for the project."""
        return self.get(key) is not None

    def use_label_config(self, label_config: str) -> None:
        """Take over the labeling config of the project."""
        self._store.projects.save(self._project, label_config=label_config)

    @property
    def label_config(self) -> str:
        """The labeling config of the project, "" when it is not known."""
        return self._store.projects.get(self._project).label_config

    @property
    def model_version(self) -> str | None:
        """The version of the model that answers the project."""
        return self.get("model_version")

    def set_extra_params(self, extra_params: str | dict[str, Any]) -> None:
        """Keep the parameters of the connection: JSON when typed in Label Studio, else an object."""
        text = extra_params if isinstance(extra_params, str) else json.dumps(extra_params)
        self._store.projects.save(self._project, extra_params=text)

    @property
    def extra_params(self) -> dict[str, Any]:
        """The parameters of the connection; empty when there are none or they are no JSON object."""
        try:
            found = json.loads(self._store.projects.get(self._project).extra_params or "{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
