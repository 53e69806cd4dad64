"""What an annotation says about one of a task's images: only the items that are of that image count."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adclick_backend.config.labeling_config import BelongingError, ImageSettings, LabelingConfig
from adclick_backend.labels.results import Statement, read_result
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.protocol.events import is_region

Item = Mapping[str, Any]


def items_of(
    result: Sequence[Item], config: LabelingConfig, image: ImageSettings
) -> tuple[list[Item], list[str]]:
    """The items of a result that are about an image, and a sentence for each kind that nobody can place.

    What is about something else that the config shows, such as a text, is passed over. In a config with one image, so
    is nothing that has no names: it is about that image.
    """
    own: list[Item] = []
    problems: list[str] = []
    for item in result:
        if item.get("type") == "relation" or item.get("to_name") in config.others:
            continue
        try:
            if config.image_of(item) is image:
                own.append(item)
        except BelongingError as error:
            what = "A region" if is_region(item) else f'A result of the type "{str(item.get("type"))[:40]}"'
            problems.append(f"{what} was left out. {error}")
    return own, list(dict.fromkeys(problems))


def read_image(
    result: Sequence[Item],
    config: LabelingConfig,
    image: ImageSettings,
    vocabulary: Vocabulary,
    answered: Collection[str],
    *,
    clicked: bool = False,
) -> Statement:
    """What the result of an annotation says about one image.

    One without anything in it speaks of every image of the task; one that is about something else says nothing here.

    Args:
        result: as Label Studio stores it, of the whole task.
        config: the project's labeling config.
        image: one of its images.
        vocabulary: what the image's labels and choices mean.
        answered: ids of regions that answered clicks.
        clicked: see `read_result`.
    """
    own, problems = items_of(result, config, image)
    if result and not own:
        return Statement(problems=tuple(problems))
    said = read_result(own, vocabulary, answered, clicked=clicked)
    return replace(said, normal=said.normal and not problems, problems=(*problems, *said.problems))
