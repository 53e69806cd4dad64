"""Real backends behind nginx, over one PostgreSQL database and one object store, as several machines would be."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from draw_samples import draw, save_image
from sqlalchemy import func, select

from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.store.shelves import open_shelf
from adclick_backend.store.tables import expected_clicks, key_values
from adclick_backend.store.versions import Registry
from tests.helpers.backend import point
from tests.helpers.postgres import PostgresServer
from tests.helpers.s3 import S3Server
from tests.helpers.several_backends import ACCOUNT, Client, SeveralBackends
from tests.helpers.versions import publish

pytestmark = pytest.mark.cluster

GOOD = 4
SIDE = 512
STAINED, SCRATCHED = 101, 102  # tasks
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good images of a product, and two with a defect."""
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(GOOD):
        save_image(folder / f"good-{number}.png", draw("flange", seed=number, size=SIDE).image)
    for name in ("stain", "scratch"):
        save_image(folder / f"{name}.png", draw("flange", name, seed=9, size=SIDE).image)
    return folder


@pytest.fixture(scope="module")
def one(backends: Callable[[int], SeveralBackends], drawn: Path) -> SeveralBackends:
    """A backend alone that knows the good images."""
    return learned(backends(1), drawn)


@pytest.fixture(scope="module")
def two(backends: Callable[[int], SeveralBackends], drawn: Path) -> SeveralBackends:
    """Two that share what they have, and know them as well."""
    return learned(backends(2), drawn)


def learned(backends: SeveralBackends, drawn: Path) -> SeveralBackends:
    """Give backends the images, connect a project and mark the good ones."""
    for file in drawn.iterdir():
        (backends.images / file.name).write_bytes(file.read_bytes())
    client = Client(backends.url)
    client.setup()
    for number in range(GOOD):
        assert client.mark(number + 1, f"good-{number}.png").ok
    return backends


def checked(backends: SeveralBackends) -> bool:
    """Whether the references are there and were compared with each other, as happens some time after they came."""
    with opened(backends) as store, store.database.read() as connection:
        found = connection.execute(select(key_values.c.value).where(key_values.c.key.like("levels-%")))
        return any(text.count('"checked": true') == GOOD for text in found.scalars())


def expected(backends: SeveralBackends, images: int) -> bool:
    """Whether so many images were looked at, and it is known where clicks are to be expected."""
    with opened(backends) as store, store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(expected_clicks)).scalar_one() >= images


def opened(backends: SeveralBackends) -> AbstractContextManager[Store]:
    """What the backends share, as one more machine sees it."""
    return closing(Store(backends.images.parent / "look", backends.settings["ADCLICK_DATABASE_URL"]))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def at(x: float, y: float, name: str, *, positive: bool = True, label: str = "scratch") -> dict[str, Any]:
    """A key point in an image of `SIDE` pixels."""
    made = point(0, 0, label, name, positive)
    value = {**made["value"], "x": 100 * x / SIDE, "y": 100 * y / SIDE}
    return {**made, "original_width": SIDE, "original_height": SIDE, "value": value}


def a_while_of_clicks(client: Client) -> Iterator[Answer]:
    """What two people do: lone clicks as auto-accept sends them, growing contexts, corrections, two tasks by turns."""
    yield client.click(STAINED, "stain.png", [at(250, 240, "a")])
    yield client.click(STAINED, "stain.png", [at(262, 248, "b")])
    yield client.click(SCRATCHED, "scratch.png", [at(200, 300, "c")])
    yield client.click(STAINED, "stain.png", [at(300, 200, "d", positive=False)])
    yield client.click(SCRATCHED, "scratch.png", [at(200, 300, "c"), at(240, 280, "e")])
    yield client.click(STAINED, "stain.png", [at(230, 230, "f", positive=False, label="background")])
    grown = [at(200, 300, "c"), at(240, 280, "e"), at(120, 400, "g", positive=False)]
    yield client.click(SCRATCHED, "scratch.png", grown)
    yield client.click(STAINED, "stain.png", [at(60, 450, "h", label="dent")])
    assert client.mark(STAINED, "stain.png", "defective").ok  # what was clicked is submitted
    yield client.click(STAINED, "stain.png", [at(255, 244, "i")])


