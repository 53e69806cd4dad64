"""Files in a real S3 bucket, through s3fs: what the store in memory of the other tests cannot show."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adclick_backend.settings import Settings
from adclick_backend.store.disk import Disk
from adclick_backend.store.files import FilesError, ObjectFiles, open_files
from tests.helpers.s3 import S3Server

pytestmark = pytest.mark.cluster

FOLDER = f"projects/3/models/v1.{'0a' * 8}"

WRITER = """
import sys
from pathlib import Path
from adclick_backend.settings import Settings
from adclick_backend.store.files import open_files

files = open_files(Settings(data_dir=Path(sys.argv[1]), files_url=sys.argv[2]))
files.check()
print("ready", flush=True)
for number in range(1000):
    files.put_folder("projects/3/models/v1." + "0a" * 8, Path(sys.argv[3]))
    files.delete("projects/3/models/v1." + "0a" * 8)
"""


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server.bucket()


def machine(folder: Path, url: str) -> ObjectFiles:
    files = open_files(Settings(data_dir=folder, files_url=url))
    assert isinstance(files, ObjectFiles)
    return files


def sha_name(data: bytes) -> str:
    return f"projects/3/labels/{hashlib.sha256(data).hexdigest()}.png"


def test_files_and_folders_go_from_machine_to_machine(bucket: str, tmp_path: Path) -> None:
    one, two = machine(tmp_path / "one", bucket), machine(tmp_path / "two", bucket)
    one.check()
    with pytest.raises(FileNotFoundError):
        two.path("projects/3/reports/v1.html")
    for text in (b"first", b"second"):
        one.put("projects/3/reports/v1.html", text)
        assert two.path("projects/3/reports/v1.html").read_bytes() == text
    image = os.urandom(300_000)
    one.put(sha_name(image), image)
    assert two.path_of_stem(sha_name(image).removesuffix(".png")).read_bytes() == image
    made = tmp_path / "candidate"
    (made / "pictures").mkdir(parents=True)
    (made / "weights.safetensors").write_bytes(os.urandom(2_000_000))
    (made / "pictures" / "0.png").write_bytes(b"")
    one.put_folder(FOLDER, made)
    kept = two.path(FOLDER)
    assert (kept / "weights.safetensors").read_bytes() == (made / "weights.safetensors").read_bytes()
    assert (kept / "pictures" / "0.png").read_bytes() == b""
    assert two.names("projects/3") == ["labels", "models", "reports"] and two.size("projects/3") > 2_300_000
    one.move("projects/3/reports/v1.html", "projects/3/reports/removed/1-v1.html")
    assert two.exists("projects/3/reports/removed/1-v1.html") and not two.exists("projects/3/reports/v1.html")
    assert 0 <= two.age(FOLDER) < 300
    two.delete("projects/3")
    assert one.names("projects") == []


def test_many_threads_fetch_a_file_once(bucket: str, tmp_path: Path) -> None:
    one, two = machine(tmp_path / "one", bucket), machine(tmp_path / "two", bucket)
    images = [os.urandom(50_000) for _ in range(8)]
    for image in images:
        one.put(sha_name(image), image)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda image: two.path(sha_name(image)).read_bytes(), images * 6))
    assert found == images * 6


def test_a_process_that_is_forked_makes_connections_of_its_own(bucket: str, tmp_path: Path) -> None:
    files = machine(tmp_path / "one", bucket)
    files.put("projects/3/reports/v1.html", b"report")
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom adclick_backend.settings import Settings\n"
        "from adclick_backend.store.files import open_files\n"
        "files = open_files(Settings(data_dir=Path(sys.argv[1]), files_url=sys.argv[2]))\nfiles.check()\n"
        "child = os.fork()\n"
        "said = files.path('projects/3/reports/v1.html').read_bytes()\n"
        "files.put(f'projects/3/reports/{os.getpid()}.html', said)\n"
        "if not child: os._exit(0)\nsys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "two"), bucket], timeout=120, check=False
    )
    assert done.returncode == 0 and len(files.names("projects/3/reports")) == 3


def test_what_is_wrong_with_the_url_or_the_account_is_said_without_a_secret(
    bucket: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FilesError, match="There is no bucket for s3://nobodys-bucket/line"):
        machine(tmp_path / "a", "s3://nobodys-bucket/line").check()
    with pytest.raises(FilesError, match="There is no bucket for"):
        machine(tmp_path / "a", "s3://nobodys-bucket/line").path(sha_name(b"x"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(FilesError, match="cannot be reached") as said:
        machine(tmp_path / "b", bucket).check()
    assert time.monotonic() - began < 30
    assert s3_server.environment["AWS_SECRET_ACCESS_KEY"] not in str(said.value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.environment["AWS_ENDPOINT_URL"])
    with pytest.raises(FilesError, match=r"no account is known|refuses the account"):
        machine(tmp_path / "c", bucket).check()


def test_a_store_that_hangs_is_away_until_it_answers_again(
    bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    files = machine(tmp_path / "one", bucket)
    image = os.urandom(1000)
    files.put(sha_name(image), image)
    files.put("projects/3/reports/v1.html", b"report")
    disk, back = Disk(tmp_path), threading.Event()
    disk.try_files, disk.on_recovery, disk.watch = files.check, [back.set], True
    s3_server.stop()
    try:
        assert files.path(sha_name(image)).read_bytes() == image, "what is here needs nobody"
        began = time.monotonic()
        with pytest.raises(FilesError, match="cannot be reached") as said:
            files.put("projects/3/reports/v2.html", b"report")
        waited = time.monotonic() - began
        disk.failed(said.value)
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(FilesError):
                files.put("projects/3/reports/v2.html", b"report")
        assert time.monotonic() - began < 1, "who comes next is told at once"
        assert disk.problem.startswith("The object store")
    finally:
        s3_server.go_on()
    assert waited < 60  # 21 s where nothing else is computed
    assert back.wait(90) and not disk.problem
    files.put("projects/3/reports/v2.html", b"report")
    assert files.names("projects/3/reports") == ["v1.html", "v2.html"]
    print(f"said after {waited:.1f} s")


def test_a_machine_that_is_killed_while_it_writes_leaves_no_half_folder(bucket: str, tmp_path: Path) -> None:
    made, files = tmp_path / "candidate", machine(tmp_path / "two", bucket)
    made.mkdir()
    for number in range(6):
        (made / f"{number}.bin").write_bytes(os.urandom(100_000))
    whole = {path.name: path.read_bytes() for path in made.iterdir()}
    for wait_s in (0.05, 0.15, 0.3, 0.5, 0.8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "one"), bucket, str(made)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(wait_s)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        if files.exists(FOLDER):
            fetched = machine(tmp_path / f"fresh-{wait_s}", bucket).path(FOLDER)
            assert {p.name: p.read_bytes() for p in fetched.glob("*.bin")} == whole
        else:
            with pytest.raises(FileNotFoundError):
                files.path(FOLDER)
    files.put_folder(FOLDER, made)
    assert {p.name: p.read_bytes() for p in files.path(FOLDER).glob("*.bin")} == whole
