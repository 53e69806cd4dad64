"""The image of a task, from every kind of address."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adclick_backend.images.task_images import ImageError, ImageSource
from adclick_backend.label_studio.instance import LabelStudio
from adclick_backend.settings import Settings
from tests.helpers.fake_label_studio import LEGACY_TOKEN, PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.local_server import LocalServer, Reply, Request

UPLOAD = "/data/upload/1/8c962579-img_2_%C3%BC.png"


def png(colour: tuple[int, int, int] = (255, 0, 0), width: int = 3, height: int = 2) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        server.files["/data/upload/1/8c962579-img_2_ü.png"] = Reply(body=png())
        yield server


def source(server: LocalServer, cache: Path, *, hostname: str = "", **settings: Any) -> ImageSource:
    label_studio = LabelStudio(server.url, LEGACY_TOKEN, hostname=hostname, sleep=lambda seconds: None)
    return ImageSource(Settings(**settings), label_studio, cache)


def read(images: ImageSource, url: str, project: str = "1", task_id: int | None = 5) -> bytes:
    return images.read(url, project=project, task_id=task_id)


def test_upload_is_asked_of_label_studio(server: FakeLabelStudio, tmp_path: Path) -> None:
    """A relative address, with an umlaut, as Label Studio writes it."""
    assert read(source(server, tmp_path), UPLOAD) == png()
    assert server.requests[0].headers["Authorization"] == f"Token {LEGACY_TOKEN}"


def test_upload_with_a_personal_access_token(server: FakeLabelStudio, tmp_path: Path) -> None:
    images = ImageSource(Settings(), LabelStudio(server.url, PERSONAL_TOKEN), tmp_path)
    assert read(images, UPLOAD) == png()


def test_absolute_address_of_label_studio(server: FakeLabelStudio, tmp_path: Path) -> None:
    assert read(source(server, tmp_path), server.url + UPLOAD) == png()


def test_address_under_the_name_that_label_studio_goes_by(server: FakeLabelStudio, tmp_path: Path) -> None:
    """Inside Docker, Label Studio writes http://localhost:8080, and that is nobody here."""
    images = source(server, tmp_path, hostname="http://localhost:1")
    assert read(images, "http://localhost:1" + UPLOAD) == png()


def test_local_file_is_read_from_the_mounted_folder(server: FakeLabelStudio, tmp_path: Path) -> None:
    (tmp_path / "files" / "set1").mkdir(parents=True)
    (tmp_path / "files" / "set1" / "a ü.png").write_bytes(png())
    images = source(server, tmp_path / "cache", local_files_root=tmp_path / "files")
    assert read(images, f"{server.url}/data/local-files/?d=set1/a%20%C3%BC.png") == png()
    assert read(images, "/data/local-files/?d=set1/a%20%C3%BC.png") == png()
    assert server.requests == []


