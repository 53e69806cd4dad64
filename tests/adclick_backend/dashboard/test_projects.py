"""The list of projects keeps its order, and the home page leads to the one that this person looked at last."""

from __future__ import annotations

import re

from tests.helpers.backend import Backend
from tests.helpers.dashboard import page


def titles(backend: Backend, route: str) -> list[str]:
    """The projects that a page lists, in its order."""
    return re.findall(r'<a href="/projects/\d+"[^>]*>\s*([^<]+)</a>', page(backend, route).split("<main")[-1])


def test_the_order_is_that_of_titles_whatever_is_worked_on(connected: Backend) -> None:
    for number, title in (("10", "bolts"), ("2", "Nuts"), ("9", "Bolts"), ("3", "")):
        connected.setup(f"{number}.1")
        connected.services.store.projects.save(number, title=title)
    connected.services.store.projects.save("1", title="Axles")
    order = ["Axles", "Bolts", "bolts", "Nuts", "Project 3"]
    assert titles(connected, "/projects") == order
    connected.services.store.projects.save("2", label_config="<View/>")  # heard of last
    assert titles(connected, "/projects") == order
    nav = re.search(r'<nav aria-label="Projects">.*?</nav>', page(connected, "/projects/2/labels"), re.S)
    assert nav
    assert re.findall(r'href="([^"]+)"', nav[0])[:5] == [f"/projects/{n}/labels" for n in (1, 9, 10, 2, 3)]


def test_the_home_page_leads_to_the_only_project_or_the_last_one_or_the_list(connected: Backend) -> None:
    assert connected.client.get("/").location == "/projects/1"
    connected.setup("2.1")
    other = connected.app.test_client()  # another person
    assert other.get("/").location == "/projects"
    page(connected, "/projects/2/training")
    assert connected.client.get("/").location == "/projects/2"
    assert other.get("/").location == "/projects"
    other.set_cookie("adclick_project", "99")  # removed since
    assert other.get("/").location == "/projects"


def test_the_list_says_what_each_project_has(connected: Backend) -> None:
    connected.setup("2.1")
    connected.serve_version("2")
    connected.services.jobs.enqueue("2", "train", "a test")
    text = " ".join(page(connected, "/projects").split())
    assert "project 1 · 0 references, no trained version serves" in text
    assert 'training</span> <span class="quiet">project 2 · 0 references, version v1 serves' in text
