"""gunicorn, started from the settings: what ``adclick serve`` runs."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from adclick_backend import __version__
from adclick_backend.config.labeling_config import recommended_config
from adclick_backend.logs import LineFormatter, configure_logging
from adclick_backend.settings import Settings
from adclick_backend.store import Store, StoreError
from adclick_backend.store.files import FilesError, open_files
from adclick_backend.store.moving.move import unfinished

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (a folder with a random name is made in it)
_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  (recognised in order to print an address that works)
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def serve(settings: Settings) -> None:
    """Serve until stopped, and say on standard output how to connect Label Studio.

    Raises:
        SystemExit: with a sentence, when the port is taken or the data folder cannot be used.
    """
    settings = settings.model_copy(update={"host": settings.listen_on})
    _check_port(settings)
    _check_data_folder(settings)
    settings = _share_metrics(settings)
    configure_logging(settings.log_level, secrets_of(settings))
    _Gunicorn(settings).run()


def secrets_of(settings: Settings) -> list[str]:
    """What must never appear in a log line; the tokens of projects are hidden where they are read."""
    return [settings.basic_auth_pass, settings.label_studio_api_key, settings.llm_key]


def greeting(settings: Settings) -> str:
    """What a person needs to know once the server listens."""
    host = settings.listen_on
    name = socket.gethostname() if host in _ANY_ADDRESS else "localhost" if host in _THIS_MACHINE else host
    url = f"http://{name}:{settings.port}"
    local = f"http://localhost:{settings.port}" if host in _ANY_ADDRESS else url
    reach = "" if settings.needs_password else f"\n  {_who_can_reach(host)}\n"
    config = "\n".join(f"    {line}" for line in recommended_config(("scratch", "dent")).splitlines())
    return (
        f"ADClick {__version__} is serving.\n\n"
        f"  For Label Studio (Settings > Model > Connect Model, interactive on):  {url}\n"
        f"  Dashboard, with what is still missing and why:                        {local}\n"
        f"{reach}\n"
        f"  To paste under Settings > Labeling Interface > Code, with your own labels:\n\n{config}\n"
        + (f"\n  {settings.link_problem}\n" if settings.link_problem else "")
    )


def _who_can_reach(host: str) -> str:
    """Who reaches a server without a password, as a sentence; ``host`` is the address that it listens on."""
    advice = "start it with BASIC_AUTH_USER and BASIC_AUTH_PASS"
    if host in _THIS_MACHINE:
        return f"Only this machine reaches it. For a Label Studio on another one, or in Docker, {advice}."
    return f"Whoever reaches this address can change labels and references: {advice}."


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn without its command line.

    The app is made in each worker, after the fork, so that no thread, database connection or weight has to survive
    one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's own settings."""
        settings = self._settings
        options: dict[str, Any] = {
            "bind": f"[{settings.host}]:{settings.port}"
            if ":" in settings.host
            else f"{settings.host}:{settings.port}",
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_class": "adclick_backend.web.buffered_worker.BufferedWorker",
            "timeout": 120,  # Label Studio gives up after 100 s
            "graceful_timeout": 105,  # what was asked before the end is answered, and that may take 90 s
            "control_socket_disable": True,  # of newer versions; one socket in the home folder for all servers
            "loglevel": settings.log_level.lower(),
            "logger_class": _logger(settings),
            "when_ready": lambda _: print(greeting(settings), flush=True),
            "post_worker_init": _start_background,
            "worker_exit": _stop_background,
            "child_exit": _forget_worker(settings),
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI app, in the worker."""
        from adclick_backend.web.app import create_app

        return create_app(self._settings)


def _logger(settings: Settings) -> type[Any]:
    """gunicorn's own log, which has every address in it at the level DEBUG, without secrets."""

    class SecretLess(Logger):  # type: ignore[misc]
        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            for handler in self.error_log.handlers:
                handler.setFormatter(LineFormatter(secrets_of(settings), self.error_fmt, self.datefmt))

    return SecretLess


def _start_background(worker: Any) -> None:
    """Load the weights and look after references from the start, not from the first request."""
    worker.wsgi.extensions["adclick"].start()


def _stop_background(_: Any, worker: Any) -> None:
    if getattr(worker, "wsgi", None) is not None:
        worker.wsgi.extensions["adclick"].stop()


def _forget_worker(settings: Settings) -> Callable[[Any, Any], None]:
    """The hook for a worker process that is gone: stop counting what it had in flight."""

    def forget(_: Any, worker: Any) -> None:
        if settings.prometheus_multiproc_dir is not None:
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(worker.pid, str(settings.prometheus_multiproc_dir))  # type: ignore[no-untyped-call]

    return forget


def _share_metrics(settings: Settings) -> Settings:
    """Give several workers an empty folder to add up their metrics in.

    prometheus_client looks for it in the environment when it is imported, which is why nothing here imports it yet.
    """
    if settings.workers == 1:
        return settings
    folder = settings.prometheus_multiproc_dir or _metrics_folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return settings.model_copy(update={"prometheus_multiproc_dir": folder})


def _metrics_folder(settings: Settings) -> Path:
    """A folder in memory, where there is one: on a full disk a worker that adds to its metrics would be killed.

    prometheus_client maps its files into memory before the disk has given them room.
    """
    name = f"adclick-metrics-{os.getuid()}-{settings.port}-"
    try:
        for left in _SHARED_MEMORY.glob(f"{name}*"):  # by a server that was killed; the port is free
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=name, dir=_SHARED_MEMORY))
    except OSError:
        return settings.data_dir / "metrics"
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # the workers end here too
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _check_data_folder(settings: Settings) -> None:
    """Before any worker starts: each would fail, and be started again, for ever."""
    try:
        with closing(Store(settings.data_dir, settings.database_url)) as store:
            if problem := unfinished(store):
                raise SystemExit(problem)
        open_files(settings).check()
    except (StoreError, FilesError) as error:
        raise SystemExit(str(error)) from error


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise SystemExit(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). Stop what uses it, or "
                "choose another one: PORT=9091 make run, or adclick serve --port 9091."
            ) from error
