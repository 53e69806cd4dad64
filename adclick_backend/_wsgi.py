"""The WSGI entry, and the script that ``label-studio-ml start`` runs.

gunicorn's own workers give a thread to whoever sends half a request, so name the one that does not:
``gunicorn --worker-class adclick_backend.web.buffered_worker.BufferedWorker --threads 16 adclick_backend._wsgi:app``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # Started as a script, so its folder heads the path: `import images` would find ours before anybody else's.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

_BOOT_FAILED = 3  # gunicorn stops at a worker that exits with this, and starts any other again for ever

if TYPE_CHECKING:
    from adclick_backend.settings import Settings


def read_settings(argv: Sequence[str] | None = None) -> tuple[Settings, argparse.Namespace]:
    """The settings of the environment, overridden by the options that label-studio-ml's template knows."""
    from adclick_backend.settings import get_settings

    settings = get_settings()
    parser = argparse.ArgumentParser(description="ADClick backend for Label Studio")
    parser.add_argument("-p", "--port", type=int, default=settings.port, help="port to listen on")
    parser.add_argument("--host", default=settings.host, help="address to listen on")
    parser.add_argument(
        "-d", "--debug", action="store_true", help="Flask's development server, with its debugger"
    )
    parser.add_argument(
        "--log-level", choices=["DEBUG", "INFO", "WARNING", "ERROR"], default=settings.log_level
    )
    parser.add_argument(
        "--model-dir", dest="data_dir", type=Path, default=settings.data_dir, help="data folder"
    )
    parser.add_argument(
        "--check", action="store_true", help="load the model before serving, and stop if it fails"
    )
    parser.add_argument("--basic-auth-user", default=settings.basic_auth_user)
    parser.add_argument("--basic-auth-pass", default=settings.basic_auth_pass)
    parser.add_argument("--kwargs", "--with", nargs="+", metavar="KEY=VALUE", help="accepted and not used")
    args = parser.parse_args(argv)
    names = ("port", "host", "log_level", "data_dir", "basic_auth_user", "basic_auth_pass")
    return settings.model_copy(update={name: getattr(args, name) for name in names}), args


def main(argv: Sequence[str] | None = None) -> int:
    """Serve as a script; returns the exit status."""
    from adclick_backend.heap import keep_freed_memory
    from adclick_backend.web.server import secrets_of, serve

    keep_freed_memory()
    settings, args = read_settings(argv)
    if args.check and not _check(settings):
        return 1
    if args.debug:
        from adclick_backend.logs import configure_logging
        from adclick_backend.web.app import create_app

        configure_logging("DEBUG", secrets_of(settings))
        create_app(settings).run(settings.listen_on, settings.port, debug=True)
        return 0
    serve(settings)
    return 0


def _check(settings: Settings) -> bool:
    """Whether the model loads; prints a sentence either way."""
    from adclick_backend.engine.bank import EngineError
    from adclick_backend.engine.engine import Engine

    engine = Engine(settings)
    try:
        engine.warm_up()
    except EngineError as error:
        print(error, file=sys.stderr)
        return False
    print(f"The model {engine.version} is in order.")
    return True


if __name__ == "__main__":
    sys.exit(main())
else:
    from adclick_backend.errors import SettingsError
    from adclick_backend.heap import keep_freed_memory
    from adclick_backend.logs import configure_logging
    from adclick_backend.settings import get_settings
    from adclick_backend.store import StoreError
    from adclick_backend.web.app import create_app
    from adclick_backend.web.server import secrets_of

    keep_freed_memory()
    try:
        configure_logging(get_settings().log_level, secrets_of(get_settings()))
        app = create_app(get_settings())
    except (SettingsError, StoreError) as error:
        print(error, file=sys.stderr)
        sys.exit(_BOOT_FAILED)