def test_local_file_is_asked_of_label_studio_when_it_is_not_here(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    server.files["/data/local-files/?d=set1/a.png"] = Reply(body=png())
    for root in (None, tmp_path):
        images = source(server, tmp_path / f"cache{root is None}", local_files_root=root)
        assert read(images, "/data/local-files/?d=set1/a.png") == png()
    assert len(server.requests) == 2


def test_local_file_outside_the_folder_is_not_asked_of_label_studio_either(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    """reliability row 3."""
    images = source(server, tmp_path / "cache", local_files_root=tmp_path)
    with pytest.raises(ImageError, match="leads out of"):
        read(images, "/data/local-files/?d=../secret.png")
    assert server.requests == []


def test_local_files_address_of_another_host_is_no_local_file(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    """reliability row 3: only Label Studio's own addresses name files of the folder."""
    (tmp_path / "a.png").write_bytes(png())
    images = source(server, tmp_path / "cache", local_files_root=tmp_path)
    with pytest.raises(ImageError, match="neither Label Studio nor in ADCLICK_IMAGE_HOSTS"):
        read(images, "http://evil.example/data/local-files/?d=a.png")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/set 1/ü.png", "gs://bucket/a.png", "azure-blob://container/a.png"]
)
def test_cloud_storage_is_resolved_by_label_studio(uri: str, server: FakeLabelStudio, tmp_path: Path) -> None:
    """By task, or by project where there is no task; the bucket sees no token (reliability row 2)."""
    encoded = base64.urlsafe_b64encode(uri.encode()).decode()
    with LocalServer(lambda request: Reply(body=png())) as bucket:
        for owner in ("tasks/5", "projects/1"):
            signed = Reply.redirect(f"{bucket.url}/signed?key=1", 303)
            server.files[f"/{owner}/resolve/?fileuri={encoded}"] = signed
        for number, task_id in enumerate((5, None)):
            images = source(server, tmp_path / str(number), image_hosts=f"127.0.0.1:{bucket.port}")
            assert read(images, uri, task_id=task_id) == png()
        assert [request.path for request in bucket.requests] == ["/signed?key=1"] * 2
        assert {request.headers["Authorization"] for request in bucket.requests} == {None}


def test_cloud_storage_that_label_studio_proxies(server: FakeLabelStudio, tmp_path: Path) -> None:
    encoded = base64.urlsafe_b64encode(b"s3://bucket/a.png").decode()
    server.files[f"/tasks/5/resolve/?fileuri={encoded}"] = Reply(body=png())
    assert read(source(server, tmp_path), "s3://bucket/a.png") == png()


def test_bucket_inside_the_network_has_to_be_listed(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 1: what Label Studio redirects to is public or named."""
    encoded = base64.urlsafe_b64encode(b"s3://bucket/a.png").decode()
    server.files[f"/tasks/5/resolve/?fileuri={encoded}"] = Reply.redirect("http://127.0.0.1:9000/a.png", 303)
    with pytest.raises(ImageError, match=r"add 127\.0\.0\.1:9000 to ADCLICK_IMAGE_HOSTS"):
        read(source(server, tmp_path), "s3://bucket/a.png")


def test_listed_host_gets_no_token(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 2."""
    with LocalServer(lambda request: Reply(body=png())) as other:
        images = source(server, tmp_path, image_hosts="127.0.0.1")
        assert read(images, f"{other.url}/a.png") == png()
        assert other.requests[0].headers["Authorization"] is None


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "blob:http://127.0.0.1/1", "a.png", "", "//a.png"],
)
def test_other_kinds_of_addresses_are_refused(url: str, server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 4."""
    with pytest.raises(ImageError, match=r"only http\(s\) URLs"):
        read(source(server, tmp_path), url)


def test_refusal_of_label_studio_is_an_image_error(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 22: 401 in words."""
    server.legacy_enabled = False
    with pytest.raises(ImageError, match="refuses the legacy token"):
        read(source(server, tmp_path), UPLOAD)


def test_image_over_the_limit_is_refused(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 5."""
    server.files["/data/upload/1/big.png"] = Reply(body=bytes(1_000_001))
    with pytest.raises(ImageError, match="larger than 1 MB"):
        read(source(server, tmp_path, max_image_mb=1), "/data/upload/1/big.png")


def test_image_is_downloaded_once_by_many_threads(tmp_path: Path) -> None:
    """reliability row 5."""

    def answer(request: Request) -> Reply:
        time.sleep(0.1)
        return Reply(body=png())

    with LocalServer(answer) as server:
        images = source(server, tmp_path)
        threads = [threading.Thread(target=read, args=(images, UPLOAD)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 1


def test_each_project_downloads_for_itself(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 24: the token of one project opens nothing for another."""
    allowed = source(server, tmp_path)
    assert read(allowed, UPLOAD, project="1") == png()
    stranger = ImageSource(Settings(), LabelStudio(server.url, "f" * 40), tmp_path)
    with pytest.raises(ImageError, match="refuses the legacy token"):
        read(stranger, UPLOAD, project="2")


@pytest.mark.parametrize("url", [UPLOAD, "s3://bucket/a.png", "http://127.0.0.1/a.png"])
def test_project_id_that_is_no_number_is_refused(url: str, server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 24."""
    with pytest.raises(ImageError, match="is not a number"):
        read(source(server, tmp_path), url, project="../1", task_id=None)
    assert server.requests == []


def test_changed_picture_behind_a_changeable_address_is_noticed(
    server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads never change, so their copies stay; anything else is asked for again after an hour."""
    server.files["/data/local-files/?d=a.png"] = Reply(body=png())
    images = source(server, tmp_path)
    for url in (UPLOAD, "/data/local-files/?d=a.png"):
        read(images, url)
    later = time.time() + 3700
    monkeypatch.setattr(time, "time", lambda: later)
    for url in (UPLOAD, "/data/local-files/?d=a.png"):
        read(images, url)
    assert [request.path.partition("?")[0] for request in server.requests] == [
        UPLOAD,
        "/data/local-files/",
        "/data/local-files/",
    ]


def test_loaded_image(server: FakeLabelStudio, tmp_path: Path) -> None:
    image = source(server, tmp_path).load(UPLOAD, project="1", task_id=5)
    assert image.data == png()
    assert len(image.sha256) == 64
    assert image.size == (3, 2)
    assert np.array_equal(image.pixels, np.full((2, 3, 3), (255, 0, 0), np.uint8))
    assert image.pixels is image.pixels


def test_login_page_is_not_kept_in_the_place_of_an_image(server: FakeLabelStudio, tmp_path: Path) -> None:
    server.files["/data/upload/1/a.png"] = Reply(body=b"<!DOCTYPE html>")
    images = source(server, tmp_path)
    with pytest.raises(ImageError, match="a web page"):
        read(images, "/data/upload/1/a.png")
    server.files["/data/upload/1/a.png"] = Reply(body=png())
    assert read(images, "/data/upload/1/a.png") == png()


def test_limit_of_megapixels_comes_from_the_settings(server: FakeLabelStudio, tmp_path: Path) -> None:
    """reliability row 6."""
    server.files["/data/upload/1/a.png"] = Reply(body=png(width=2000, height=600))
    (tmp_path / "a.png").write_bytes(png(width=2000, height=600))
    images = source(server, tmp_path / "cache", max_megapixels=1, local_files_root=tmp_path)
    with pytest.raises(ImageError, match="the limit is 1 "):
        images.load("/data/upload/1/a.png", project="1", task_id=5)
    image = images.load("/data/local-files/?d=a.png", project="1", task_id=5)
    with pytest.raises(ImageError, match="the limit is 1 "):
        image.pixels  # noqa: B018
