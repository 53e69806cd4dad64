"""What the status page shows, gathered from the store."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from adclick_backend import __version__
from adclick_backend.connections import Link
from adclick_backend.labeling_config import (
    LabelingConfig,
    parse_labeling_config,
    recommended_config,
    summary_sentence,
)
from adclick_backend.reference_check import FEWEST, ODD
from adclick_backend.services import Services
from adclick_backend.store import Problem, Project, Reference

PAGE_SIZE = 60  # references
ENOUGH = 10  # references that cover the usual spread between good parts


@dataclass(frozen=True)
class Tile:
    """A reference as the page shows it."""

    reference: Reference
    is_odd: bool
    task_url: str  # in Label Studio; "" when it has no task


@dataclass(frozen=True)
class ReferenceList:
    """The references of a project, the ones that need a look first."""

    tiles: Sequence[Tile]  # of this page
    ready: int
    pending: int
    failed: int
    odd: int
    advice: Sequence[str]
    products: Sequence[str]
    number: int  # of this page, from 1
    pages: int


@dataclass(frozen=True)
class ProjectPage:
    """Everything about the chosen project."""

    project: Project
    config: LabelingConfig
    sentence: str
    link: Link
    references: ReferenceList
    problems: Sequence[Problem]

    @property
    def name(self) -> str:
        """What the project is called."""
        return self.project.title or f"Project {self.project.id}"


@dataclass(frozen=True)
class StatusPage:
    """The whole page; ``chosen`` is None before a project was connected."""

    version: str
    model_version: str
    model_state: str
    model_failure: str
    backend_url: str
    is_private: bool
    needs_password: bool
    example_config: str
    projects: Sequence[Project]
    chosen: ProjectPage | None
    problems: Sequence[Problem]

    @property
    def changes_soon(self) -> bool:
        """Whether work is going on that the page will show when it is loaded again."""
        if self.model_state == "loading":
            return True
        chosen = self.chosen
        return chosen is not None and (chosen.references.pending > 0 or chosen.link.state == "unknown")


def build_page(services: Services, project: str, *, backend_url: str, host: str, number: int) -> StatusPage:
    """Gather the page.

    Args:
        services: of the backend.
        project: id of the chosen project, "" for none.
        backend_url: the address that the person used, which is probably the one to give to Label Studio.
        host: its host, with or without a port.
        number: page of the references, from 1.
    """
    engine = services.engine
    return StatusPage(
        version=__version__,
        model_version=engine.version,
        model_state=engine.state,
        model_failure=engine.failure or "",
        backend_url=backend_url,
        is_private=is_private(host),
        needs_password=bool(services.settings.basic_auth_user or services.settings.basic_auth_pass),
        example_config=recommended_config(("scratch", "dent")),
        projects=services.store.projects.all(),
        chosen=_project_page(services, project, number) if project else None,
        problems=services.store.problems.latest("") if not project else (),
    )


def _project_page(services: Services, project: str, number: int) -> ProjectPage:
    known = services.store.projects.get(project)
    config = parse_labeling_config(known.label_config, background_labels=services.settings.background_labels)
    return ProjectPage(
        project=known,
        config=config,
        sentence=summary_sentence(config),
        link=services.links.look(project),
        references=list_references(services.store.references.of_project(project), known.hostname, number),
        problems=services.store.problems.latest(project),
    )


def list_references(references: Sequence[Reference], hostname: str, number: int) -> ReferenceList:
    """Sort and count references, and cut out one page of them.

    Args:
        references: of one project.
        hostname: of Label Studio, for links to tasks.
        number: of the page; the nearest one there is when it does not exist.
    """
    ready: dict[str, set[str]] = {}
    for reference in references:
        images = ready.setdefault(reference.product, set())
        if reference.state == "ready":
            images.add(reference.sha)
    tiles = [
        Tile(reference, _is_odd(reference, len(ready[reference.product])), _task_url(reference, hostname))
        for reference in references
    ]
    order = {"failed": 0, "pending": 1, "ready": 2}
    tiles.sort(key=lambda tile: (not tile.is_odd, order[tile.reference.state], -tile.reference.added))
    pages = max(1, -(-len(tiles) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    return ReferenceList(
        tiles=tiles[(number - 1) * PAGE_SIZE : number * PAGE_SIZE],
        ready=sum(len(images) for images in ready.values()),
        pending=sum(tile.reference.state == "pending" for tile in tiles),
        failed=sum(tile.reference.state == "failed" for tile in tiles),
        odd=sum(tile.is_odd for tile in tiles),
        advice=[advice(product, len(images)) for product, images in sorted(ready.items())] or [advice("", 0)],
        products=sorted(product for product in ready if product),
        number=number,
        pages=pages,
    )


def advice(product: str, ready: int) -> str:
    """What more references of a product would bring."""
    prefix = f"{product}: " if product else ""
    if ready == 0:
        return (
            f"{prefix}There is no reference yet, so a click is judged by its own image alone. Mark three "
            f"defect-free images as normal, better {ENOUGH}, and the backend knows what belongs to the product."
        )
    if ready == 1:
        return (
            f"{prefix}There is one reference. It shows what belongs to the product, but not what may vary: the "
            f"light, position and grain of other good parts still look unusual. {ENOUGH - 1} more tell that apart."
        )
    if ready < ENOUGH:
        return f"{prefix}There are {ready} references; about {ENOUGH} cover what varies between good parts."
    return f"{prefix}There are {ready} references, enough for most products."


def is_private(host: str) -> bool:
    """Whether Label Studio would call this host (with or without a port) a reserved network address."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return "." not in name or name.endswith((".local", ".internal", ".localhost"))


def ago(moment: float) -> str:
    """A past Unix time in words, as precise as a person wants it."""
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def _is_odd(reference: Reference, bank_size: int) -> bool:
    return bank_size >= FEWEST and reference.oddness is not None and reference.oddness > ODD


def _task_url(reference: Reference, hostname: str) -> str:
    if reference.task_id is None or not hostname.startswith(("http://", "https://")):
        return ""
    return f"{hostname.rstrip('/')}/projects/{reference.project}/data?task={reference.task_id}"
