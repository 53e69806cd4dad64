"""What is said of a Ray cluster that cannot be joined; no Ray is needed for that."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from adclick_backend import __version__
from adclick_backend.cluster.connection import ClusterAway, ClusterError, check_head, check_release, joined
from tests.helpers.served import free_port
from tests.helpers.silent_server import SilentServer


class FakeRay(ModuleType):
    """Cannot be joined, for a reason."""

    __version__ = "2.60.0"

    def __init__(self, reason: str) -> None:
        super().__init__("ray")
        self._reason = reason

    def init(self, **options: object) -> None:
        raise RuntimeError(self._reason)


def refusal(monkeypatch: pytest.MonkeyPatch, ray: ModuleType | None, address: str) -> str:
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ClusterError) as raised, joined(address, lambda: None):
        pass
    return str(raised.value)


def test_ray_that_is_not_installed_is_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run `pip install 'adclick-backend[ray]'`" in refusal(monkeypatch, None, "127.0.0.1:6379")


def test_a_head_that_does_not_answer_is_away_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    said = refusal(monkeypatch, FakeRay(""), address)
    assert said == f"The Ray cluster at {address} (ADCLICK_RAY_ADDRESS) does not answer: Connection refused."
    with pytest.raises(ClusterAway):
        check_head(address)


def test_versions_that_differ_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = sys.version.split()[0]
    with SilentServer() as server:
        reason = (
            "Version mismatch: The cluster was started with:\n    Ray: 2.41.0\n    Python: 3.10.1\n"
            f"This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: {ours}\n"
        )
        said = refusal(monkeypatch, FakeRay(reason), server.netloc)
        assert "runs Ray 2.41.0 with Python 3.10.1, and this backend Ray 2.60.0 with Python " + ours in said
        said = refusal(monkeypatch, FakeRay("No node info\nfound"), server.netloc)
        assert "No node info found" in said
        assert f"run `ray start --address={server.netloc} --num-cpus=0` there" in said


def test_releases_that_differ_are_both_named() -> None:
    check_release(__version__, "a")
    with pytest.raises(
        ClusterError, match=f"node a of .* runs adclick-backend {__version__} and this backend 0.0.1"
    ):
        check_release("0.0.1", "a")
