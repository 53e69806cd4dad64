"""Label Studio as far as a project is connected to a backend, on loopback."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.helpers.local_server import LocalServer, Reply, Request


class FakeProjects(LocalServer):
    """The part of Label Studio's API that connecting uses, with switches for what can go wrong."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.projects: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] = []
        self.webhooks: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = [{"id": 7, "data": {"image": "/data/upload/1/a.png"}}]
        self.refusal: tuple[int, dict[str, Any]] | None = None  # of saving a model
        self.webhook_refusal: tuple[int, dict[str, Any]] | None = None
        self.state = "CO"
        self.answer: dict[str, Any] = {"data": {"result": [{"id": "mask"}], "score": 0.9}}
        self.clicks: list[dict[str, Any]] = []
        self.config_refusal: tuple[int, dict[str, Any]] | None = None

    def _answer(self, request: Request) -> Reply:
        parts = urlsplit(request.path)
        body = json.loads(request.body) if request.body else None
        status, answer = self.reply(request.method, parts.path, parse_qs(parts.query), body)
        return Reply.json(answer, status)

    def add_project(self, config: str) -> int:
        project = {"id": len(self.projects) + 1, "title": "Flanges", "label_config": config}
        self.projects.append(project)
        return int(project["id"])

    def reply(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")[1:]
        match method, parts:
            case "GET", ["current-user", "whoami"]:
                return 200, {"id": 1, "email": "engineer@example.com"}
            case "GET", ["projects"]:
                found = [row for row in self.projects if query["title"][0] in row["title"]]
                return 200, {"count": len(found), "results": found}
            case "GET", ["projects", number]:
                found = [row for row in self.projects if row["id"] == int(number)]
                return (200, found[0]) if found else (404, {"detail": "No Project matches the given query."})
            case "PATCH", ["projects", number]:
                return self.config_refusal or self._save_config(int(number), body)
            case "POST", ["projects"]:
                self.projects.append({"id": len(self.projects) + 1, **body})
                return 201, self.projects[-1]
            case "GET", ["ml"]:
                return 200, [row for row in self.models if str(row["project"]) == query["project"][0]]
            case "POST" | "PATCH", ["ml", *number] if (
                self.refusal is None and "interactive-annotating" not in number
            ):
                return self._save_model(int(number[0]) if number else 0, body)
            case "POST", ["ml", _, "interactive-annotating"]:
                self.clicks.append(body)
                return 200, self.answer
            case "POST" | "PATCH", ["ml", *_] if self.refusal is not None:
                return self.refusal
            case "GET", ["webhooks"]:
                return 200, self.webhooks
            case "POST", ["webhooks"]:
                return self.webhook_refusal or self._save_webhook(body)
            case "PATCH", ["webhooks", number]:
                (hook,) = [row for row in self.webhooks if row["id"] == int(number)]
                hook.update({"actions": [], **body})  # as Label Studio does
                return 200, hook
            case "GET", ["tasks"]:
                return 200, {"tasks": self.tasks, "total": len(self.tasks)}
        return 404, {"detail": f"{method} {path} is not faked"}

    def _save_config(self, number: int, body: dict[str, Any]) -> tuple[int, Any]:
        (project,) = [row for row in self.projects if row["id"] == number]
        project.update(body)
        return 200, project

    def _save_model(self, number: int, body: dict[str, Any]) -> tuple[int, Any]:
        shown = {"state": self.state, "error_message": None, "model_version": "adclick-lite-1"}
        if number:
            (model,) = [row for row in self.models if row["id"] == number]
            model.update(body)
            return 200, model
        self.models.append({"id": len(self.models) + 1, **body, **shown})
        if self.webhook_refusal is None:
            self._save_webhook({"project": body["project"], "url": body["url"] + "/webhook"})
        return 201, self.models[-1]

    def _save_webhook(self, body: dict[str, Any]) -> tuple[int, Any]:
        shown = {"id": len(self.webhooks) + 1, "is_active": True, "headers": {}, "actions": []}
        self.webhooks.append({**shown, **body})
        return 201, self.webhooks[-1]