def test_the_masks_are_those_of_one_backend_to_the_digit(one: SeveralBackends, two: SeveralBackends) -> None:
    """Whichever backend a request comes to: the clicks of a task alternate between the two."""
    found: list[list[Answer]] = []
    for several in (one, two):
        assert within(120, lambda several=several: checked(several)), several.log(0)[-2000:]  # type: ignore[misc]
        client = Client(several.url)
        for task, image in ((STAINED, "stain.png"), (SCRATCHED, "scratch.png")):
            client.open(task, image)
        assert within(120, lambda several=several: expected(several, 2))  # type: ignore[misc]
        client.answered_by.clear()
        found.append(list(a_while_of_clicks(client)))
    asked = client.answered_by
    assert len(set(asked)) == 2
    assert all(here != there for here, there in pairwise(asked))
    assert sum(bool(answer["result"]) for answer in found[0]) > 6
    for number, (alone, together) in enumerate(zip(*found, strict=True)):
        assert alone == together, f"click {number}"


def test_a_version_that_one_activates_serves_on_all_within_two_seconds(
    two: SeveralBackends, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        data_dir=tmp_path / "third",
        database_url=two.settings["ADCLICK_DATABASE_URL"],
        files_url=two.settings["ADCLICK_FILES_URL"],
    )
    clients = [Client(two.url_of(number)) for number in (0, 1)]
    before = clients[0].setup()
    with closing(Store(settings.data_dir, settings.database_url)) as store:
        registry = Registry(settings.data_dir, before, shelf=open_shelf(settings, store.values, store.locks))
        assert [publish(registry, tmp_path, "1").name for _ in range(2)] == ["v1", "v2"]
        for client in clients:
            assert within(2, lambda client=client: client.setup() == f"{before}+p1-v2")  # type: ignore[misc]
        press(two.url_of(0), "/projects/1/versions/roll-back")
        assert within(2, lambda: clients[1].setup() == f"{before}+p1-v1")
        press(two.url_of(1), "/projects/1/versions/roll-back")
        assert within(2, lambda: clients[0].setup() == before)


def press(url: str, route: str) -> None:
    """Press a button of a backend's dashboard; its form may have come from another one."""
    page = requests.get(f"{url}/projects/1/references", auth=ACCOUNT, timeout=30).text
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    answer = requests.post(
        url + route, data={"form_token": token[1]}, auth=ACCOUNT, timeout=30, allow_redirects=False
    )
    assert answer.status_code == 303, answer.text[-500:]


def test_clicks_while_the_database_is_away_go_on_or_fail_in_words_and_nothing_is_lost(
    two: SeveralBackends, postgres_server: PostgresServer
) -> None:
    client = Client(two.url)
    for task in (3001, 3002):
        (before,) = client.click(task, "stain.png", [at(250, 240, "a")])["result"]
    postgres_server.stop()
    try:
        for number in range(4):
            started = time.monotonic()
            client.click(
                3001, "stain.png", [at(262 + number, 248, f"b{number}")]
            )  # an answer, with or without a mask
            assert time.monotonic() - started < 15
        for number in (0, 1):
            health = requests.get(f"{two.url_of(number)}/health", timeout=1)
            assert (health.json()["status"], health.json()["state"]) == ("UP", "degraded")
            ready = requests.get(f"{two.url_of(number)}/ready", timeout=20)
            assert (ready.status_code, "cannot be reached" in ready.text) == (503, True)
        assert client.mark(3002, "stain.png", "defective").status_code == 503
    finally:
        postgres_server.start()
    for number in (0, 1):
        two.wait_until_ready(number)
    (joined,) = client.click(3002, "stain.png", [at(300, 200, "c", positive=False)])["result"]
    assert joined["id"] == before["id"]  # what was clicked before is known


def clicks_until(url: str, done: threading.Event) -> list[Answer]:
    """Click the same place, with a task of its own each time so that nothing is joined, until it is enough."""
    client, answers = Client(url), []
    while not done.is_set():
        answers.append(client.click(2000 + len(answers), "stain.png", [at(250, 240, "a")]))
    return answers


def masks(answers: Sequence[Answer]) -> set[str]:
    return {str(answer["result"][0]["value"]["rle"]) if answer["result"] else "" for answer in answers}


def test_a_backend_that_is_killed_or_stopped_costs_no_click(two: SeveralBackends) -> None:
    done = threading.Event()
    usual = masks([Client(two.url).click(1999, "stain.png", [at(250, 240, "a")])])
    with ThreadPoolExecutor(2) as people:
        found = [people.submit(clicks_until, two.url, done) for _ in range(2)]
        time.sleep(1)
        two.kill(1)
        time.sleep(2)
        two.start(1)
        two.wait_until_ready(1)
        two.stop(0)
        time.sleep(2)
        done.set()
        answers = [answer for person in found for answer in person.result()]
    assert two.ended(0) == 0
    assert len(answers) > 4
    assert masks(answers) == usual
