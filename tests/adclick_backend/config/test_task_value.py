"""What stands in the place of ``$field``: as Label Studio's editor fills it in."""

from __future__ import annotations

from typing import Any

import pytest

from adclick_backend.config.task_value import fill, is_filled


@pytest.mark.parametrize(
    ("value", "data", "filled"),
    [
        ("$image", {"image": "/a.png"}, "/a.png"),
        ("$close up", {"close up": "/a.png"}, "/a.png"),
        ("$photo.url", {"photo": {"url": "/a.png"}}, "/a.png"),
        ("$photo.url", {"photo.url": "/b.png", "photo": {"url": "/a.png"}}, "/b.png"),
        ("$images[1]", {"images": ["/a.png", "/b.png"]}, "/b.png"),
        ("$a[0].b[1]", {"a": [{"b": ["x", "/a.png"]}]}, "/a.png"),
        ("$images.0", {"images": ["/a.png"]}, "/a.png"),
        ("/data/$folder/$file", {"folder": 7, "file": "a.png"}, "/data/7/a.png"),
        ("$image", {}, ""),
        ("$image", {"image": ["/a.png"]}, ""),
        ("$image", {"image": 7}, ""),
        ("$images[2]", {"images": ["/a.png"]}, ""),
        ("$images[x]", {"images": ["/a.png"]}, ""),
        ("$photo.url", {"photo": None}, ""),
        ("/data/$folder/$file", {"folder": "x"}, ""),
        ("/data/$flag", {"flag": True}, ""),
        ("https://example.com/a.png", {"image": "/a.png"}, ""),
        ("", {"": "/a.png"}, ""),
    ],
)
def test_a_value_is_filled_with_what_the_task_has(value: str, data: dict[str, Any], filled: str) -> None:
    assert fill(value, data) == filled


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("$image", True),
        ("/a/$b", True),
        ("$images[{{i}}]", False),
        ("/a.png", False),
        ("", False),
        ("$", False),
    ],
)
def test_which_values_come_from_the_task(value: str, says: bool) -> None:
    assert is_filled(value) is says
