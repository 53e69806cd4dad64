"""A backbone that does not ship: what a person is told before it is prepared."""

from __future__ import annotations

import html
from pathlib import Path

from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from tests.helpers.backend import Backend, point, task


def test_the_dashboard_and_every_click_say_what_to_run(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", backbone="timm:resnet18")
    backend = Backend(tmp_path, Engine(settings), backbone="timm:resnet18")  # type: ignore[arg-type]
    try:
        backend.setup()
        sentence = "Run `adclick prepare-backbone timm:resnet18 --out "
        assert sentence in html.unescape(
            backend.client.get("/", follow_redirects=True).get_data(as_text=True)
        )
        answer = backend.click(task(backend.draw("a.png", [(20, 20, 200)])), [point(20, 20)])
        assert answer.status_code == 200
        (problem,) = backend.services.store.problems.latest("1")
        assert sentence in problem.sentence
    finally:
        backend.close()
