"""A PostgreSQL server on loopback for as long as a test needs it, from the distribution's package."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers.served import free_port

USER = "adclick"
PASSWORD = "p@ss:word/%41"
"""Of `USER`; has everything in it that a URL has to quote."""
_QUOTED = "p%40ss%3Aword%2F%2541"
_START_S = 60.0
_STOP_S = 90.0


class PostgresServer:
    """Context manager: a server with an empty cluster in a folder of its own, deleted at the end.

    Args:
        settings: further settings of the server, such as ``max_connections``. By default nothing waits for the disk:
            what was committed is lost when the machine dies, but not when the server does.
    """

    def __init__(self, **settings: str) -> None:
        self.port = free_port()
        self._settings = {"max_connections": "200", "fsync": "off", **settings}
        self._binaries = binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="adclick-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def __enter__(self) -> PostgresServer:
        try:
            if os.getuid() == 0:  # as which the server refuses to run
                shutil.chown(self._folder, _somebody().pw_uid, _somebody().pw_gid)
            password = self._folder / "password"
            password.write_text(PASSWORD)
            password.chmod(0o644)
            self._run(
                "initdb",
                *("--pgdata", self._folder / "data", "--username", USER, "--pwfile", password),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            )
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, again after `stop` or `kill`; it takes connections when this is over."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **_as_somebody(),
            )
        deadline = time.monotonic() + _START_S
        asked = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(asked, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server in order; whoever is connected is cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server at once, as a crash does: what was committed is there after `start`."""
        self._end(signal.SIGQUIT)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.psql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def url(self, name: str, user: str = USER, password: str = _QUOTED) -> str:
        """The URL of a database, which need not be there."""
        return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self.port}/{name}"

    def psql(self, statement: str, database: str) -> str:
        """What the server's own client prints for a statement, without headings."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        found = subprocess.run(
            [self._binaries / "psql", "-XqtA", *where, "-v", "ON_ERROR_STOP=1", "-c", statement, database],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout.strip()

    def _run(self, program: str, *options: str | Path) -> None:
        done = subprocess.run(
            [self._binaries / program, *options],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            **_as_somebody(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def binaries() -> Path:
    """The folder with the programs of the newest PostgreSQL that is installed (Debian keeps them off the path)."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if found:
        return found[0].parent
    if on_path := shutil.which("postgres"):
        return Path(on_path).resolve().parent
    raise RuntimeError("There is no PostgreSQL server here: apt-get install postgresql.")


def _somebody() -> pwd.struct_passwd:
    """A user who is not root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_somebody() -> dict[str, Any]:
    """Arguments of `subprocess` with which a program runs as another user when this is root."""
    if os.getuid() != 0:
        return {}
    return {"user": _somebody().pw_uid, "group": _somebody().pw_gid, "extra_groups": []}
