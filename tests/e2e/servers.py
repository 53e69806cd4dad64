"""Label Studio and the backend as processes, on free loopback ports, with data folders of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.store.shelves import open_shelf
from adclick_backend.store.versions import Registry
from tests.e2e.short_trainings import MODULE as SHORT_TRAININGS
from tests.helpers.postgres import PostgresServer
from tests.helpers.s3 import S3Server
from tests.helpers.served import free_port
from tests.helpers.several_backends import in_turn

BACKENDS = int(os.environ.get("ADCLICK_E2E_BACKENDS", "1"))
"""That take turns behind one URL."""
_SHARED: dict[Path, dict[str, str]] = {}
"""Data folder that was asked for -> what all of them have in their environment, to find what they share."""
REPOSITORY = Path(__file__).resolve().parents[2]
LABEL_STUDIO = REPOSITORY / ".label-studio/venv/bin/label-studio"
USER, PASSWORD = "engineer@example.com", "a-pass-for-the-tests"
# What Label Studio needs since 1.23.1 to talk to a backend on a private address.
ALLOW_PRIVATE = {"USE_DEFAULT_BANNED_SUBNETS": "false", "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16"}
# Of the keys that it makes by itself one in fifty begins with a dollar, and is another one after a restart.
SECRET = {"SECRET_KEY": "of-the-tests-and-as-long-as-label-studio-would-have-it"}
QUIET = {
    "COLLECT_ANALYTICS": "False",
    "LATEST_VERSION_CHECK": "False",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


@contextmanager
def label_studio(data_dir: Path, *, settings: Mapping[str, str] = ALLOW_PRIVATE) -> Iterator[str]:
    """Boot Label Studio (half a minute with an empty folder, 6 s with a used one); yields its URL."""
    if not LABEL_STUDIO.exists():
        raise FileNotFoundError(f"{LABEL_STUDIO} is missing. `make e2e` installs Label Studio there.")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        str(LABEL_STUDIO),
        "start",
        "--no-browser",
        "--internal-host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += ["--username", USER, "--password", PASSWORD, "--agree-fix-sqlite"]
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_HOST": url,
        **SECRET,
        **QUIET,
        **settings,
    }
    with _process(command, environment, data_dir / "label-studio.log", f"{url}/health", limit_s=900):
        yield url


@contextmanager
def backend(
    data_dir: Path,
    *,
    label_studio_url: str,
    api_key: str,
    settings: Mapping[str, str] = {},
    short_trainings: bool = False,
) -> Iterator[str]:
    """Serve the backend, with further settings of its environment; yields its URL.

    With ADCLICK_E2E_BACKENDS=2 in the environment it is two backends that take turns behind nginx, over one
    PostgreSQL database and one object store: nothing may be different.
    """
    settings = {
        "ADCLICK_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_URL": label_studio_url,
        "LABEL_STUDIO_API_KEY": api_key,
        **settings,
    }
    program = [str(Path(sys.executable).parent / "adclick")]
    if short_trainings:
        settings["PYTHONPATH"] = str(REPOSITORY)
        program = [sys.executable, "-m", SHORT_TRAININGS]
    if BACKENDS > 1:
        with _several(program, settings, data_dir, BACKENDS) as url:
            yield url
        return
    with _backend(program, settings, data_dir / "backend.log") as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def looked_into(data_dir: Path) -> Iterator[tuple[Store, Registry]]:
    """The rows and versions of a backend on that data folder, or of the backends that share theirs.

    Meanwhile commands that are run in this process find them too.
    """
    shared = _SHARED.get(data_dir, {})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shared.items():
            patch.setenv(name, value)
        settings = Settings(data_dir=data_dir / "looked-into" if shared else data_dir)
        with closing(Store(settings.data_dir, settings.database_url)) as store:
            yield store, Registry(settings.data_dir, shelf=open_shelf(settings, store.values, store.locks))


@contextmanager
def _backend(program: list[str], settings: Mapping[str, str], log: Path) -> Iterator[int]:
    port = free_port()
    command = [*program, "serve", "--port", str(port)]
    environment = {"ADCLICK_HOST": "127.0.0.1", **settings}
    with _process(command, environment, log, f"http://127.0.0.1:{port}/health", limit_s=60):
        yield port


@contextmanager
def _several(program: list[str], settings: Mapping[str, str], data_dir: Path, count: int) -> Iterator[str]:
    """Backends with a data folder each and all else in common, and nginx before them."""
    with ExitStack() as end:
        postgres, s3 = end.enter_context(PostgresServer()), end.enter_context(S3Server())
        common = {"ADCLICK_DATABASE_URL": postgres.database(), "ADCLICK_FILES_URL": s3.bucket()}
        _SHARED[data_dir] = common = {**common, **s3.environment}
        ports = []
        for number in range(count):
            own = data_dir / f"backend-{number}"
            environment = {**settings, **common, "ADCLICK_DATA_DIR": str(own)}
            ports.append(end.enter_context(_backend(program, environment, own / "backend.log")))
        port = free_port()
        nginx = in_turn(data_dir / "nginx", ports, port)
        end.callback(nginx.wait)
        end.callback(nginx.terminate)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], log: Path, health: str, *, limit_s: float
) -> Iterator[None]:
    """Run a server until the block ends; its log is part of the error when it does not come up."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # The checkpoint under test is the one thing that a person may choose.
    ours = re.compile("ADCLICK_(?!CHECKPOINT)|LABEL_STUDIO_|BASIC_AUTH_|PORT$")
    inherited = {name: value for name, value in os.environ.items() if not ours.match(name)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**inherited, **environment, "PYTHONUNBUFFERED": "1"},
            cwd=log.parent,  # never a folder whose modules could shadow Label Studio's
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, log, health, time.monotonic() + limit_s)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, health: str, deadline: float) -> None:
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if requests.get(health, timeout=2).ok:
                return
        except (requests.ConnectionError, requests.Timeout):  # not there yet, or busy with its start
            pass
        time.sleep(0.25)
    raise RuntimeError(
        f"{health} does not answer; the end of {log}:\n{log.read_text(errors='replace')[-3000:]}"
    )


def log_in(url: str) -> requests.Session:
    """A session of Label Studio, logged in as a person logs in; it may also speak to the API."""
    session = requests.Session()
    session.get(f"{url}/user/login/", timeout=120)
    form = {"email": USER, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(f"{url}/user/login/", data=form, headers={"Referer": url}, timeout=120).raise_for_status()
    session.headers.update({"X-CSRFToken": session.cookies["csrftoken"], "Referer": url})
    return session


@contextmanager
def dashboard(app: Flask) -> Iterator[str]:
    """Serve the app of a backend in threads of this process; yields its URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
