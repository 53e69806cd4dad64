"""``adclick connect``: connect a Label Studio project to the backend, and check both directions.

May be repeated: what is already as it should be is left alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import requests

from adclick_backend.commands.connect_advice import explain
from adclick_backend.config.alike_labels import ENDINGS, Regions
from adclick_backend.config.all_alike import with_all_alike
from adclick_backend.config.difference import difference
from adclick_backend.config.labeling_config import (
    LabelingConfig,
    parse_labeling_config,
    recommended_config,
    summary_sentence,
)
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.label_studio.webhooks import SECRET_HEADER, register_webhook
from adclick_backend.protocol.webhook_secret import secret_in
from adclick_backend.settings import get_settings

TITLE = "ADClick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``adclick connect``."""
    parser.add_argument("--label-studio", metavar="URL", help="where Label Studio is (LABEL_STUDIO_URL)")
    parser.add_argument("--api-key", metavar="KEY", help="a personal access token (LABEL_STUDIO_API_KEY)")
    parser.add_argument("--backend", metavar="URL", help="the backend as Label Studio reaches it")
    project = parser.add_mutually_exclusive_group(required=True)
    project.add_argument("--project", type=int, metavar="ID", help="connect this project")
    project.add_argument("--create", metavar="NAME", help="create a project with the recommended config")
    parser.add_argument(
        "--label",
        action="append",
        metavar="NAME",
        help="a defect type of the project to create; may be repeated (default: defect)",
    )
    parser.add_argument(
        "--fix-config",
        action="store_true",
        help="write the corrected labeling config into Label Studio, or today's in the place of a former one",
    )
    parser.add_argument(
        "--all-alike",
        nargs="?",
        const="all",
        choices=list(ENDINGS),
        help="add to the key points a label of each defect with which one click marks all places that look alike, "
        "as one region (all, the default) or a region each (each)",
    )
    parser.add_argument("--basic-auth", metavar="USER:PASSWORD", help="when the backend asks for them")


