"""``adclick-detect serve BUNDLE``: answer images over HTTP."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace

from adclick_runtime.looking import Looker
from adclick_runtime.serving.server import DetectionServer, serve
from adclick_runtime.serving.settings import Settings
from adclick_runtime.serving.shared import Shared


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments beside those that all commands have."""
    parser.add_argument("--host", help="address to listen on (ADCLICK_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (PORT)")


def run(args: Namespace, looker: Looker, settings: Settings) -> int:
    """Serve until stopped; the exit code."""
    named = {name: value for name in ("host", "port") if (value := getattr(args, name)) is not None}
    settings = replace(settings, **named)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    detector = looker.detector
    described = {
        "version": looker.version,
        "types": list(detector.types),
        "products": list(detector.products),
    }
    try:
        server = DetectionServer(Shared(settings, looker, described))
    except (OSError, OverflowError) as error:
        print(
            f"Port {settings.port} on {settings.listen_on} cannot be used ({error}). Stop what uses it, or choose "
            "another one: --port 9091.",
            file=sys.stderr,
        )
        return 2
    print(_greeting(settings, server.server_address[1], looker), flush=True)
    serve(server)
    return 0


def _greeting(settings: Settings, port: int, looker: Looker) -> str:
    """What a person needs to know once the server listens."""
    here = "localhost" if settings.listen_on in ("0.0.0.0", "::", "127.0.0.1") else settings.listen_on  # noqa: S104
    call = f"curl --data-binary @image.png http://{here}:{port}/detect"
    if settings.needs_password:
        call = call.replace("curl", "curl --user NAME:PASSWORD")
        reach = "Callers have to show the password."
    elif settings.listen_on == "127.0.0.1":
        reach = "Only this machine reaches it; for others set BASIC_AUTH_USER and BASIC_AUTH_PASS."
    else:
        reach = "Whoever reaches this address may ask: set BASIC_AUTH_USER and BASIC_AUTH_PASS."
    return f"The detector {looker.version} is serving. {reach}\n\n  {call}\n"
