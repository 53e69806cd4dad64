"""Key points that asked for all that is alike and were submitted without their mask are answered again in full."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adclick_backend.config.all_alike import with_all_alike
from adclick_backend.workers import unaccepted
from tests.adclick_backend.workers.test_push import Control
from tests.helpers.backend import CONFIG, Backend, mask_of, point, square
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated


def test_all_parts_come_back(make_backend: Callable[..., Backend]) -> None:
    config = with_all_alike(CONFIG, "each")[0]
    with FakeLabelStudio() as label_studio:
        backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
        backend.setup(config=config)
        backend.services.store.projects.save("1", label_config=config)
        url = backend.draw("1.png", [(12, 12, 250), (40, 30, 250)])
        points = [point(12, 12, "scratch (each)")]
        label_studio.tasks.append({"id": 1, "data": {"image": url}, "annotations": [annotated(1, points)]})
        assert backend.sync() == ""
        said = unaccepted.run("1", backend.services, Control())  # type: ignore[arg-type]
        assert said.startswith("The masks of 1 of 1 tasks were computed again")
        (prediction,) = label_studio.tasks[0]["predictions"]  # type: ignore[misc]
    first, second = prediction["result"]
    assert np.array_equal(mask_of(first), square(12, 12))
    assert np.array_equal(mask_of(second), square(40, 30))
    assert {region["value"]["brushlabels"][0] for region in (first, second)} == {"scratch"}