def run(args: argparse.Namespace) -> int:
    """Connect and check; returns 0 when a click in Label Studio will be answered, 1 when it will not."""
    settings = get_settings()
    url = args.label_studio or settings.label_studio_url
    key = args.api_key or settings.label_studio_api_key
    if not url or not key:
        print("Give --label-studio URL and --api-key KEY, or set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
        return 2
    backend = (args.backend or f"http://localhost:{settings.port}").rstrip("/")
    wizard = Wizard(LabelStudio(url, key), backend, args.basic_auth or "", fix_config=args.fix_config)
    wizard.all_alike = args.all_alike
    try:
        user = wizard.api.check()
        print(f"Label Studio at {wizard.api.url}, as {user['email']}")
        project = wizard.create(args.create, args.label) if args.create else wizard.find(args.project)
        print(f'Project {project["id"]} "{project["title"]}": {wizard.api.url}/projects/{project["id"]}')
        return wizard.connect(project)
    except LabelStudioError as error:
        wizard.bad(str(error))
        return 1


class Wizard:
    """Connects projects of one Label Studio to one backend, saying aloud what it finds.

    Args:
        api: Label Studio, with a key.
        backend: URL of the backend as Label Studio reaches it, without a slash at the end.
        basic_auth: ``user:password`` of the backend, "" when it asks for none.
        fix_config: write a corrected labeling config without asking; else a person at a terminal is asked.
    """

    def __init__(
        self, api: LabelStudio, backend: str, basic_auth: str = "", *, fix_config: bool = False
    ) -> None:
        self.api = api
        self.fix_config = fix_config
        self.all_alike: Regions | None = None  # labels to add that ask for all that is alike
        self.backend = backend
        self.user, _, self.password = basic_auth.partition(":")
        self.failures = 0

    def good(self, text: str) -> None:
        """Say what is as it should be."""
        _say("ok", text)

    def bad(self, text: str) -> None:
        """Say what is not, and remember it."""
        self.failures += 1
        _say("FAIL", text)

    def find(self, project: int) -> dict[str, Any]:
        """The project with that number; raises LabelStudioError when there is none."""
        found: dict[str, Any] = self.api.get(f"/api/projects/{project}")
        return found

    def create(self, title: str, labels: list[str] | None) -> dict[str, Any]:
        """The project with that title, created with the recommended config unless there is one."""
        listed = self.api.get("/api/projects", title=title, page_size=1000)["results"]
        same = [project for project in listed if project["title"] == title]
        if same:
            self.good(f'There already is a project "{title}"; it is used as it is.')
            return self.find(same[0]["id"])
        config = recommended_config(labels or ["defect"])
        created: dict[str, Any] = self.api.post("/api/projects", {"title": title, "label_config": config})
        return created

    def connect(self, project: dict[str, Any]) -> int:
        """Connect the project and check everything a click needs; returns the exit status."""
        self._check_config(project)
        if self.all_alike is not None:
            self._add_all_alike(project, self.all_alike)
        model = self._connect_model(project)
        if model:
            self._confirm(project)
            self._connect_webhook(project)
            self._check_first_interactive(project, model)
            self._check_image(project, model)
        print("Ready: open a task and click a defect." if not self.failures else "Not ready yet, see above.")
        return 1 if self.failures else 0

    def _check_config(self, project: dict[str, Any]) -> None:
        config = _parsed(project)
        if config.changes:
            self._offer_correction(project, config)
            config = _parsed(project)
        if not config.problems:
            self.good(summary_sentence(config))
        for problem in config.problems:
            self.bad(problem)
        if config.changes and config.problems:
            print(
                "Paste this under Settings > Labeling Interface > Code, or run this again with --fix-config:\n"
            )
            print(config.corrected + "\n")

    def _offer_correction(self, project: dict[str, Any], config: LabelingConfig) -> None:
        """Show what the corrected config changes, and write it if a person says so."""
        print(
            "The labeling config keeps clicks from becoming masks. Corrected, it would change so:"
            if config.problems
            else "The labeling config works. It is the one that was recommended before; today's would change it so:"
        )
        print(*(f"  * {change}" for change in config.changes), sep="\n")
        print(*(f"    {line}" for line in difference(project["label_config"], config.corrected)), sep="\n")
        if not self.fix_config and not _agrees("Write it into Label Studio? [y/N] "):
            return
        try:
            self.api.patch(f"/api/projects/{project['id']}/", {"label_config": config.corrected})
        except LabelStudioError as error:
            self.bad(f"Label Studio does not take the corrected labeling config.\n{error}")
            return
        project["label_config"] = self.find(project["id"])["label_config"]
        self.good("The corrected labeling config is written into Label Studio.")

    def _add_all_alike(self, project: dict[str, Any], regions: Regions) -> None:
        """Write the labels with which one click marks all that is alike, where they are not there yet."""
        background = get_settings().background_labels
        config, changes = with_all_alike(project["label_config"], regions, background_labels=background)
        if not changes:
            known = _parsed(project).offers_alike
            said = "The labeling config has labels that mark all that is alike."
            self.good(said) if known else self.bad(
                "Labels that mark all that is alike cannot be added: they go to key points with labels of their own."
            )
            return
        try:
            self.api.patch(f"/api/projects/{project['id']}/", {"label_config": config})
        except LabelStudioError as error:
            self.bad(f"Label Studio does not take the labels that mark all that is alike.\n{error}")
            return
        project["label_config"] = self.find(project["id"])["label_config"]
        self.good("\n".join(changes))

    def _connect_model(self, project: dict[str, Any]) -> dict[str, Any] | None:
        """Make the backend an interactive model of the project; None when Label Studio refuses it."""
        known = [model for model in self._models(project) if model["url"].rstrip("/") == self.backend]
        wish: dict[str, Any] = {
            "url": self.backend,
            "project": project["id"],
            "title": known[0]["title"] if known else TITLE,
            "is_interactive": True,
        }
        if self.user:
            wish |= {
                "auth_method": "BASIC_AUTH",
                "basic_auth_user": self.user,
                "basic_auth_pass": self.password,
            }
        try:
            # Also when it is already connected: only while saving does Label Studio say what is wrong.
            model = (
                self.api.patch(f"/api/ml/{known[0]['id']}", wish) if known else self.api.post("/api/ml", wish)
            )
        except LabelStudioError as error:
            self.bad(explain(str(error), self.backend, answers_here=self._answers_here()))
            return None
        (now,) = [row for row in self._models(project) if row["id"] == model["id"]]
        if now["state"] in ("DI", "ER"):
            self.bad(
                explain(now["error_message"] or "timed out", self.backend, answers_here=self._answers_here())
            )
            return None
        self.good(
            f"Label Studio reaches the backend at {self.backend} (model version {now['model_version']})."
        )
        return dict(now)

    def _confirm(self, project: dict[str, Any]) -> None:
        """Tell the backend that this Label Studio is ours, so that it may fetch from there.

        Where it cannot be reached from here, the click at the end shows whether it knows that already.
        """
        auth = (self.user, self.password) if self.user else None
        try:
            answer = requests.post(
                f"{self.backend}/confirm", json={"project": project["id"]}, auth=auth, timeout=5
            )
            if answer.status_code == 403:
                self.bad(answer.json()["error"]["message"])
        except (requests.RequestException, ValueError, KeyError):
            return

    def _connect_webhook(self, project: dict[str, Any]) -> None:
        """Submitted annotations must reach the backend, and carry its secret, so that they can be told from others."""
        secret, why = self._find_secret()
        try:
            before = register_webhook(self.api, project["id"], self.backend, secret)
        except LabelStudioError as error:
            self.bad(explain(str(error), self.backend, answers_here=self._answers_here()))
            return
        now = "now tells" if before == "missing" else "tells"
        if secret:
            changed = {"bare": ": it was added to the webhook", "other": ": the webhook had another one"}
            self.good(
                f"Label Studio {now} the backend about submitted annotations, with the backend's secret"
                f"{changed.get(before, '')}."
            )
            return
        self.good(f"Label Studio {now} the backend about submitted annotations.")
        if before in ("bare", "missing"):
            _say(
                "note",
                "Without the backend's secret, as anybody could. While the backend cannot read Label Studio\n"
                "(LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY), such messages add labels, and delete or replace none.\n"
                f"The secret was not had: {why}",
            )

    def _find_secret(self) -> tuple[str, str]:
        """The secret of the backend, or "" and why it cannot be had.

        It lies in the data folder, if that is here; and the backend gives it to whoever has the password.
        """
        settings = get_settings()
        here = secret_in(settings.data_dir, settings.database_url)
        password = (self.user, self.password) if self.user or self.password else None
        why = ""
        for url in dict.fromkeys((self.backend, f"http://localhost:{settings.port}")):
            try:
                answer = requests.get(
                    f"{url}/webhook/secret",
                    headers={SECRET_HEADER: here},
                    auth=password,
                    timeout=3,
                    allow_redirects=False,
                )
                body = answer.json()
                if answer.ok:
                    return str(body["secret"]), ""
                why = why or str(body["error"]["message"])
            except (requests.RequestException, ValueError, KeyError, TypeError):
                continue
        return "", why or f"{self.backend} does not answer this machine."

    def _check_first_interactive(self, project: dict[str, Any], model: dict[str, Any]) -> None:
        first = next(row for row in self._models(project) if row["is_interactive"])
        if first["id"] != model["id"]:
            self.bad(
                f'Clicks go to the first interactive model of a project, and that is "{first["title"]}" at\n'
                f"{first['url']}. Switch its interactive preannotations off under Settings > Model."
            )

    def _check_image(self, project: dict[str, Any], model: dict[str, Any]) -> None:
        """Let Label Studio send a click, as its editor would.

        On the newest task: the backend remembers a click for some minutes, and a person begins with the oldest.
        """
        newest = json.dumps({"ordering": ["-tasks:id"]})
        tasks = self.api.get("/api/tasks", project=project["id"], page_size=1, query=newest)["tasks"]
        if not tasks:
            self.good(
                "The project has no image yet. Import some and run this again to check that they can be read."
            )
            return
        image = _parsed(project).main
        if not image.can_click or not image.click_labels:
            return
        # The editor sends points in percent of the image, so its size does not matter here.
        body = {
            "task": tasks[0]["id"],
            "context": {"result": [_click(image.click_name, image.click_labels[0], image.name)]},
        }
        answer = self.api.post(f"/api/ml/{model['id']}/interactive-annotating", body)
        errors = answer.get("errors") or []
        if errors:
            self.bad(explain(" ".join(map(str, errors)), self.backend, answers_here=self._answers_here()))
        elif not answer["data"]["result"]:
            self.bad(
                f"The backend could not answer a click on task {tasks[0]['id']}; {self.backend} says why."
            )
        else:
            self.good(f"The backend reads the project's images (asked for task {tasks[0]['id']}).")

    def _models(self, project: dict[str, Any]) -> list[dict[str, Any]]:
        models: list[dict[str, Any]] = self.api.get("/api/ml", project=project["id"])
        return models

    def _answers_here(self) -> bool:
        try:
            return requests.get(f"{self.backend}/health", timeout=3).ok
        except requests.RequestException:
            return False


def _parsed(project: dict[str, Any]) -> LabelingConfig:
    return parse_labeling_config(project["label_config"], background_labels=get_settings().background_labels)


def _agrees(question: str) -> bool:
    """What a person at the terminal answers; no when there is none."""
    return sys.stdin.isatty() and input(question).strip().lower() in ("y", "yes")


def _say(verdict: str, text: str) -> None:
    first, *rest = text.splitlines()
    print(f"  {verdict:5} {first}", *(f"        {line}" for line in rest), sep="\n", flush=True)


def _click(control: str, label: str, image: str) -> dict[str, Any]:
    """A key point in the middle of an image, as the labeling editor sends it."""
    return {
        "id": "adclick-connect",
        "from_name": control,
        "to_name": image,
        "type": "keypointlabels",
        "original_width": 1000,
        "original_height": 1000,
        "image_rotation": 0,
        "value": {"x": 50.0, "y": 50.0, "width": 0.3, "keypointlabels": [label]},
        "is_positive": True,
    }
