"""Everything that requests share, put together in one place."""

from __future__ import annotations

import logging
import os
import threading
from functools import lru_cache

from adclick_backend.answers.clicker import Clicker
from adclick_backend.answers.held_back import HeldBackImages
from adclick_backend.answers.keeper import AnswerKeeper
from adclick_backend.answers.proposer import Proposer
from adclick_backend.answers.reliability import Reliabilities
from adclick_backend.answers.segmenter import Segmenter
from adclick_backend.answers.trying import Trier
from adclick_backend.clicks.memory import ClickMemory
from adclick_backend.clicks.traffic import ClickTraffic
from adclick_backend.engine.bank import EngineError
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.prewarm import Prewarmer
from adclick_backend.images.connections import Connections, LinkChecker
from adclick_backend.jobs.queue import Jobs
from adclick_backend.labels.mirror import Labels
from adclick_backend.prompts.phrases import Prompts
from adclick_backend.protocol.registration import Registration
from adclick_backend.protocol.webhook_secret import WebhookSecret
from adclick_backend.references.check import BankCheck
from adclick_backend.references.collection import References
from adclick_backend.references.intake import ReferenceIntake
from adclick_backend.references.keeper import ReferenceKeeper
from adclick_backend.references.messages import Messages
from adclick_backend.references.reading_back import ReadBack
from adclick_backend.references.syncing import LabelSyncs
from adclick_backend.settings import Settings, get_settings
from adclick_backend.store import DATABASE_ERRORS, DiskError, Store
from adclick_backend.store.clicked_objects import ClickedInFile, ClickedObjects
from adclick_backend.store.expected_clicks import ExpectedClicks
from adclick_backend.store.files import open_files
from adclick_backend.store.shelves import open_shelf
from adclick_backend.store.thresholds import Thresholds
from adclick_backend.store.versions import Registry
from adclick_backend.telemetry import Telemetry

log = logging.getLogger(__name__)


