"""Errors as answers: a code, a sentence, the field it is about and the request's id; never a traceback."""

from __future__ import annotations

import logging

from flask import Flask, Response, current_app, g, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from adclick_backend.errors import ApiError
from adclick_backend.logs import request_id
from adclick_backend.store import DiskError
from adclick_backend.store.disk import stops_writing
from adclick_backend.store.versions import RegistryError

log = logging.getLogger(__name__)


def install_error_handlers(app: Flask) -> None:
    """Turn every exception of `app` into an answer."""
    app.register_error_handler(ApiError, _api_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(DiskError, _unwritten)
    app.register_error_handler(RegistryError, _unusable)
    app.register_error_handler(Exception, _crash)


def _api_error(error: ApiError) -> Response:
    log.warning("%s %s: %s (%s)", request.method, request.path, error.message, error.status)
    return _answer(error)


def _http_error(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        g.too_large = _what_is_too_large()
        return _api_error(ApiError(413, "too_large", g.too_large))
    status = error.code or 500
    code = error.name.lower().replace(" ", "_")
    response = _answer(ApiError(status, code, error.description or error.name))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _what_is_too_large() -> str:
    """Which of the limits on a body was exceeded, as a sentence."""
    limit = request.max_content_length or 0
    if (request.content_length or 0) > limit:
        return f"The request is larger than {limit // 2**20} MB (ADCLICK_MAX_BODY_MB)."
    parts, text = request.max_form_parts or 0, (request.max_form_memory_size or 0) // 1000
    return f"The form has more than {parts} files and fields, or a field of more than {text} kB: send it in parts."


def _unwritten(error: DiskError) -> Response:
    """What was asked could not be written down: nothing of it was done, and the sentence says why."""
    return _api_error(ApiError(503, "storage", str(error)))


def _unusable(error: RegistryError) -> Response:
    """A version is not what whoever asked believes it to be, and the sentence says what it is."""
    return _api_error(ApiError(409, "conflict", str(error)))


def _crash(error: Exception) -> Response:
    if isinstance(error, OSError) and stops_writing(error):
        return _unwritten(current_app.extensions["adclick"].store.disk.failed(error))
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _answer(ApiError(500, "internal", "Something went wrong inside the backend; its log says what."))


def _answer(error: ApiError) -> Response:
    if request.blueprint == "dashboard":
        page = render_template("error.html", error=error, request_id=request_id.get())
        response = Response(page, mimetype="text/html")
    else:
        body = {"code": error.code, "message": error.message, "request_id": request_id.get()}
        response = jsonify(error={**body, "field": error.field} if error.field else body)
    response.status_code = error.status
    return response
