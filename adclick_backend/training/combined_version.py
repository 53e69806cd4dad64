"""A version of two others: it proposes masks as the one that served, and answers clicks as the new one."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from adclick_backend.store.version import CLICKS, WEIGHTS, Version
from adclick_backend.store.versions import Registry
from adclick_backend.training.click_adaptation import copy_checkpoint, describe
from adclick_backend.training.click_verdict import ClickVerdict
from adclick_backend.training.comparison_pictures import draw_click_pictures
from model.checkpoint.atomic import write_atomically


def serve_clicks_of(
    version: Version,
    serving: Version | None,
    verdict: ClickVerdict,
    registry: Registry,
    project: str,
    folder: Path,
) -> str:
    """Let a version serve that answers clicks as a new one does and proposes masks as before.

    For a new version whose click network is better and whose segmentation network is worse than what served.

    Args:
        version: the new version.
        serving: the version that served; None for the packaged networks, which then go on proposing.
        verdict: on the click network of the new version.
        registry: takes the version.
        project: project id.
        folder: to put it together in; it is deleted at the end.

    Returns:
        A sentence for a person.
    """
    name, now = registry.new_name(project), time.time()
    proposing = None if serving is None else serving.weights
    measured = {} if serving is None else serving.metrics
    more = {
        "version": registry.full_name(project, name),
        "created": now,
        "metrics": {**measured, **verdict.candidate},
    }
    shutil.rmtree(folder, ignore_errors=True)
    try:
        copy_checkpoint(version.folder / CLICKS, folder)
        describe(folder / CLICKS, **more, alone=proposing is None)
        if proposing is not None:
            copy_checkpoint(proposing, folder)
            describe(folder / WEIGHTS, **more)
        if serving is not None and serving.detector is not None:
            copy_checkpoint(serving.detector, folder)
        before = "the packaged network" if serving is None or proposing is None else serving.name
        said = f"answers clicks as {version.name} does, and masks before the first click come from {before}."
        told = {
            "version": name,
            "against": "" if serving is None else serving.name,
            "promoted": True,
            "reason": f"It {said} {verdict.reason}",
            "held_out": True,
            "candidate": more["metrics"],
            "serving": {**measured, **verdict.serving},
            "images": [],
            "clicks": verdict.as_json(),
        }
        write_atomically(folder / "comparison.json", (json.dumps(told, indent=2) + "\n").encode())
        draw_click_pictures(folder / "pictures", verdict.images)
        registry.publish(project, folder, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    registry.activate(project, name)
    return f"So version {name} serves: it {said}"
