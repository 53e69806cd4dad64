"""An S3 server on loopback for as long as a test needs it: moto's, from an environment of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.helpers.served import free_port

ROOT = Path(__file__).parents[2]
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "adclick",
    "AWS_SECRET_ACCESS_KEY": "s3cret/+",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_START_S = 60.0


class S3Server:
    """Context manager: a server that holds its objects in memory, until it ends."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._buckets = 0

    def __enter__(self) -> S3Server:
        self._process = subprocess.Popen(
            [binary(), "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError("The S3 server did not start.")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def environment(self) -> dict[str, str]:
        """What a program has to find in its environment to use the server."""
        return {**ACCOUNT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def bucket(self) -> str:
        """The URL of a new, empty bucket."""
        self._buckets += 1
        name = f"adclick-{self._buckets}"
        urlopen(Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT"), timeout=_START_S).close()
        return f"s3://{name}/line"

    def stop(self) -> None:
        """Let the server answer nobody: connections hang, as those to a machine that went away do."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            urlopen(f"http://127.0.0.1:{self.port}/moto-api/", timeout=5).close()
        except HTTPError:
            return True
        except OSError:
            return False
        return True


def binary() -> Path:
    """The program; `make cluster-test` installs it beside the environment, whose botocore it does not go with."""
    own = ROOT / ".venv-moto" / "bin" / "moto_server"
    found = own if own.is_file() else shutil.which("moto_server", path=os.environ.get("PATH"))
    if not found:
        raise RuntimeError(
            "There is no S3 server here: python -m venv .venv-moto; .venv-moto/bin/pip install 'moto[server]'."
        )
    return Path(found)
