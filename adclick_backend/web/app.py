"""The Flask app: Label Studio's routes and the dashboard."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Flask, Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.routing import IntegerConverter

from adclick_backend import deadline
from adclick_backend.config.labeling_config import summary_sentence
from adclick_backend.dashboard import create_dashboard
from adclick_backend.engine.engine import Engine
from adclick_backend.errors import ApiError
from adclick_backend.images.connections import ONLY_FROM_HERE
from adclick_backend.label_studio.webhooks import SECRET_HEADER
from adclick_backend.logs import new_request_id, request_id
from adclick_backend.protocol.body import read_body
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError, project_id
from adclick_backend.store.disk import stops_writing
from adclick_backend.telemetry import Telemetry
from adclick_backend.web.administrators import is_administrator
from adclick_backend.web.api_errors import install_error_handlers
from adclick_backend.web.backend import ADClickBackend, empty_prediction
from adclick_backend.web.bodies import ConfirmBody, PredictBody, SetupBody, WebhookBody, read_json
from adclick_backend.web.detect import detect
from adclick_backend.web.whole_requests import WAITED
from adclick_runtime.serving.attempts import Attempts
from adclick_runtime.serving.auth import BasicAuth
from adclick_runtime.serving.names import ServedNames

log = logging.getLogger(__name__)

MAX_FORM_PARTS = 10_000  # a folder of references in one request
PREDICT_S = 90.0  # that a request may wait for other servers and threads; Label Studio gives up after 100 s
PAGE_S = 30.0  # any other one

OPEN_ROUTES = frozenset(
    {"/health", "/ready", "/webhook"}
)  # of what a stranger says to /webhook little is believed: `Messages`

QUIET_ROUTES = frozenset(
    {
        "/health",
        "/ready",
        "/metrics",
        "/static/<path:filename>",
        "/projects/<project>/thumbnails/<sha>.jpg",
        "/projects/<project>/gallery/<int:task>/<any(small, large, plain):size>.jpg",
        "/projects/<project>/trial/<token>/<picture>",
        "/projects/<project>/training/<int:job>/live",
        "/projects/<project>/jobs.json",
    }
)


class StoredInteger(IntegerConverter):
    """``<int:...>`` in an address: a number that SQLite can hold; any other is not found."""

    regex = "[0-9]{1,18}"


def create_app(settings: Settings, engine: Engine | None = None, *, background: bool = True) -> Flask:
    """The backend as a WSGI app.

    Args:
        settings: of the backend.
        engine: the model; one from the settings by default.
        background: start the background threads with the first request. They are not started here, because a
            server may fork after it made the app.
    """
    services = Services(settings, engine)
    app = Flask("adclick_backend", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_mb * 2**20
    app.config["MAX_FORM_PARTS"] = MAX_FORM_PARTS
    app.extensions["adclick"] = services
    app.url_map.converters["int"] = StoredInteger
    app.register_blueprint(create_dashboard(services))
    install_error_handlers(app)
    _install_request_hooks(app, services, background=background)
    _install_routes(app, services)
    app.wsgi_app = _in_time(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _in_time(app: Callable[..., Any]) -> Callable[..., Any]:
    """The WSGI app with a deadline for each request, counted from its arrival."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        seconds = PREDICT_S if environ["PATH_INFO"] == "/predict" else PAGE_S
        with deadline.within(seconds, waited=environ.get(WAITED, 0.0)):
            return app(environ, start_response)

    return call


