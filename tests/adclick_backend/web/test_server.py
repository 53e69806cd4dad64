"""The server as a process: `adclick serve`, `gunicorn adclick_backend._wsgi:app`, `label-studio-ml start`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from adclick_backend.settings import Settings
from adclick_backend.web.server import greeting, serve
from tests.helpers.disks import small_disk
from tests.helpers.references import wait_for
from tests.helpers.served import free_port, running, wait_until_up

ROOT = Path(__file__).parents[3]


def test_the_greeting_holds_what_a_person_needs() -> None:
    text = greeting(Settings(port=9191, host="0.0.0.0"))
    assert f"http://{socket.gethostname()}:9191" in text
    assert "http://localhost:9191" in text
    assert '<BrushLabels name="brush" toName="image" smart="false">' in text


@pytest.mark.parametrize(
    ("settings", "address", "said"),
    [
        ({}, "127.0.0.1", "Only this machine reaches it."),
        ({"basic_auth_pass": "p"}, "0.0.0.0", ""),
        ({"host": "0.0.0.0"}, "0.0.0.0", "Whoever reaches this address can change labels and references"),
        ({"host": "127.0.0.1", "basic_auth_user": "u"}, "127.0.0.1", ""),
    ],
)
def test_without_a_password_only_this_machine_is_served_unless_told_otherwise(
    settings: dict[str, str], address: str, said: str
) -> None:
    """reliability row 34."""
    asked = Settings(port=9191, **settings)  # type: ignore[arg-type]
    assert asked.listen_on == address
    assert said in greeting(asked)
    assert ("BASIC_AUTH_PASS" in greeting(asked)) == bool(said)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label_studio_api_key": "k"}, "LABEL_STUDIO_API_KEY is set and LABEL_STUDIO_URL is not"),
        ({"label_studio_url": "http://127.0.0.1:9"}, "LABEL_STUDIO_API_KEY is not: without a key"),
        (
            {"label_studio_url": "localhost:8080", "label_studio_api_key": "k"},
            "is no address such as http://",
        ),
    ],
)
def test_half_of_the_way_to_label_studio_is_said_at_the_start(settings: dict[str, str], said: str) -> None:
    assert said in greeting(Settings(**settings))  # type: ignore[arg-type]
    whole = {"label_studio_url": "http://127.0.0.1:9", "label_studio_api_key": "k"}
    for good in ({}, whole):
        assert "LABEL_STUDIO" not in greeting(Settings(**good))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ADCLICK_DATA_DIR": "in the way/data"}, "set ADCLICK_DATA_DIR"),
        ({"ADCLICK_PORT": "abc"}, "ADCLICK_PORT: Input should be a valid integer"),
    ],
)
@pytest.mark.parametrize("way", ["adclick", "gunicorn"])
def test_what_keeps_it_from_serving_is_one_sentence(
    tmp_path: Path, way: str, environment: dict[str, str], said: str
) -> None:
    (tmp_path / "in the way").write_text("a file")
    commands = {
        "adclick": [sys.executable, "-m", "adclick_backend", "serve"],
        "gunicorn": [
            sys.executable,
            "-m",
            "gunicorn",
            "-b",
            f"127.0.0.1:{free_port()}",
            "adclick_backend._wsgi:app",
        ],
    }
    env = {**os.environ, "ADCLICK_HOST": "127.0.0.1", **environment}
    if "ADCLICK_PORT" not in environment:
        env["ADCLICK_PORT"] = str(free_port())
    done = subprocess.run(
        commands[way], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "is serving" not in done.stdout


def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(host="127.0.0.1", port=taken.getsockname()[1], data_dir=tmp_path)
        with pytest.raises(SystemExit, match="adclick serve --port 9091"):
            serve(settings)


def test_serve_answers_tells_how_to_connect_and_ends_in_good_order(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "adclick_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, tmp_path, WORKERS="2") as process:
        assert wait_until_up(port, process).json()["status"] == "UP"
        answers = [
            requests.get(f"http://127.0.0.1:{port}/versions", timeout=10).status_code for _ in range(8)
        ]
        assert answers == [200] * 8
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        counted = re.search(r'adclick_requests_total\{[^}]*route="/versions"[^}]*\} (\S+)', text)
        assert counted
        assert float(counted[1]) == 8  # whichever of the two workers answered
        page = requests.get(f"http://127.0.0.1:{port}/", timeout=10).text
        assert "missing" in page  # the weights are, and the page says so
        assert process.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        printed = process.stdout.read()
    assert f"http://127.0.0.1:{port}" in printed
    assert "Traceback" not in printed


def test_several_workers_go_on_while_the_disk_is_full(tmp_path: Path) -> None:
    """Reliability row 19: what adds up their metrics lies elsewhere, else the system kills who writes."""
    port = free_port()
    command = [sys.executable, "-m", "adclick_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with small_disk(tmp_path / "data") as disk:
        with running(command, tmp_path, WORKERS="2") as process:
            wait_until_up(port, process)
            with disk.full():
                for number in range(30):  # each a row of its own in the metrics
                    requests.get(f"{url}/projects/{number}/labels", timeout=10)
                    requests.request(("GET", "PUT", "DELETE")[number % 3], f"{url}/setup", timeout=10)
                health = f"{url}/health"
                assert wait_for(lambda: "state" in requests.get(health, timeout=10).json())
                body = {"action": "START_TRAINING", "project": {"id": 1, "title": "", "label_config": ""}}
                answers = {
                    requests.post(f"{url}/webhook", json=body, timeout=10).status_code for _ in range(8)
                }
                assert answers == {503}
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert process.stdout
            printed = process.stdout.read()
        assert "was sent SIG" not in printed
        assert "Traceback" not in printed
        assert not list(Path("/dev/shm").glob(f"adclick-metrics-*-{port}-*"))


@pytest.mark.parametrize("worker", ["gthread", "adclick_backend.web.buffered_worker.BufferedWorker"])
def test_gunicorn_serves_the_wsgi_module(tmp_path: Path, worker: str) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--worker-class",
        worker,
        "--threads",
        "2",
        "-b",
        f"127.0.0.1:{port}",
        "adclick_backend._wsgi:app",
    ]
    with running(command, tmp_path) as process:
        assert wait_until_up(port, process).json() == {"status": "UP", "model_class": "ADClickBackend"}


def test_the_wsgi_module_is_a_script_too(tmp_path: Path) -> None:
    """The way that `label-studio-ml start adclick_backend` runs it."""
    port = free_port()
    script = str(ROOT / "adclick_backend" / "_wsgi.py")
    flags = [
        "-p",
        str(port),
        "--host",
        "127.0.0.1",
        "--log-level",
        "WARNING",
        "--model-dir",
        str(tmp_path / "models"),
    ]
    flags += ["--basic-auth-user", "u", "--basic-auth-pass", "p", "--kwargs", "a=b"]
    with running([sys.executable, script, *flags], tmp_path) as process:
        wait_until_up(port, process)
        assert requests.get(f"http://127.0.0.1:{port}/versions", timeout=10).status_code == 401
        assert (
            requests.get(f"http://127.0.0.1:{port}/versions", timeout=10, auth=("u", "p")).status_code == 200
        )
    assert (tmp_path / "models" / "adclick.sqlite3").is_file()


def test_a_check_that_fails_does_not_serve(tmp_path: Path) -> None:
    script = str(ROOT / "adclick_backend" / "_wsgi.py")
    env = {
        **os.environ,
        "ADCLICK_DATA_DIR": str(tmp_path),
        "ADCLICK_CHECKPOINT": str(tmp_path / "missing.safetensors"),
    }
    done = subprocess.run(
        [sys.executable, script, "--check"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stranger_on_another_address_sees_nothing(tmp_path: Path) -> None:
    """reliability row 34: not even that there is a server."""
    port = free_port()
    command = [sys.executable, "-m", "adclick_backend", "serve", "--port", str(port)]
    with running(command, tmp_path) as process:
        wait_until_up(port, process)
        with socket.socket() as stranger, pytest.raises(ConnectionRefusedError):
            stranger.connect(
                ("127.0.0.2", port)
            )  # another address of this machine, as its one in the network is


def test_no_secret_is_in_what_the_server_prints(tmp_path: Path) -> None:
    """Reliability row 10: neither the language model's key nor a token that arrived after the start."""
    port = free_port()
    url, key, token = f"http://127.0.0.1:{port}", "sk-language-model", "0123456789abcdef-project-token"
    command = [sys.executable, "-m", "adclick_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, tmp_path, ADCLICK_LLM_KEY=key, LOG_LEVEL="DEBUG") as process:
        wait_until_up(port, process)
        body = {
            "project": "1.1",
            "schema": "<View/>",
            "hostname": "http://127.0.0.1:9",
            "access_token": token,
        }
        requests.post(f"{url}/setup", json=body, timeout=10).raise_for_status()
        for path in (key, token):
            assert requests.get(f"{url}/no/{path}/here", timeout=10).status_code == 404
        assert process.stdout
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        printed = process.stdout.read()
    assert printed.count("GET /no/***/here 404") == 2
    assert key not in printed
    assert token not in printed
