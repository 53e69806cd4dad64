"""Several backends in processes of their own, nginx before them, and Label Studio's part played towards them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import requests

from tests.helpers.backend import CONFIG, annotation
from tests.helpers.documents import ROOT
from tests.helpers.served import free_port

ACCOUNT = ("engineer", "a-pass-for-the-tests")
_START_S = 180.0  # a busy machine takes a minute to load a model

_NGINX = """
worker_processes 1;
events {{}}
http {{
    client_max_body_size 64m;
    upstream backends {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://backends;
            proxy_set_header Host $http_host;
            proxy_next_upstream error timeout non_idempotent;
            add_header X-Backend $upstream_addr always;
        }}
    }}
}}
"""
"""Without what sends a task to one backend: each request goes to the next."""

_IN_FOLDER = "access_log off; " + " ".join(
    f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
"""Whatever nginx writes while it answers goes below its folder."""


class SeveralBackends:
    """Context manager: backends on loopback, with a folder for each, and one URL for all of them.

    Args:
        folder: for what they write, and for the images of their tasks.
        count: how many of them.
        program: of Python, that is called as ``adclick`` is.
        by_task: whether nginx sends a task to the backend that has it open, instead of each request to the next.
        settings: of their environment, such as ``ADCLICK_DATABASE_URL``.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        program: Sequence[str] = ("-m", "adclick_backend"),
        *,
        by_task: bool = False,
        **settings: str,
    ) -> None:
        self.images = folder / "images"
        self.images.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._program = program
        self._before = by_task_number if by_task else in_turn
        self.settings = settings
        self._ports = [free_port() for _ in range(count)]
        self._port = free_port()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._nginx: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SeveralBackends:
        try:
            for number in range(len(self._ports)):
                self.start(number)
            self._nginx = self._before(self._folder / "nginx", self._ports, self._port)
            for number in range(len(self._ports)):
                self.wait_until_ready(number)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self._processes.values(), *([self._nginx] if self._nginx else [])):
            process.send_signal(signal.SIGTERM)
        for process in (*self._processes.values(), *([self._nginx] if self._nginx else [])):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def url(self) -> str:
        """Of nginx."""
        return f"http://127.0.0.1:{self._port}"

    def url_of(self, number: int) -> str:
        """Of one backend."""
        return f"http://127.0.0.1:{self._ports[number]}"

    def log(self, number: int) -> str:
        """What a backend wrote."""
        return (self._folder / f"backend-{number}.log").read_text("utf-8", "replace")

    def start(self, number: int) -> None:
        """Start a backend, again after `kill` or `stop`; see `wait_until_ready`."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ADCLICK_")},
            "ADCLICK_DATA_DIR": str(self._folder / f"data-{number}"),
            "ADCLICK_BACKBONE": "lite",
            "ADCLICK_MODEL_THREADS": "1",
            "ADCLICK_TRAINING_THREADS": "1",
            "ADCLICK_HOST": "127.0.0.1",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.images),
            "BASIC_AUTH_USER": ACCOUNT[0],
            "BASIC_AUTH_PASS": ACCOUNT[1],
            "OMP_NUM_THREADS": "1",
            **self.settings,
        }
        with (self._folder / f"backend-{number}.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [sys.executable, *self._program, "serve", "--port", str(self._ports[number])],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self, number: int) -> None:
        """Return when a backend says that it is."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._processes[number].poll() is None:
            try:
                if requests.get(f"{self.url_of(number)}/ready", timeout=5).ok:
                    return
            except requests.RequestException:  # not yet, or busy with loading
                pass
            time.sleep(0.2)
        raise RuntimeError(f"Backend {number} is not ready: {self.log(number)[-2000:]}")

    def kill(self, number: int) -> None:
        """End a backend with all its processes at once, as a machine does that loses its power."""
        process = self._processes.pop(number)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in (process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self, number: int) -> None:
        """Tell a backend to end, and return at once."""
        self._processes[number].send_signal(signal.SIGTERM)

    def ended(self, number: int) -> int:
        """Wait for a backend that was told to end; its exit status."""
        return self._processes.pop(number).wait(120)


