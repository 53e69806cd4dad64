"""``POST /detect``: an image in, what the version that serves finds in it out, for a line that asks the backend itself.

The answer is the one that a bundle gives (`adclick_runtime.detection_json`).
"""

from __future__ import annotations

from flask import Request, g, jsonify
from flask.typing import ResponseReturnValue

from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ApiError, BusyError, ImageError, ProjectIdError, bad_request
from adclick_backend.services import Services
from adclick_backend.store import project_id
from adclick_runtime.detection_json import as_json

_BUSY_S = 5


def detect(services: Services, request: Request) -> ResponseReturnValue:
    """Answer a request.

    ``?project=N`` is needed, ``?product=NAME`` where the references are told apart by product. The body is the image,
    or a form with one file.

    Raises:
        ApiError: with a sentence.
    """
    try:
        project = project_id(request.args.get("project", ""))
    except ProjectIdError as error:
        raise bad_request(
            f"Say which project the image belongs to, as in /detect?project=1. {error}", "project"
        ) from error
    if project not in {one.id for one in services.store.projects.all()}:
        raise ApiError(404, "not_found", f"No Label Studio project {project} was connected here.", "project")
    data, name = _image(request)
    product = request.args.get("product", "")
    try:
        chosen = services.trier.handed_in(project, data, name, product)
        found, version = services.trier.detect(project, chosen)
    except BusyError as error:
        g.retry_after_s = _BUSY_S
        raise ApiError(503, "busy", str(error)) from error
    except ImageError as error:
        raise ApiError(400, "bad_image", str(error)) from error
    except EngineError as error:
        raise ApiError(503, "model", str(error)) from error
    if found is None:
        raise ApiError(409, "nothing_to_judge_by", _too_little(services, project, product))
    return jsonify(as_json(found, version=version, product=product))


def _image(request: Request) -> tuple[bytes, str]:
    """The file that a request carries, and its name."""
    if request.mimetype != "multipart/form-data":
        return request.get_data(), "image"
    files = [file for _, file in request.files.items(multi=True)]
    if len(files) != 1:
        raise bad_request(f"The form has {len(files)} files; send one image, as in curl -F image=@part.png.")
    return files[0].read(), files[0].filename or "image"


def _too_little(services: Services, project: str, product: str) -> str:
    """Why an image cannot be judged, and what to do."""
    known = [
        repr(name)
        for of, name in services.store.references.banks()
        if of == project and name and name != product
    ]
    what = f"Of the product {product!r}" if product else f"In project {project}"
    others = (
        f" The products with references are {', '.join(known)}: name one of them, as in &product=NAME."
        if known
        else ""
    )
    return f"{what} there are too few references, and no trained version: nothing says what is usual.{others}"