class Services:
    """The parts of the backend, each knowing only those it needs. One instance for each process.

    Args:
        settings: of the backend.
        engine: the model; one from the settings by default.
    """

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        self.settings = settings
        self.store = Store(settings.data_dir, settings.database_url)
        self.locks = self.store.locks
        self.files = open_files(settings)
        self.store.disk.try_files = self.files.check
        self.store.projects.all()  # known tokens are to be kept out of the log from the first line on
        self.engine = engine or Engine(settings)
        if self.store.database.shared:
            self.engine.share(self.store.values)
        self.telemetry = Telemetry(self.store, settings.prometheus_multiproc_dir)
        self.connections = Connections(settings, self.store)
        self.webhook_secret = WebhookSecret(self.store)
        self.references = References(self.store, settings)
        self.prompts = Prompts(settings, self.store)
        self.registry = Registry(
            settings.data_dir,
            self.engine.version,
            shared=lambda: self.engine.shared_detector.named,
            shelf=open_shelf(settings, self.store.values, self.locks),
        )
        self.thresholds = Thresholds(self.registry)
        self.registration = Registration(self.store, self.registry, self.webhook_secret)
        self.links = LinkChecker(settings, self.connections, self.registration.state)
        self.jobs = Jobs(self.store, settings)
        self.answers = AnswerKeeper(self.store)
        self.labels = Labels(settings, self.store, self.jobs.count_label)
        self.memory = ClickMemory(self._clicked_objects(), max_clicks=settings.max_clicks)
        self.segmenter = Segmenter(
            self.connections, self.references, self.prompts, self.engine, self.telemetry
        )
        self.clicker = Clicker(self.segmenter, self.registry, self.engine.version)
        self.held_back = HeldBackImages(self.store, self.references, self.registry, self.engine)
        self.reliabilities = Reliabilities(self.store, self.held_back)
        self.proposer = Proposer(
            settings,
            self.segmenter,
            self.registry,
            self.labels.vocabulary,
            self.reliabilities,
            self.store,
            self.references.product_of,
        )
        self.traffic = ClickTraffic()
        self.trier = Trier(
            settings=settings,
            store=self.store,
            engine=self.engine,
            registry=self.registry,
            proposer=self.proposer,
            references=self.references,
            labels=self.labels,
            connections=self.connections,
            traffic=self.traffic,
        )
        self.prewarmer = Prewarmer(on_change=self.telemetry.waiting.set)
        self.syncs = LabelSyncs(
            self.store,
            self.labels,
            self.references,
            self.connections,
            on_change=lambda: self.keeper.wake(),
            give_way=self.traffic.give_way,
        )
        read_back = ReadBack(self.store, self.labels, self.references, self.connections, self.syncs)
        self.messages = Messages(
            self.store,
            self.labels,
            self.references,
            read_back,
            can_read_back=self.can_read_back,
            flush=self.answers.flush,
            report=self.report,
        )
        self.keeper = ReferenceKeeper(
            store=self.store,
            references=self.references,
            intake=ReferenceIntake(
                settings, self.store, self.references, self.labels, self.connections, self.engine
            ),
            read_back=read_back,
            check=BankCheck(self.store, self.engine),
            measure=self.held_back.step,
            syncs=self.syncs,
            engine=self.engine,
            give_way=self.traffic.give_way,
            is_quiet=self.traffic.is_quiet,
            locks=self.locks,
            files=self.files,
        )
        self.store.disk.on_recovery += [self.answers.write_down, self.syncs.plan_missed]
        self.draining = False
        """Whether the server is ending: what was asked is answered, and nothing new is wanted."""
        self._started_in = 0

    @property
    def can_read_back(self) -> bool:
        """Whether what a webhook says can be checked with Label Studio."""
        return bool(self.settings.label_studio_url and self.settings.label_studio_api_key)

    def start(self) -> None:
        """Start the background threads, once in each process: threads do not come along through a fork."""
        if self._started_in == os.getpid():
            return
        self._started_in = os.getpid()
        self.store.disk.watch = True
        if self.store.database.shared:
            self.engine.expected.shared = ExpectedClicks(self.store.database)
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
        self.keeper.start()
        self.jobs.start()

    def stop(self) -> None:
        """End the background threads and close the database."""
        self.jobs.stop()
        self.keeper.stop()
        self.prewarmer.stop()
        self.answers.stop()
        self.store.close()

    def unready(self) -> str:
        """Why requests are better sent to another backend now, as a sentence; "" when they are welcome here.

        One that is not ready answers whatever it can all the same.
        """
        if self.draining:
            return "This backend is being stopped; what it was asked before is answered."
        if self.engine.state == "failed":
            return self.engine.failure or "The model could not be loaded."
        if self.engine.state != "ready":
            return "The model is being loaded."
        try:
            self.store.values.get("", "ready")
        except DiskError as error:
            return str(error)
        return self.store.disk.look()

    def report(self, project: str, sentence: str, task_id: int | None = None) -> None:
        """Tell a person what went wrong, in the log and on the status page; never raises."""
        log.warning("Project %s, task %s: %s", project or "-", task_id, sentence)
        try:
            self.store.problems.add(project, sentence, task_id)
        except (*DATABASE_ERRORS, OSError):
            log.exception("The problem could not be written down")

    def miss(self, project: str, event: str, error: Exception) -> DiskError:
        """An event of Label Studio cannot be written down: say so, and read what it was about when it can.

        Label Studio does not repeat itself.
        """
        self.syncs.miss(project)
        self.report(
            project,
            f"{event[:40]} of Label Studio could not be kept. Its labels are read when the data folder can be "
            "written again; a training has to be started again.",
        )
        return self.store.disk.failed(error)

    def _clicked_objects(self) -> ClickedObjects:
        """Where the objects that are being clicked are kept: where all who answer clicks find them."""
        ttl_s = self.settings.click_memory_s
        if not self.store.database.shared:
            return ClickedInFile(self.settings.data_dir / "clicks.sqlite3", ttl_s=ttl_s)
        from adclick_backend.store.clicked_shared import ClickedInDatabase

        clicked = ClickedInDatabase(self.store.database, ttl_s=ttl_s)
        self.store.disk.on_recovery.append(clicked.give_back)
        return clicked

    def _warm_up(self) -> None:
        try:
            self.engine.warm_up()
        except EngineError as error:
            self.report("", str(error))
        except Exception:
            log.exception("The model could not be loaded")
            self.report("", "The model could not be loaded, so no click can be answered; the log says why.")


@lru_cache(maxsize=1)
def default_services() -> Services:
    """The services of this process, from the environment."""
    return Services(get_settings())