def in_turn(folder: Path, ports: Sequence[int], port: int) -> subprocess.Popen[bytes]:
    """Start nginx on a port, which sends each request to the next of some others; whoever started it ends it."""
    servers = " ".join(f"server 127.0.0.1:{one} max_fails=0;" for one in ports)
    return start_nginx(folder, _NGINX.format(servers=servers, port=port))


def by_task_number(folder: Path, ports: Sequence[int], port: int) -> subprocess.Popen[bytes]:
    """Start nginx as the example for many machines has it before backends; whoever started it ends it.

    The release of the distribution looks names up at the start only, so that addresses are given.
    """
    text = (ROOT / "examples/many-machines/nginx.conf").read_text()
    servers = "".join(f"server 127.0.0.1:{one} max_fails=2 fail_timeout=5s;\n" for one in ports)
    text = re.sub(r"(?:server adclick-\d+:9090 [^;]+;\s+)+", servers, text)
    text = re.sub(r"resolver [^;]+;", "", text)
    return start_nginx(folder, text.replace("listen 9090;", f"listen 127.0.0.1:{port};"))


def start_nginx(folder: Path, configuration: str) -> subprocess.Popen[bytes]:
    """Start nginx with all that it writes below a folder; whoever started it ends it."""
    if not (binary := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")):
        raise RuntimeError("There is no nginx here: apt-get install nginx-light.")
    folder.mkdir(exist_ok=True)
    configuration = configuration.replace("http {", f"http {{ {_IN_FOLDER}", 1)
    file = folder / "nginx.conf"
    file.write_text(("user root;" if os.getuid() == 0 else "") + configuration)
    with (folder / "output.log").open("ab") as log:
        return subprocess.Popen(
            [
                binary,
                "-c",
                file,
                "-e",
                folder / "error.log",
                "-p",
                folder,
                "-g",
                f"daemon off; pid {folder}/pid;",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class Client:
    """Sends what Label Studio sends about project 1, with the password of the connection.

    Args:
        url: of a backend, or of what stands before several.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.answered_by: list[str] = []
        """The backend that answered each request, as nginx says it."""

    def post(self, path: str, body: dict[str, Any]) -> requests.Response:
        answer = requests.post(self._url + path, json=body, auth=ACCOUNT, timeout=100)
        self.answered_by.append(answer.headers.get("X-Backend", ""))
        return answer

    def setup(self) -> str:
        """Connect the project; the version that serves."""
        body = {"project": "1.1", "schema": CONFIG, "hostname": "http://127.0.0.1:9", "access_token": ""}
        answer = self.post("/setup", body)
        answer.raise_for_status()
        return str(answer.json()["model_version"])

    def mark(self, task: int, image: str, choice: str = "normal") -> requests.Response:
        """Submit an annotation of a task, as annotation `task`."""
        return self.post(
            "/webhook",
            {
                "action": "ANNOTATION_CREATED",
                "project": {"id": 1, "title": "Screws", "label_config": CONFIG},
                "annotation": annotation(task, (choice,), task=task),
                "task": self._task(task, image),
            },
        )

    def open(self, task: int, image: str) -> dict[str, Any] | None:
        """Open a task; what is proposed for it."""
        (found,) = self._predict(task, image, None)
        return found or None

    def click(self, task: int, image: str, points: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Click in a task; the answer."""
        (found,) = self._predict(task, image, {"result": list(points)})
        return dict(found)

    def versions(self) -> list[str]:
        answer = requests.get(f"{self._url}/versions", auth=ACCOUNT, timeout=30)
        return list(answer.json()["versions"])

    def _predict(self, task: int, image: str, context: object) -> list[Any]:
        params = {"login": None, "password": None, "context": context}
        body = {
            "tasks": [self._task(task, image)],
            "project": "1.1",
            "label_config": CONFIG,
            "params": params,
        }
        answer = self.post("/predict", body)
        answer.raise_for_status()
        return list(answer.json()["results"])

    def _task(self, task: int, image: str) -> dict[str, Any]:
        return {"id": task, "data": {"image": f"/data/local-files/?d={quote(image)}"}, "project": 1}