def _install_request_hooks(app: Flask, services: Services, *, background: bool) -> None:
    settings = services.settings
    auth, attempts = BasicAuth(settings.basic_auth_user, settings.basic_auth_pass), Attempts()
    names = ServedNames(settings.served_as)

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        request_id.set(new_request_id(request.headers.get("X-Request-ID")))
        if background:
            services.start()

    @app.before_request
    def authenticate() -> None:
        names.check(request.host)
        header, address = request.environ.get("HTTP_AUTHORIZATION"), request.remote_addr or ""
        right = auth.allows(header)
        g.retry_after_s = attempts.take(address, right=right) if header and auth.required else 0
        g.authenticated = right and not g.retry_after_s
        g.administrator = is_administrator(address, behind_password=auth.required)
        carries_secret = services.webhook_secret.fits(request.headers.get(SECRET_HEADER))
        g.trusted = carries_secret or (auth.required and g.authenticated)
        if g.retry_after_s and request.path not in OPEN_ROUTES:
            raise _too_many_attempts(address, g.retry_after_s)
        if not g.authenticated and request.path not in OPEN_ROUTES:
            raise _unauthorized()

    @app.after_request
    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = time.perf_counter() - g.started
        method = request.method if request.url_rule else ""  # anybody can make up methods and addresses
        services.telemetry.requests.labels(route, method, str(response.status_code)).inc()
        services.telemetry.request_seconds.labels(route).observe(seconds)
        level = logging.DEBUG if route in QUIET_ROUTES and response.status_code < 400 else logging.INFO
        log.log(level, "%s %s %s %.0f ms", request.method, request.path, response.status_code, seconds * 1000)
        response.headers["X-Request-ID"] = request_id.get()
        response.headers["X-Content-Type-Options"] = "nosniff"
        if response.status_code == 413:  # a click may have been lost, and Label Studio does not show it
            services.report("", f"A request to {request.path} was not read. {g.too_large}")
        if response.status_code in (429, 503) and g.get("retry_after_s"):
            response.headers["Retry-After"] = str(g.retry_after_s)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="ADClick", charset="UTF-8"'
        return response


def _install_routes(app: Flask, services: Services) -> None:
    @app.get("/health")
    def health() -> ResponseReturnValue:
        answer = {"status": "UP", "model_class": ADClickBackend.__name__}
        if problem := services.store.disk.look():  # Label Studio goes on: clicks are answered
            answer |= {"state": "degraded", "reason": problem}
        return answer

    @app.get("/ready")
    def ready() -> ResponseReturnValue:
        if problem := services.unready():
            raise ApiError(503, "not_ready", problem)
        return {"status": "READY"}

    @app.post("/setup")
    def setup() -> ResponseReturnValue:
        return _setup(services, read_json(request), called_at=request.url_root.rstrip("/"))

    @app.post("/confirm")
    def confirm() -> ResponseReturnValue:
        return _confirm(services, read_json(request))

    @app.get("/versions")
    def versions() -> ResponseReturnValue:
        return {"versions": _versions(services)}

    @app.post("/predict")
    def predict() -> ResponseReturnValue:
        return _predict(services, read_json(request))

    @app.post("/detect")
    def detect_defects() -> ResponseReturnValue:
        return detect(services, request)

    @app.post("/webhook")
    def webhook() -> ResponseReturnValue:
        return _webhook(services, read_json(request), authenticated=g.authenticated, trusted=g.trusted)

    @app.get("/webhook/secret")
    def webhook_secret() -> ResponseReturnValue:
        return _webhook_secret(services, trusted=g.trusted)

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        return Response(services.telemetry.exposition(), content_type=Telemetry.CONTENT_TYPE)


def _versions(services: Services) -> list[str]:
    """What Label Studio may have been told as ``model_version``: of each project the serving one, then the older ones.

    Label Studio does not say which project it asks for.
    """
    names = []
    for project in services.store.projects.all():
        names.append(services.registry.serving_name(project.id))
        names += [
            services.registry.full_name(project.id, version.name)
            for version in services.registry.list(project.id)
        ]
    return list(dict.fromkeys([*names, services.engine.version]))


