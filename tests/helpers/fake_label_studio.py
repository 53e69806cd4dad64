"""Label Studio as far as its API and its files are needed, on loopback."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

from tests.helpers.local_server import LocalServer, Reply, Request

LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"


def web_token(**claims: object) -> str:
    """A JSON web token with these claims and no valid signature."""

    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).decode().rstrip("=")

    return ".".join(encoded(part) for part in (b'{"alg":"HS256"}', json.dumps(claims).encode(), b"signature"))


PERSONAL_TOKEN = web_token(token_type="refresh", exp=8_000_000_000, iat=1_700_000_000, user_id=1)


class FakeLabelStudio(LocalServer):
    """Serves what a test puts into ``tasks`` and ``files`` to whoever brings a good token.

    ``failures`` are replies to give before any good one, each once.
    """

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.tasks: list[dict[str, object]] = []
        self.projects = [1]
        self.created_at = "2026-11-22T09:10:18.738083Z"  # of every project; 1795338618 in /setup
        self.configs: dict[int, str] = {}  # labeling config by project
        self.files: dict[str, Reply] = {}  # by path and query
        self.failures: list[Reply] = []
        self.legacy_enabled = True
        self.predicted = 0  # the id of the last prediction
        self.access_tokens: list[str] = []  # issued; only the last one is good

    def calls(self, path: str) -> list[Request]:
        return [request for request in self.requests if urlsplit(request.path).path == path]

    def _answer(self, request: Request) -> Reply | None:
        if self.failures:
            return self.failures.pop(0)
        url = urlsplit(request.path)
        if url.path == "/api/token/refresh":
            return self._refresh(json.loads(request.body))
        if not self._is_known(request.headers["Authorization"]):
            return Reply.json({"detail": "Authentication credentials were not provided."}, 401)
        if url.path == "/api/current-user/whoami":
            return Reply.json({"id": 1, "email": "ada@example.com"})
        known = re.fullmatch(r"/api/projects/(\d+)/", url.path)
        if request.method == "PATCH" and known is not None:
            return self._change_config(int(known[1]), json.loads(request.body))
        if (known := re.fullmatch(r"/api/annotations/(\d+)/", url.path)) is not None:
            return self._annotation(int(known[1]))
        if (known := re.fullmatch(r"/api/tasks/(\d+)/annotations/", url.path)) is not None:
            return self._annotate(int(known[1]), json.loads(request.body))
        if (known := re.fullmatch(r"/api/(tasks|projects)/(\d+)/", url.path)) is not None:
            return self._one(known[1], int(known[2]))
        if url.path == "/api/tasks":
            return self._page({name: values[0] for name, values in parse_qs(url.query).items()})
        if url.path.startswith("/api/predictions/"):
            return self._predictions(request)
        if url.path.startswith("/api/projects/"):
            return Reply.json({"task_number": len(self.tasks)})
        if url.path == "/api/echo":
            return Reply.json({"method": request.method, "body": json.loads(request.body)}, 201)
        return self.files.get(unquote(request.path))

    def _predictions(self, request: Request) -> Reply:
        """List the predictions of a task, store one with the task, or delete one."""
        if request.method == "DELETE":
            number = int(urlsplit(request.path).path.rstrip("/").rsplit("/", 1)[1])
            for task in self.tasks:
                kept = [one for one in task.get("predictions", []) if one.get("id") != number]  # type: ignore[attr-defined]
                task["predictions"] = kept
            return Reply(204)
        if request.method == "GET":
            wanted = int(parse_qs(urlsplit(request.path).query)["task"][0])
        else:
            wanted = json.loads(request.body)["task"]
        found = [task for task in self.tasks if task["id"] == wanted]
        if not found:
            return Reply.json({"task": ["Invalid pk - object does not exist."]}, 400)
        stored = found[0].setdefault("predictions", [])
        assert isinstance(stored, list)
        if request.method == "GET":
            return Reply.json(stored)
        self.predicted += 1
        stored.append({"id": self.predicted, **json.loads(request.body)})
        return Reply.json(stored[-1], 201)

    def _refresh(self, body: dict[str, str]) -> Reply:
        if body != {"refresh": PERSONAL_TOKEN}:
            return Reply.json({"detail": "Token is invalid", "code": "token_not_valid"}, 401)
        self.access_tokens.append(web_token(iat=1000, exp=1300, jti=len(self.access_tokens)))
        return Reply.json({"access": self.access_tokens[-1]})

    def _is_known(self, authorization: str | None) -> bool:
        good = [f"Bearer {token}" for token in self.access_tokens[-1:]]
        return authorization in good + [f"Token {LEGACY_TOKEN}"] * self.legacy_enabled

    def _page(self, query: dict[str, str]) -> Reply:
        size, page = int(query["page_size"]), int(query["page"])
        tasks = [
            task for task in self.tasks if "only_annotated" not in query or task.get("annotations", True)
        ]
        selected = json.loads(query.get("query", "{}")).get("selectedItems", {"all": True})
        if not selected["all"]:
            tasks = [task for task in tasks if task["id"] in selected["included"]]
        tasks = [task for task in tasks if str(task.get("project", query["project"])) == query["project"]]
        total, tasks = len(tasks), tasks[(page - 1) * size : page * size]
        if page > 1 and not tasks:
            return Reply.json({"detail": "Invalid page."}, 404)
        return Reply.json({"tasks": tasks, "total": total})

    def _change_config(self, project: int, body: dict[str, str]) -> Reply:
        self.configs[project] = body["label_config"]
        return Reply.json({"id": project, **body})

    def _annotate(self, number: int, body: dict[str, object]) -> Reply:
        """Store an annotation with its task."""
        found = [task for task in self.tasks if task["id"] == number]
        if not found:
            return Reply.json({"detail": "Not found."}, 404)
        stored = found[0].setdefault("annotations", [])
        assert isinstance(stored, list)
        made = {"id": 1000 + number, "completed_by": 1, "updated_at": self.created_at, **body}
        stored.append(made)
        return Reply.json(made, 201)

    def _annotation(self, number: int) -> Reply:
        for task in self.tasks:
            annotations = task.get("annotations") or []
            assert isinstance(annotations, list)
            for one in annotations:
                if one["id"] == number:
                    return Reply.json({**one, "task": task["id"]})
        return Reply.json({"detail": "Not found."}, 404)

    def _one(self, kind: str, number: int) -> Reply:
        projects = [
            {
                "id": project,
                "created_at": self.created_at,
                "label_config": self.configs.get(project, ""),
            }
            for project in self.projects
        ]
        found = self.tasks if kind == "tasks" else projects
        return next(
            (Reply.json(one) for one in found if one["id"] == number),
            Reply.json({"detail": "Not found."}, 404),
        )
