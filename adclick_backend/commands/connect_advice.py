"""Why Label Studio cannot use the backend: its own message, recognised, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import NamedTuple
from urllib.parse import urlsplit

_LOOPBACK = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104  (recognised, not listened on)


class Rule(NamedTuple):
    """A message of Label Studio and the advice to it, with {host}, {port} and {url} to fill in."""

    pattern: str
    advice: str


RULES: Sequence[Rule] = (
    Rule(
        r"reserved network address",
        "Since 1.23.1 Label Studio refuses ML backends on private addresses. Start Label Studio with\n"
        "    USE_DEFAULT_BANNED_SUBNETS=false\n"
        "    USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16\n"
        "in its environment (the second keeps the cloud metadata address refused), then run this again.\n"
        "ML_BLOCK_LOCAL_IP=false alone is not enough: the webhook is checked as well, and needs\n"
        "SSRF_PROTECTION_ENABLED=false with it.",
    ),
    Rule(
        r"The provided URL was not allowed",
        "The backend's URL must begin with http:// or https://. Give it with --backend http://HOST:9090.",
    ),
    Rule(
        r"Can't resolve hostname|Name or service not known|Failed to resolve",
        "Label Studio's machine does not know the name {host}. Use a name or an address that it knows: in\n"
        "docker compose the service's name (http://adclick:9090), otherwise the backend machine's address.",
    ),
    Rule(
        r"authentication parameters|401 Client Error",
        "The backend asks for a user and a password (BASIC_AUTH_USER and BASIC_AUTH_PASS in its\n"
        "environment). Give the same ones with --basic-auth USER:PASSWORD.",
    ),
    Rule(
        r"timed out|Timeout",
        "Nothing answered at {url} in time. A firewall between the two, a wrong address, or a backend that\n"
        "is still starting are the usual reasons.",
    ),
    Rule(
        r"Connection refused|NewConnectionError|No route to host",
        "Nothing listens on port {port} at {host}, as Label Studio sees it. Start the backend with\n"
        "`adclick serve`, or correct --backend.",
    ),
    Rule(
        r"Connection aborted|RemoteDisconnected|500 Server Error",
        "The backend broke off while it answered. Its log says why.",
    ),
    Rule(
        r"doesn't look like a valid ML backend",
        "Something answers at {url}, but not as this backend does: another server, or another path. Open\n"
        "{url} in a browser: it should show the backend's status page.",
    ),
)

_LOCALHOST = (
    "{host} is the machine, or the container, that Label Studio itself runs in. If Label Studio runs in\n"
    "Docker and the backend on the host, use http://host.docker.internal:{port} (on Linux the container\n"
    "needs extra_hosts: host.docker.internal:host-gateway) and let the backend listen on 0.0.0.0."
)
_ANSWERS_HERE = (
    "From this machine {url} does answer, so the backend is up: the way from Label Studio is what fails."
)


def explain(message: str, backend: str, *, answers_here: bool) -> str:
    """What Label Studio's message means and what to do.

    Args:
        message: what Label Studio said when it was to use the backend, HTML links included.
        backend: URL of the backend as Label Studio was given it.
        answers_here: whether the backend answers this process at that URL.
    """
    parts = urlsplit(backend)
    host, port = parts.hostname or backend, parts.port or (443 if parts.scheme == "https" else 80)
    lines = [rule.advice for rule in RULES if re.search(rule.pattern, message, re.IGNORECASE)][:1]
    if re.search(r"refused|NewConnectionError|timed out|Timeout", message):
        lines += [_ANSWERS_HERE] * answers_here + [_LOCALHOST] * (host in _LOOPBACK)
    advice = "\n".join(lines).format(host=host, port=port, url=backend)
    return f'Label Studio says: "{plain(message)}"\n{advice}'.rstrip()


def plain(message: str) -> str:
    """A message as the dialog shows it: without HTML links and the wrapping of the API around it."""
    bare = re.sub(r"^Label Studio answers \d+ to \w+ \S+: ", "", message)
    bare = re.sub(r"^Validation error \{'\w+': \[['\"](.*?)(['\"]\]\})?['\"]?$", r"\1", bare, flags=re.DOTALL)
    return unescape(re.sub(r"<[^<>]*>", "", bare)).replace("\\'", "'").replace("\\n", " ").strip()