def _setup(services: Services, raw: dict[str, Any], *, called_at: str) -> ResponseReturnValue:
    """Connect a project, also one whose labeling config lacks something: the answer says what."""
    body = read_body(SetupBody, raw)
    created = str(raw["project"]).partition(".")[2]
    params = body.extra_params
    before = services.store.projects.save(
        body.project,
        **({"created": created} if created else {}),
        hostname=body.hostname or "",
        token=body.access_token or "",
        extra_params=params if isinstance(params, str) else json.dumps(params or {}),
    )
    if before.created and created and before.created != created:
        services.report(
            body.project,
            f"Another Label Studio project with the id {body.project} was connected. The references may be "
            "those of the earlier one: remove what does not belong to the new one.",
        )
    if body.hostname and services.settings.needs_password:  # whoever knows the password is trusted with this
        with suppress(DiskError):  # a person confirms it later
            services.connections.confirm(body.hostname)
    services.registration.note(body.project, called_at)
    services.syncs.plan(body.project)
    backend = ADClickBackend(body.project, body.label_config, services)
    config = backend.labeling_config
    version = services.registry.serving_name(body.project)
    answer: dict[str, Any] = {"model_version": version, "message": summary_sentence(config)}
    if problem := services.engine.shared_detector.problem:
        answer["message"] += f" {problem}"
    if not config.problems:
        return answer
    log.warning("Project %s: %s", body.project, summary_sentence(config))
    answer |= {"problems": list(config.problems)}
    if config.changes:
        answer |= {"changes": list(config.changes), "labeling_config": config.corrected}
    return answer


def _confirm(services: Services, raw: dict[str, Any]) -> ResponseReturnValue:
    """``adclick connect`` has just connected a project: the Label Studio that it came from is ours."""
    project = read_body(ConfirmBody, raw).project
    hostname = services.connections.unconfirmed(project)
    if hostname and not g.administrator:
        raise ApiError(403, "forbidden", ONLY_FROM_HERE)
    services.connections.confirm(hostname)
    return {"label_studio": services.connections.label_studio(project).url}


def _predict(services: Services, raw: dict[str, Any]) -> ResponseReturnValue:
    body = read_body(PredictBody, raw)
    tasks = [dict(task) for task in body.tasks]
    try:
        backend = ADClickBackend(body.project, body.label_config, services)
        results = backend.predict(tasks, body.context)
    except Exception:
        # Label Studio drops the error without a word; an empty answer at least ends the spinner of a click.
        log.exception("A request for predictions of project %s could not be answered", body.project)
        services.report(
            body.project or "",
            f"A request failed; see {request_id.get()} in the backend's log for the reason.",
        )
        results = [empty_prediction() if body.context is not None else [] for _ in tasks]
    if body.context is not None and not results:
        results = [empty_prediction()]
    return jsonify(results=results)


def _webhook(
    services: Services, raw: dict[str, Any], *, authenticated: bool, trusted: bool
) -> ResponseReturnValue:
    """Take in an event.

    Label Studio sends the password of the connection only with START_TRAINING, not with what happens to annotations,
    tasks and projects. So those are accepted without it, as a hint that there is something to read (`Messages`).
    """
    body = read_body(WebhookBody, raw)
    if body.action == "START_TRAINING" and not authenticated:
        raise _unauthorized()
    backend = ADClickBackend(body.project.id, None, services)
    try:
        result = backend.fit(body.action, raw, trusted=trusted)
    except (DiskError, OSError) as error:
        if not stops_writing(error):
            raise
        problem = services.miss(project_id(body.project.id), body.action, error)
        raise ApiError(503, "storage", str(problem)) from error
    if result is None:
        return {"status": "ok", "result": None}
    return {"status": "ok", "result": result}, 201


def _webhook_secret(services: Services, *, trusted: bool) -> ResponseReturnValue:
    """What Label Studio's webhook is to carry, for who has the password, or the secret and asks whether it fits."""
    if not trusted:
        raise ApiError(
            403,
            "forbidden",
            "Without a password anybody could ask for the secret. Run adclick connect where the backend's data folder "
            "is, or start the backend with BASIC_AUTH_USER and BASIC_AUTH_PASS.",
        )
    answer = jsonify(header=SECRET_HEADER, secret=services.webhook_secret.value)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _too_many_attempts(address: str, seconds: int) -> ApiError:
    return ApiError(
        429,
        "too_many_attempts",
        f"Too many wrong passwords came from {address}; try again in {seconds} s.",
    )


def _unauthorized() -> ApiError:
    return ApiError(401, "unauthorized", "User or password of the ML backend are missing or wrong.")
