"""The examples for many machines: they parse, and name only settings, images, files and backends that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adclick_backend.settings import Settings
from tests.e2e.servers import ALLOW_PRIVATE
from tests.helpers.documents import ROOT

FOLDER = ROOT / "examples/many-machines"
MANIFESTS = sorted(path for path in (FOLDER / "k8s").glob("*.yaml") if path.name != "kustomization.yaml")
CREDENTIALS = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
"""Read by the client of the object store itself."""

IMAGES = {
    "adclick-many-machines": "",  # built here
    "heartexlabs/label-studio": r"\d+\.\d+\.\d+",
    "minio/mc": r"RELEASE\.[\dTZ-]+",
    "minio/minio": r"RELEASE\.[\dTZ-]+",
    "nginx": r"1\.\d+-alpine",
    "postgres": r"\d+-alpine",
}
"""Each image with the form of its tags: none is whatever is newest."""


def variables() -> set[str]:
    """What the backend reads of its environment."""
    found = set(CREDENTIALS)
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        found |= set(map(str, alias.choices)) if alias else {f"ADCLICK_{field.upper()}"}  # type: ignore[union-attr]
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())
    return found


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "k8s/kustomization.yaml").read_text())
    return found


def objects() -> Iterator[dict[str, Any]]:
    """Everything that the manifests make."""
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def containers(part: object) -> Iterator[dict[str, Any]]:
    """Every container below a part of a manifest."""
    if isinstance(part, dict):
        yield from part.get("containers", [])
        part = [value for key, value in part.items() if key != "containers"]
    if isinstance(part, list):
        for value in part:
            yield from containers(value)


def test_the_services_set_what_the_backend_reads() -> None:
    services = compose()["services"]
    known = variables()
    backends = [name for name, service in services.items() if service["image"] == "adclick-many-machines"]
    assert {"adclick-1", "adclick-2", "adclick-3", "ray-head", "ray-worker"} <= set(backends)
    for name in backends:
        assert services[name]["environment"].keys() <= known, name
    settings = services["adclick-1"]["environment"]
    assert services["ray-worker"]["environment"] == settings  # a job has what its backend has
    assert {"ADCLICK_DATABASE_URL", "ADCLICK_FILES_URL", "ADCLICK_RAY_ADDRESS"} <= settings.keys()
    assert services["label-studio"]["environment"].items() >= ALLOW_PRIVATE.items()


def test_the_services_of_the_compose_file_name_each_other() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
    settings = services["adclick-1"]["environment"]
    for name in ("ADCLICK_DATABASE_URL", "AWS_ENDPOINT_URL", "LABEL_STUDIO_URL", "ADCLICK_RAY_ADDRESS"):
        host = re.search(r"([\w-]+):\d+(?:/\w+)?$", settings[name])
        assert host and host[1] in services, name
    asked = set(re.findall(r"\$\{(\w+):\?see example\.env\}", (FOLDER / "docker-compose.yml").read_text()))
    given = set(re.findall(r"^(\w+)=", (FOLDER / "example.env").read_text(), re.MULTILINE))
    assert asked <= given


def test_no_image_is_whatever_is_newest() -> None:
    named = [service["image"] for service in compose()["services"].values()]
    named += [container["image"] for made in objects() for container in containers(made)]
    for image in named:
        name, _, tag = image.partition(":")
        assert re.fullmatch(IMAGES[name], tag), image
    tested = re.search(r"^LABEL_STUDIO_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tested and compose()["services"]["label-studio"]["image"].endswith(f":{tested[1]}")


def test_the_image_is_made_of_the_backend_and_of_extras_that_there_are() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    (extras,) = re.findall(r"adclick-backend\[([\w,-]+)\]", dockerfile)
    setup = (ROOT / "setup.cfg").read_text()
    assert all(re.search(rf"^{extra} =$", setup, re.MULTILINE) for extra in extras.split(","))


def test_the_manifests_are_all_there_and_read_only_what_is_made() -> None:
    made = kustomization()
    assert sorted(made["resources"]) == [path.name for path in MANIFESTS]
    maps = {generator["name"]: generator for generator in made["configMapGenerator"]}
    settings = dict(line.split("=", 1) for line in maps["adclick"]["literals"])
    assert settings.keys() <= variables()
    assert not {"ADCLICK_DATABASE_URL", "BASIC_AUTH_PASS", "AWS_SECRET_ACCESS_KEY"} & settings.keys()
    assert all((FOLDER / "k8s" / file).is_file() for file in maps["nginx"]["files"])
    found = list(objects())
    assert {one["kind"] for one in found} >= {"StatefulSet", "Deployment", "Ingress", "RayCluster"}
    for one in found:
        for container in containers(one):
            if container["image"] != "adclick-many-machines":
                continue
            assert container["envFrom"] == [
                {"configMapRef": {"name": "adclick"}},
                {"secretRef": {"name": "adclick"}},
            ]
            assert {"name": "cache", "mountPath": "/data"} in container["volumeMounts"]
    ray = next(one for one in found if one["kind"] == "RayCluster")
    pinned = re.search(r"^    ray==(\S+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    assert pinned and ray["spec"]["rayVersion"] == pinned[1]


def test_the_secret_has_what_the_guide_puts_into_it() -> None:
    guide = (FOLDER / "README.md").read_text()
    put = set(re.findall(r"--from-literal=(\w+)=", guide))
    assert put <= variables()
    assert {"ADCLICK_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "BASIC_AUTH_PASS"} <= put


@pytest.mark.parametrize("text", ["docker-compose.yml", "k8s"])
def test_nginx_knows_every_backend(text: str) -> None:
    if text == "k8s":
        conf = (FOLDER / "k8s/nginx.conf").read_text()
        backends = next(one for one in objects() if one["kind"] == "StatefulSet")
        name, space = backends["metadata"]["name"], kustomization()["namespace"]
        wanted = [
            f"{name}-{number}.{backends['spec']['serviceName']}.{space}.svc.cluster.local"
            for number in range(backends["spec"]["replicas"])
        ]
    else:
        conf = (FOLDER / "nginx.conf").read_text()
        wanted = [name for name in compose()["services"] if name.startswith("adclick-")]
    port = Settings.model_fields["port"].default
    assert re.findall(r"server (\S+) ", conf) == [f"{name}:{port}" for name in wanted]


def test_both_ways_send_a_task_to_one_backend_alike() -> None:
    """But for where addresses come from."""
    one, other = (
        re.sub(r"server \S+:|resolver \S+|# \w+ change", "", path.read_text())
        for path in (FOLDER / "nginx.conf", FOLDER / "k8s/nginx.conf")
    )
    assert one == other


def test_probes_ask_for_routes_that_there_are() -> None:
    routes = re.findall(r'@app\.get\("(/\w+)"\)', Path(ROOT / "adclick_backend/web/app.py").read_text())
    for path in (FOLDER / "docker-compose.yml", *MANIFESTS):
        for route in re.findall(r"(?<=9090)/\w+|(?<=path: )/\w+(?=, port)", path.read_text()):
            assert route in routes, path
