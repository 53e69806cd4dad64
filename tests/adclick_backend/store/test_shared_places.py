"""What the pages show lies in a bucket that several machines share: each of them sees what another one kept."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from adclick_backend.dashboard.reports import list_reports, remove_report, removed_reports
from adclick_backend.jobs import files as job_files
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store import Store
from adclick_backend.store.files import LocalFiles, ObjectFiles
from adclick_backend.store.files.cache import FileCache
from adclick_backend.store.generated import GeneratedFiles, Origin, kept_pictures, key_of_type
from adclick_backend.store.removal import take_away
from adclick_backend.store.tries import AGE_S, MOST, TryFiles
from tests.helpers.bucket import Bucket

TYPE = "scratch"


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def one(tmp_path: Path, bucket: Bucket) -> ObjectFiles:
    return on_machine(tmp_path / "one", bucket)


@pytest.fixture
def two(tmp_path: Path, bucket: Bucket) -> ObjectFiles:
    return on_machine(tmp_path / "two", bucket)


def on_machine(folder: Path, bucket: Bucket) -> ObjectFiles:
    return ObjectFiles(lambda: bucket, "bucket/line", "s3://bucket/line", FileCache(folder, 100))


def painted(number: int) -> Origin:
    return Origin(TYPE, number, 7, (1, 2, 5, 6), "0" * 64, "", 0, "small", ("1" * 64,))


def add(files: GeneratedFiles, number: int) -> None:
    pixels = np.full((8, 8, 3), 10 * number, np.uint8)
    files.add("3", painted(number), pixels, np.eye(8, dtype=bool), b"sheet")


def test_generated_pictures_are_seen_discarded_and_deleted_everywhere(
    one: ObjectFiles, two: ObjectFiles
) -> None:
    here, there, key = GeneratedFiles(one), GeneratedFiles(two), key_of_type(TYPE)
    here.want("3", TYPE, 3)
    assert there.wanted("3") == {TYPE: 3} and there.types("3") == {TYPE: key}
    for number in range(3):
        add(here, number)
    found = there.pictures("3", key)
    assert [picture.origin for picture in found] == [painted(number) for number in range(3)]
    assert found[2].pixels().max() == 20 and found[2].mask().sum() == 8 and found[2].size == (8, 8)
    assert found[2].sheet.read_bytes() == b"sheet"
    assert there.keep("3", key, 1, kept=False)
    assert [picture.origin.number for picture in kept_pictures(here, "3")] == [0, 2]
    assert found[1].pixels().max() == 10, "also when it was discarded meanwhile"
    there.done("3", TYPE, 3)
    assert here.wanted("3") == {}
    here.delete("3", key)
    assert there.pictures("3", key) == [] and there.types("3") == {}


def test_a_page_of_pictures_asks_the_store_once(one: ObjectFiles, two: ObjectFiles, bucket: Bucket) -> None:
    here, there, key = GeneratedFiles(one), GeneratedFiles(two), key_of_type(TYPE)
    for number in range(5):
        add(here, number)
    assert len(there.pictures("3", key)) == 5
    bucket.asked = 0
    assert len(there.pictures("3", key)) == 5
    assert bucket.asked <= 1


def test_what_was_tried_is_shown_by_any_machine_for_an_hour(
    one: ObjectFiles, two: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = TryFiles(one), TryFiles(two)
    token = here.keep("3", {"image.jpg": b"image"}, {"version": "v1"})
    found = there.find("3", token)
    assert found is not None and found.about == {"version": "v1"}
    picture = found.picture("image.jpg")
    assert picture is not None and picture.read_bytes() == b"image"
    assert found.picture("about.json") is None and found.picture("../x") is None
    for _ in range(MOST):
        there.keep("3", {}, {})
    assert len(one.names("projects/3/tries")) == MOST
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + AGE_S + 60)
    there.sweep()
    assert one.names("projects/3/tries") == []


def test_reports_are_read_removed_and_put_back_from_any_machine(one: ObjectFiles, two: ObjectFiles) -> None:
    one.put("projects/3/reports/v1.html", b"<p>one</p>")
    (report,) = list_reports(two, "3")
    assert report.name == "v1" and two.path(report.file).read_bytes() == b"<p>one</p>"
    removed = remove_report(two, "3", report)
    assert list_reports(one, "3") == [] and removed_reports(one, "3") == [removed]
    one.put("projects/3/reports/v1.html", b"<p>newer</p>")
    assert two.path(list_reports(two, "3")[0].file).read_bytes() == b"<p>newer</p>"


def test_log_and_curve_of_a_job_are_seen_while_it_runs_elsewhere(
    one: ObjectFiles, two: ObjectFiles, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, looks = JobFiles(tmp_path / "a", one), JobFiles(tmp_path / "b", two)
    runs.folder("3", 5).mkdir(parents=True)
    runs.log_path("3", 5).write_text("Step 1.\n")
    runs.add_to_curve("3", 5, {"progress": 0.1})
    runs.copy("3", 5)
    assert looks.log("3", 5) == "Step 1.\n" and looks.curve("3", 5) == [{"progress": 0.1}]
    runs.log_path("3", 5).write_text("Step 1.\nStep 2.\n")
    runs.copy("3", 5)
    assert looks.log("3", 5) == "Step 1.\n", "not at every look"
    monkeypatch.setattr(job_files, "COPY_S", 0.0)
    bucket.problem = ConnectionError("away")
    runs.copy("3", 5)
    bucket.problem, one._rest, two._rest = None, None, None
    runs.copy("3", 5)
    assert looks.log("3", 5) == "Step 1.\nStep 2.\n"
    runs.log_path("3", 5).write_text("Step 1.\nStep 2.\nDone.\n")
    runs.copy("3", 5, over=True)
    assert looks.log("3", 5).endswith("Done.\n") and looks.log("3", 6) == ""


def test_a_project_is_taken_away_from_the_bucket_too(
    one: ObjectFiles, two: ObjectFiles, tmp_path: Path
) -> None:
    store, other = Store(tmp_path / "data"), f"projects/4/labels/{'2' * 64}.png"
    for project in ("3", "4"):
        store.projects.save(project, title="x")
    for name in ("projects/3/reports/v1.html", "projects/30/reports/v1.html", other.replace("2" * 64, "x")):
        one.put(name, b"x")
    take_away(store.database, tmp_path / "data", "3", two)
    assert one.names("projects") == ["30", "4"] and [p.id for p in store.projects.all()] == ["4"]


def test_bytes_are_counted_the_same(one: ObjectFiles, tmp_path: Path) -> None:
    local = LocalFiles(tmp_path / "local")
    for files in (one, local):
        files.put("projects/3/a.bin", bytes(100))
        files.put("projects/3/b/c.bin", bytes(50))
        assert files.size("projects/3") == 150 and files.size("projects/4") == 0
    (tmp_path / "local/projects/3/link").symlink_to(tmp_path / "local/projects/3/a.bin")
    assert local.size("projects/3") == 150
