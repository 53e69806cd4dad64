"""Files in the data folder and in an object store: the same answers, and a bounded cache before the second."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from adclick_backend.settings import Settings
from adclick_backend.store.disk import Disk, DiskError
from adclick_backend.store.files import Files, FilesError, LocalFiles, ObjectFiles, open_files
from adclick_backend.store.files import objects as objects_module
from adclick_backend.store.files.cache import FileCache
from adclick_backend.store.files.kept import is_young
from tests.helpers.bucket import Bucket

FOLDER = f"projects/3/models/v4.{'0a' * 8}"


@pytest.fixture
def store() -> Bucket:
    return Bucket()


def files_in(store: Bucket, folder: Path, root: str = "", capacity_mb: int = 100) -> ObjectFiles:
    cache = FileCache(folder / "cache" / "files", capacity_mb)
    return ObjectFiles(lambda: store, root or f"bucket-{uuid4().hex}/line", "s3://bucket/line", cache)


@pytest.fixture(params=["local", "objects"])
def files(request: pytest.FixtureRequest, tmp_path: Path, store: Bucket) -> Files:
    return LocalFiles(tmp_path) if request.param == "local" else files_in(store, tmp_path)


def folder_of(place: Path, **contents: bytes) -> Path:
    for name, data in contents.items():
        path = place / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return place


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name[0] != "."
    }


# --- the same answers


def test_what_was_put_can_be_read_listed_replaced_and_deleted(files: Files) -> None:
    name = "projects/3/reports/v4.html"
    with pytest.raises(FileNotFoundError):
        files.path(name)
    assert not files.exists(name) and files.names("projects/3/reports") == []
    assert files.put(name, b"first").read_bytes() == b"first"
    assert files.path(name).read_bytes() == b"first"
    files.put(name, b"second")
    assert files.path(name).read_bytes() == b"second" and files.exists(name)
    files.put("projects/3/labels/a.png", b"image")
    assert files.names("projects/3") == ["labels", "reports"] and files.names("projects") == ["3"]
    assert 0 <= files.age(name) < 60 and is_young(files, name)
    files.delete(name)
    files.delete(name)
    assert not files.exists(name) and files.names("projects/3") in (["labels"], ["labels", "reports"])
    with pytest.raises(FileNotFoundError):
        files.path(name)
    with pytest.raises(FileNotFoundError):
        files.age(name)


def test_a_folder_is_kept_moved_and_deleted_as_a_whole(files: Files, tmp_path: Path) -> None:
    made = folder_of(tmp_path / "candidate", weights=b"w" * 1000, pictures_1=b"p", empty=b"")
    files.put_folder(FOLDER, made)
    assert content(files.path(FOLDER)) == content(made)
    assert files.exists(FOLDER) and files.names("projects/3/models") == [FOLDER.rpartition("/")[2]]
    other = f"projects/3/models/v5.{'0b' * 8}"
    files.move(FOLDER, other)
    assert content(files.path(other)) == content(made) and not files.exists(FOLDER)
    files.delete("projects/3")
    assert not files.exists(other) and files.names("projects/3/models") == []
    with pytest.raises(FileNotFoundError):
        files.path(other)


def test_a_folder_takes_the_place_of_another_one(files: Files, tmp_path: Path) -> None:
    files.put_folder("projects/3/curves/all", folder_of(tmp_path / "a", curve=b"1", one=b"x"))
    assert content(files.path("projects/3/curves/all")) == {"curve": b"1", "one": b"x"}
    files.put_folder("projects/3/curves/all", folder_of(tmp_path / "b", curve=b"2"))
    assert content(files.path("projects/3/curves/all")) == {"curve": b"2"}


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "projects/../../x", "a//b", "a\\b", "a/./b", "a/"]
)
def test_no_name_leaves_the_place(files: Files, name: str) -> None:
    for work in (files.path, files.exists, files.delete, files.names, lambda name: files.put(name, b"x")):
        with pytest.raises(ValueError, match="is no name of a file"):
            work(name)


def test_what_is_missing_is_not_moved(files: Files) -> None:
    with pytest.raises(FileNotFoundError):
        files.move("projects/3/x.png", "projects/3/y.png")


# --- the object store


def test_what_never_changes_is_asked_for_once(store: Bucket, tmp_path: Path) -> None:
    one, other = (
        files_in(store, tmp_path / "one", "bucket/once"),
        files_in(store, tmp_path / "two", "bucket/once"),
    )
    data = b"an image"
    name = f"projects/3/references/{hashlib.sha256(data).hexdigest()}.png"
    one.put(name, data)
    one.put_folder(FOLDER, folder_of(tmp_path / "candidate", weights=b"w"))
    for _ in range(3):
        assert other.path(name).read_bytes() == data and content(other.path(FOLDER)) == {"weights": b"w"}
    asked = store.asked
    store.problem = ConnectionError("away")
    assert other.path(name).read_bytes() == data and content(other.path(FOLDER)) == {"weights": b"w"}
    assert one.path(name).read_bytes() == data
    assert store.asked == asked


def test_another_machine_sees_what_was_replaced_at_once(store: Bucket, tmp_path: Path) -> None:
    one, other = (
        files_in(store, tmp_path / "one", "bucket/seen"),
        files_in(store, tmp_path / "two", "bucket/seen"),
    )
    for text in (b"first", b"second", b"third"):
        one.put("projects/3/reports/v4.html", text)
        assert other.path("projects/3/reports/v4.html").read_bytes() == text


def test_a_store_that_is_away_is_said_in_words_and_not_asked_again_at_once(
    store: Bucket, tmp_path: Path
) -> None:
    now = 100.0
    cache = FileCache(tmp_path / "cache", 100)
    files = ObjectFiles(lambda: store, "bucket/away", "s3://bucket/away", cache, clock=lambda: now)
    files.put("projects/3/reports/v4.html", b"report")
    files.path("projects/3/reports/v4.html")
    store.problem = ConnectionError("no route with the key AKIA123")
    with pytest.raises(FilesError, match="The object store s3://bucket/away cannot be reached") as said:
        files.put("projects/3/reports/v5.html", b"report")
    assert "AKIA" not in str(said.value)
    assert files.path("projects/3/reports/v4.html").read_bytes() == b"report", "what is here is served"
    asked = store.asked
    for _ in range(10):
        with pytest.raises(FilesError, match="cannot be reached"):
            files.exists("projects/3/reports/v5.html")
    assert store.asked == asked
    store.problem = None
    now += objects_module.REST_S + 0.1
    files.put("projects/3/reports/v5.html", b"report")
    assert files.exists("projects/3/reports/v5.html")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (PermissionError("Access Denied"), "refuses the account of this backend"),
        (FileNotFoundError("The specified bucket does not exist"), "There is no bucket for s3://bucket/line"),
        (
            OSError(5, "Storage backend has reached its minimum free drive threshold"),
            "is full: make room in it",
        ),
        (TimeoutError("slow"), "cannot be reached"),
    ],
)
def test_what_the_store_refuses_is_said_in_words(
    store: Bucket, tmp_path: Path, problem: Exception, said: str
) -> None:
    files = files_in(store, tmp_path)
    store.problem = problem
    with pytest.raises(FilesError, match=said):
        files.put("projects/3/reports/v4.html", b"report")
    with pytest.raises(FilesError, match=said):
        files.check()


def test_a_folder_without_its_list_is_no_folder(store: Bucket, tmp_path: Path) -> None:
    files = files_in(store, tmp_path, "bucket/half")
    made = folder_of(tmp_path / "candidate", weights=b"w", zebra=b"z")
    put = store.put_file

    def killed(local: str, remote: str, **more: object) -> object:
        if remote.endswith("zebra"):
            raise KeyboardInterrupt
        return put(local, remote, **more)

    store.put_file = killed
    with pytest.raises(KeyboardInterrupt):
        files.put_folder(FOLDER, made)
    assert not files.exists(FOLDER)
    with pytest.raises(FileNotFoundError):
        files.path(FOLDER)
    store.put_file = put
    files.put_folder(FOLDER, made)
    assert content(files.path(FOLDER)) == content(made)


def test_what_is_damaged_in_the_store_is_not_taken(store: Bucket, tmp_path: Path) -> None:
    one = files_in(store, tmp_path / "one", "bucket/torn")
    name = f"projects/3/labels/{hashlib.sha256(b'image').hexdigest()}.png"
    one.put(name, b"image")
    one.put_folder(FOLDER, folder_of(tmp_path / "candidate", weights=b"weights"))
    store.pipe_file(f"bucket/torn/{FOLDER}/weights", b"WEIGHTS")
    store.cut = lambda data: data[:3] if data == b"image" else data
    other = files_in(store, tmp_path / "two", "bucket/torn")
    for wanted in (name, FOLDER):
        with pytest.raises(FilesError, match="is damaged"):
            other.path(wanted)
    store.cut = lambda data: data
    assert other.path(name).read_bytes() == b"image"


# --- the copies on this machine


def test_what_was_used_longest_ago_goes_first_and_the_cache_stays_bounded(
    store: Bucket, tmp_path: Path
) -> None:
    files = files_in(store, tmp_path, "bucket/bounded", capacity_mb=1)
    names = []
    for number in range(12):
        data = bytes([number]) * 200_000
        names.append(f"projects/3/labels/{hashlib.sha256(data).hexdigest()}.png")
        path = files.put(names[-1], data)
        age = time.time() - 3600 + number
        os.utime(path, (age, age))
    here = [path for path in (tmp_path / "cache").rglob("*.png")]
    assert sum(path.stat().st_size for path in here) <= 1.2 * (1 << 20)
    assert {path.name for path in here} == {name.rpartition("/")[2] for name in names[-len(here) :]}
    assert files.path(names[0]).read_bytes() == bytes(200_000), "what went is fetched again"


def test_who_reads_a_file_that_goes_reads_it_to_its_end(store: Bucket, tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 1)
    path = cache.add("a.png", b"x" * 100_000)
    with path.open("rb") as file:
        os.utime(path, (1.0, 1.0))
        for number in range(10):
            cache.add(f"{number}.png", b"y" * 300_000)
        assert not path.exists() and file.read() == b"x" * 100_000


def test_a_copy_that_a_power_cut_left_empty_is_fetched_again(store: Bucket, tmp_path: Path) -> None:
    files = files_in(store, tmp_path, "bucket/cut")
    name = f"projects/3/labels/{hashlib.sha256(b'image').hexdigest()}.png"
    files.put(name, b"image").write_bytes(b"")
    files.put_folder(FOLDER, folder_of(tmp_path / "candidate", weights=b"weights"))
    (files.path(FOLDER) / "weights").write_bytes(b"wei")
    started_again = files_in(store, tmp_path, "bucket/cut")
    assert started_again.path(name).read_bytes() == b"image"
    assert content(started_again.path(FOLDER)) == {"weights": b"weights"}


# --- what is known of it elsewhere


def test_the_disk_knows_that_the_store_is_away_and_that_it_is_back(store: Bucket, tmp_path: Path) -> None:
    now, told = 0.0, []
    disk, files = Disk(tmp_path, clock=lambda: now), files_in(store, tmp_path)
    disk.try_files, disk.on_recovery = files.check, [lambda: told.append("back")]
    store.problem = ConnectionError("away")
    with pytest.raises(FilesError) as failed:
        files.put("projects/3/reports/v4.html", b"x")
    assert isinstance(disk.failed(failed.value), DiskError)
    assert disk.problem.startswith("The object store s3://bucket/line cannot be reached")
    now += 5
    assert disk.look() and not told
    store.problem = None
    now += 5
    assert not disk.look() and told == ["back"]


def test_the_place_is_chosen_by_the_settings(tmp_path: Path) -> None:
    assert open_files(Settings(data_dir=tmp_path)).local


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(FilesError, match="is not installed: pip install"):
        open_files(Settings(data_dir=tmp_path, files_url="s3://bucket/line"))
