"""The first page of a project: its labeling config, its Label Studio, what went wrong, how to connect."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from adclick_backend.config.difference import difference
from adclick_backend.config.labeling_config import (
    LabelingConfig,
    parse_labeling_config,
    recommended_config,
    summary_sentence,
)
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.preparing import room_sentence
from adclick_backend.dashboard.shortcuts import GROUPS, label_keys
from adclick_backend.dashboard.standing import Standing, project_standing
from adclick_backend.errors import ApiError
from adclick_backend.images.connections import ONLY_FROM_HERE, Link
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.services import Services
from adclick_backend.store import Problem
from adclick_backend.store.removal import BEGUN

HALF_REMOVED = (
    "Somebody began to remove this project, and it was interrupted: remove it again, at the end of this page."
)


@dataclass(frozen=True)
class SetUp:
    """Whether a project can be labelled by clicks, and how far it is.

    Attributes:
        standing: how far it is.
        config: its labeling config.
        sentence: about the config.
        difference: the lines that a correction of the config takes out and puts in.
        fingerprint: of that correction, so that what is written is what was looked at.
        link: to its Label Studio.
        unconfirmed: where it was connected from, while nobody has said that this is our Label Studio.
    """

    standing: Standing
    config: LabelingConfig
    sentence: str
    difference: Sequence[str]
    fingerprint: str
    link: Link
    unconfirmed: str


@dataclass(frozen=True)
class Connecting:
    """What to enter in Label Studio."""

    backend_url: str
    is_private: bool
    needs_password: bool
    example_config: str


@dataclass(frozen=True)
class Overview:
    """The page; ``setup`` is None before a project was connected."""

    setup: SetUp | None
    room: str  # for prepared images on disk; "" before a project was connected
    problems: Sequence[Problem]
    connecting: Connecting


def build_overview(services: Services, project: str, *, backend_url: str, host: str) -> Overview:
    """Gather the page.

    Args:
        services: of the backend.
        project: its id, "" for none.
        backend_url: the address that the person used, which is probably the one to give to Label Studio.
        host: its host, with or without a port.
    """
    return Overview(
        setup=_setup(services, project) if project else None,
        room=room_sentence(services.engine.room(project)) if project else "",
        problems=services.store.problems.latest(project),
        connecting=Connecting(
            backend_url=backend_url,
            is_private=is_private(host),
            needs_password=services.settings.needs_password,
            example_config=recommended_config(("scratch", "dent")),
        ),
    )


def _setup(services: Services, project: str) -> SetUp:
    xml, config = _config(services, project)
    link = services.links.look(project)
    obstacles = [HALF_REMOVED] if services.store.values.get(project, BEGUN) else []
    obstacles += [link.sentence] if link.state == "bad" else []
    obstacles += [summary_sentence(config)] if config.problems else []
    return SetUp(
        standing=project_standing(services, project, obstacles),
        config=config,
        sentence=summary_sentence(config),
        difference=difference(xml, config.corrected) if config.changes else (),
        fingerprint=_fingerprint(config),
        link=link,
        unconfirmed=services.connections.unconfirmed(project),
    )


def _config(services: Services, project: str) -> tuple[str, LabelingConfig]:
    """The labeling config of a project as it is written, and taken apart."""
    xml = services.store.projects.get(project).label_config
    return xml, parse_labeling_config(xml, background_labels=services.settings.background_labels)


def _fingerprint(config: LabelingConfig) -> str:
    return hashlib.sha256(config.corrected.encode(errors="replace")).hexdigest()


def write_correction(services: Services, project: str, fingerprint: str) -> str:
    """Write the corrected labeling config into Label Studio, if it still is the one that a person looked at.

    Args:
        services: of the backend.
        project: its id.
        fingerprint: of the correction that the person agreed to.

    Returns:
        What came of it, in a sentence.
    """
    xml, config = _config(services, project)
    changed = "The labeling config was changed meanwhile and nothing was written; look at its changes again."
    if not config.changes or _fingerprint(config) != fingerprint:
        return changed
    label_studio = services.connections.label_studio(project)
    try:
        now = label_studio.get(f"/api/projects/{project}/")["label_config"]
        if now != xml:
            services.store.projects.save(project, label_config=now)
            return changed
        label_studio.patch(f"/api/projects/{project}/", {"label_config": config.corrected})
    except LabelStudioError as error:
        return f"The labeling config was not changed. {error}"
    services.store.projects.save(project, label_config=config.corrected)
    return (
        "The corrected labeling config is in Label Studio now. Whoever has a task open loads its page again."
    )


def mend_webhook(services: Services, project: str) -> str:
    """Let Label Studio's webhook carry the secret; what came of it, in a sentence."""
    said = services.registration.mend(project, services.connections.label_studio(project))
    services.links.forget(project)
    return said


def is_private(host: str) -> bool:
    """Whether Label Studio would call this host (with or without a port) a reserved network address."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        return "." not in name or name.endswith((".local", ".internal", ".localhost"))


def show_overview(pages: Pages, project: str) -> Response:
    """The page of a project, or with "" what to do to connect the first one."""
    view = build_overview(
        pages.services, project, backend_url=request.host_url.rstrip("/"), host=request.host
    )
    asking = view.setup is not None and view.setup.link.state == "unknown"
    keys = label_keys(pages.services.store.projects.get(project).label_config) if project else []
    return pages.show("overview", project, changing=asking, view=view, keys=keys, groups=GROUPS)


def add_overview(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""

    @blueprint.get("/projects/<project>")
    def overview(project: str) -> ResponseReturnValue:
        return show_overview(pages, pages.known(project))

    @blueprint.post("/projects/<project>/labeling-config")
    def correct_config(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        said = write_correction(pages.services, project, request.form.get("fingerprint", ""))
        return pages.back("overview", project, "setup-title", said=said)

    @blueprint.post("/projects/<project>/confirm")
    def confirm(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        connections, said = pages.services.connections, request.form.get("hostname", "")
        if not g.administrator:
            raise ApiError(403, "forbidden", ONLY_FROM_HERE)
        if said != connections.unconfirmed(project):
            return pages.back(
                "overview", project, "setup-title", said="It was connected again meanwhile: look again."
            )
        connections.confirm(said)
        pages.services.links.forget(project)
        return pages.back(
            "overview", project, "setup-title", said=f"{said} is your Label Studio from now on."
        )

    @blueprint.post("/projects/<project>/webhook")
    def register_webhook(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        return pages.back("overview", project, "setup-title", said=mend_webhook(pages.services, project))

    @blueprint.post("/projects/<project>/problems/clear")
    def clear_problems(project: str) -> ResponseReturnValue:
        pages.services.store.problems.clear(pages.known(project))
        return pages.back("overview", project, "problems")
