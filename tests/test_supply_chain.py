"""Reliability row 26: known vulnerabilities are looked for in the locks, and the bill of materials is complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT
from tests.helpers.local_server import LocalServer, Reply, Request

FOUND = {
    "id": "GHSA-x84v-xcm2-53pg",
    "summary": "Insufficiently protected credentials",
    "affected": [
        {
            "package": {"name": "requests", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.20.0"}]}],
        }
    ],
}


def osv(request: Request) -> Reply:
    """A database that knows one vulnerability, of requests before 2.20."""
    asked = json.loads(request.body)
    vulnerable = asked["package"]["name"] == "requests" and asked["version"].startswith("2.19")
    return Reply.json({"vulns": [FOUND]} if vulnerable else {})


class Audit:
    """The script in a folder of its own, with a lock to look at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / ".ci" / "audit.py", folder)
        shutil.copy(ROOT / ".ci" / "accepted_vulnerabilities.txt", folder)
        self.lock(f"requests==2.34.2 \\\n    --hash=sha256:{'0' * 64}")

    def lock(self, text: str) -> None:
        (self.folder / "lock.txt").write_text(text + "\ntorch==2.13.0+cpu\n")

    def run(self, url: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, self.folder / "audit.py", self.folder / "lock.txt"],
            env={**os.environ, "OSV_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path)


def test_a_vulnerability_ends_it(audit: Audit) -> None:
    audit.lock("requests==2.19.0")
    with LocalServer(osv) as server:
        status, printed = audit.run(server.url)
    assert status == 1 and "GHSA-x84v-xcm2-53pg" in printed and "2.20.0" in printed


def test_one_that_does_not_concern_us_is_accepted_with_a_reason(audit: Audit) -> None:
    audit.lock("requests==2.19.0")
    file = audit.folder / "accepted_vulnerabilities.txt"
    with LocalServer(osv) as server:
        file.write_text("# why\nGHSA-x84v-xcm2-53pg  no credentials are sent\n")
        assert audit.run(server.url)[0] == 0
        file.write_text("GHSA-x84v-xcm2-53pg\n")
        status, printed = audit.run(server.url)
    assert status == 1 and "no reason for GHSA-x84v-xcm2-53pg" in printed


def test_all_that_is_locked_is_looked_for(audit: Audit) -> None:
    with LocalServer(osv) as server:
        status, printed = audit.run(server.url)
    assert (status, "No known vulnerabilities found" in printed) == (0, True)
    _, *asked = [json.loads(request.body) for request in server.requests]
    assert {(each["package"]["name"], each["version"]) for each in asked} == {
        ("requests", "2.34.2"),
        ("torch", "2.13.0"),
    }


@pytest.mark.parametrize("reply", [Reply(404), Reply.json({}), Reply(body=b"<html>")])
def test_a_service_that_knows_nothing_is_not_taken_for_good_news(audit: Audit, reply: Reply) -> None:
    with LocalServer(lambda _: reply) as server:
        status, printed = audit.run(server.url)
    assert status == 0 and printed.count("\n") == 1 and "cannot be reached" in printed


def test_the_bill_of_materials_is_the_lock_and_the_weights(tmp_path: Path) -> None:
    bill = tmp_path / "bill.cdx.json"
    subprocess.run([sys.executable, ROOT / ".ci" / "sbom.py", bill], check=True)
    parts = json.loads(bill.read_text())["components"]
    lock = (ROOT / "locks" / "cpu.txt").read_text()
    packages = {
        (part["name"], part["version"]): part["externalReferences"][0] for part in parts if "purl" in part
    }
    assert packages.keys() == set(re.findall(r"(?m)^([\w.-]+)==(\S+)", lock))
    hashes = [each["content"] for reference in packages.values() for each in reference["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:(\w+)", lock))
    manifests = [json.loads(file.read_text()) for file in (ROOT / "model" / "weights").glob("*.json")]
    weights = [part for part in parts if part["type"] == "machine-learning-model"]
    assert {(part["version"], part["hashes"][0]["content"]) for part in weights} == {
        (manifest["version"], manifest["sha256"]) for manifest in manifests
    }
