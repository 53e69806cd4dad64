"""Connections to the SQLite file, and its schema."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adclick_backend.store.disk import Disk, DiskError, is_damage, stops_writing

KEPT_S = 30 * 86_400.0
"""So long what was deleted or taken out can be brought back."""

FARTHEST_S = 3600.0
"""Nothing is put off for longer: what is due later was so before the clock was set back, and is due now."""

# Each entry brings the file from one user_version to the next. Entries are never edited, only added: files with what
# they made exist. `tests/adclick_backend/store/test_migrations.py` holds their digests.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE projects (
            id TEXT PRIMARY KEY,
            created TEXT NOT NULL DEFAULT '',
            title TEXT NOT NULL DEFAULT '',
            hostname TEXT NOT NULL DEFAULT '',
            token TEXT NOT NULL DEFAULT '',
            label_config TEXT NOT NULL DEFAULT '',
            extra_params TEXT NOT NULL DEFAULT '',
            updated REAL NOT NULL
        )""",
        """CREATE TABLE key_values (
            project TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (project, key)
        ) WITHOUT ROWID""",
        """CREATE TABLE reference_images (
            id INTEGER PRIMARY KEY,
            project TEXT NOT NULL,
            product TEXT NOT NULL DEFAULT '',
            sha TEXT NOT NULL DEFAULT '',
            source TEXT NOT NULL,
            name TEXT NOT NULL DEFAULT '',
            url TEXT NOT NULL DEFAULT '',
            task_id INTEGER,
            annotation_id INTEGER,
            file TEXT NOT NULL DEFAULT '',
            state TEXT NOT NULL,
            reason TEXT NOT NULL DEFAULT '',
            model_version TEXT NOT NULL DEFAULT '',
            attempts INTEGER NOT NULL DEFAULT 0,
            due REAL NOT NULL DEFAULT 0,
            residual REAL,
            oddness REAL,
            added REAL NOT NULL
        )""",
        """CREATE UNIQUE INDEX reference_of_annotation ON reference_images (project, annotation_id)
            WHERE annotation_id IS NOT NULL""",
        "CREATE INDEX references_of_bank ON reference_images (project, product, state, sha)",
        "CREATE INDEX references_to_do ON reference_images (state, due)",
        """CREATE TABLE annotation_revisions (
            project TEXT NOT NULL,
            annotation_id INTEGER NOT NULL,
            changed_at REAL NOT NULL,
            deleted INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (project, annotation_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE deleted_tasks (
            project TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            PRIMARY KEY (project, task_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE annotation_checks (
            project TEXT NOT NULL,
            annotation_id INTEGER NOT NULL,
            asked REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            due REAL NOT NULL DEFAULT 0,
            PRIMARY KEY (project, annotation_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE problems (
            id INTEGER PRIMARY KEY,
            project TEXT NOT NULL,
            task_id INTEGER,
            sentence TEXT NOT NULL,
            times INTEGER NOT NULL DEFAULT 1,
            last REAL NOT NULL
        )""",
        "CREATE INDEX problems_of_project ON problems (project, last)",
    ),
    (
        # Which task an annotation is of, so that it is found when only its deletion is announced.
        "ALTER TABLE annotation_revisions ADD COLUMN task_id INTEGER",
        """UPDATE annotation_revisions SET task_id = (
            SELECT task_id FROM reference_images AS r
            WHERE r.project = annotation_revisions.project AND r.annotation_id = annotation_revisions.annotation_id
        )""",
        "CREATE INDEX revisions_of_task ON annotation_revisions (project, task_id)",
        # What was answered to the clicks of one region: kept, so that the mask can become a weak label once accepted.
        """CREATE TABLE answers (
            project TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            region TEXT NOT NULL,
            label TEXT NOT NULL,
            clicks TEXT NOT NULL,
            sha TEXT NOT NULL,
            model_version TEXT NOT NULL,
            reference_shas TEXT NOT NULL,
            height INTEGER NOT NULL,
            width INTEGER NOT NULL,
            mask BLOB NOT NULL,
            map_height INTEGER NOT NULL,
            map_width INTEGER NOT NULL,
            probability BLOB NOT NULL,
            answered REAL NOT NULL,
            accepted INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (project, task_id, region)
        )""",
        "CREATE INDEX answers_to_prune ON answers (accepted, answered)",
        """CREATE TABLE labelled_tasks (
            project TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            data TEXT NOT NULL,
            annotations TEXT NOT NULL,
            kinds TEXT NOT NULL DEFAULT '',
            url TEXT NOT NULL DEFAULT '',
            sha TEXT NOT NULL DEFAULT '',
            file TEXT NOT NULL DEFAULT '',
            problem TEXT NOT NULL DEFAULT '',
            updated REAL NOT NULL,
            PRIMARY KEY (project, task_id)
        )""",
        """CREATE TABLE jobs (
            id INTEGER PRIMARY KEY,
            project TEXT NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            trigger TEXT NOT NULL DEFAULT '',
            message TEXT NOT NULL DEFAULT '',
            progress REAL NOT NULL DEFAULT 0,
            seconds_left REAL,
            version TEXT NOT NULL DEFAULT '',
            pid INTEGER,
            heartbeat REAL,
            cancel INTEGER NOT NULL DEFAULT 0,
            created REAL NOT NULL,
            started REAL,
            ended REAL
        )""",
        """CREATE UNIQUE INDEX one_active_job ON jobs (project, kind)
            WHERE state IN ('queued', 'preparing', 'training', 'evaluating')""",
        "CREATE INDEX jobs_of_project ON jobs (project, id)",
        """CREATE TABLE prompts (
            project TEXT NOT NULL,
            label TEXT NOT NULL,
            phrase TEXT NOT NULL,
            source TEXT NOT NULL,
            valid INTEGER NOT NULL DEFAULT 1,
            added REAL NOT NULL,
            PRIMARY KEY (project, label, phrase)
        ) WITHOUT ROWID""",
    ),
    (
        # While a job runs, one more may wait: for what the running one has not seen.
        "DROP INDEX one_active_job",
        "CREATE UNIQUE INDEX one_waiting_job ON jobs (project, kind) WHERE state = 'queued'",
        """CREATE UNIQUE INDEX one_running_job ON jobs (project, kind)
            WHERE state IN ('preparing', 'training', 'evaluating')""",
    ),
    (
        # What is deleted stays for a while and can be brought back; and what Label Studio itself says now counts more
        # than what was announced before: so every word has the time at which it was heard, Unix seconds.
        "ALTER TABLE annotation_revisions ADD COLUMN heard REAL NOT NULL DEFAULT 0",
        "ALTER TABLE deleted_tasks ADD COLUMN heard REAL NOT NULL DEFAULT 0",
        "ALTER TABLE labelled_tasks ADD COLUMN deleted REAL",
        # Why nothing is learned from a task: a word for programs, and a sentence for a person.
        "ALTER TABLE labelled_tasks ADD COLUMN flag TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE labelled_tasks ADD COLUMN remark TEXT NOT NULL DEFAULT ''",
    ),
    (
        # A task may show several images, each labelled by itself; "" is the only image of a labeling config.
        """CREATE TABLE labelled_images (
            project TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            image TEXT NOT NULL DEFAULT '',
            data TEXT NOT NULL,
            annotations TEXT NOT NULL,
            kinds TEXT NOT NULL DEFAULT '',
            url TEXT NOT NULL DEFAULT '',
            sha TEXT NOT NULL DEFAULT '',
            file TEXT NOT NULL DEFAULT '',
            problem TEXT NOT NULL DEFAULT '',
            updated REAL NOT NULL,
            deleted REAL,
            flag TEXT NOT NULL DEFAULT '',
            remark TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (project, task_id, image)
        )""",
        """INSERT INTO labelled_images SELECT project, task_id, '', data, annotations, kinds, url, sha, file, problem,
            updated, deleted, flag, remark FROM labelled_tasks""",
        "DROP TABLE labelled_tasks",
        "ALTER TABLE labelled_images RENAME TO labelled_tasks",
        "DROP INDEX reference_of_annotation",
        """CREATE UNIQUE INDEX reference_of_annotation ON reference_images (project, annotation_id, product)
            WHERE annotation_id IS NOT NULL""",
    ),
    (
        # Which value of 16-bit images counts as white. What references decided on goes with the last of them; one that
        # a person took out counts as gone, though its row stays so that it can be put back.
        """CREATE TABLE white_points (
            project TEXT NOT NULL,
            product TEXT NOT NULL,
            white INTEGER NOT NULL,
            by_references INTEGER NOT NULL,
            PRIMARY KEY (project, product)
        ) WITHOUT ROWID""",
        """CREATE TRIGGER white_point_goes_with_deleted AFTER DELETE ON reference_images
            WHEN NOT EXISTS (
                SELECT 1 FROM reference_images
                WHERE project = OLD.project AND product = OLD.product AND state != 'removed'
            )
            BEGIN
                DELETE FROM white_points
                WHERE project = OLD.project AND product = OLD.product AND by_references;
            END""",
        """CREATE TRIGGER white_point_goes_with_removed AFTER UPDATE OF state ON reference_images
            WHEN NEW.state = 'removed' AND NOT EXISTS (
                SELECT 1 FROM reference_images
                WHERE project = NEW.project AND product = NEW.product AND state != 'removed'
            )
            BEGIN
                DELETE FROM white_points
                WHERE project = NEW.project AND product = NEW.product AND by_references;
            END""",
    ),
    (
        # What messages name is read from Label Studio task by task. Annotations whose task is not known are found by
        # the synchronisation that follows every start.
        """CREATE TABLE task_checks (
            project TEXT NOT NULL,
            task_id INTEGER NOT NULL,
            asked REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            due REAL NOT NULL DEFAULT 0,
            PRIMARY KEY (project, task_id)
        ) WITHOUT ROWID""",
        """INSERT INTO task_checks (project, task_id, asked)
            SELECT c.project, r.task_id, MAX(c.asked) FROM annotation_checks AS c JOIN annotation_revisions AS r
            ON r.project = c.project AND r.annotation_id = c.annotation_id
            WHERE r.task_id IS NOT NULL GROUP BY c.project, r.task_id""",
        "DROP TABLE annotation_checks",
        # Copies of images that were references until their annotation was deleted or changed: so long as that can be
        # undone, for by then Label Studio may not have the image any more.
        """CREATE TABLE former_references (
            project TEXT NOT NULL,
            url TEXT NOT NULL,
            sha TEXT NOT NULL,
            file TEXT NOT NULL,
            gone REAL NOT NULL,
            PRIMARY KEY (project, url)
        ) WITHOUT ROWID""",
        # When a person brought back what Label Studio does not have, Unix seconds: it stays until Label Studio has it.
        "ALTER TABLE labelled_tasks ADD COLUMN restored REAL",
    ),
    (
        # Who made an annotation: the number of a user of Label Studio.
        "ALTER TABLE annotation_revisions ADD COLUMN author INTEGER",
    ),
)


class StoreError(RuntimeError):
    """The database cannot be opened; the message says why and what to do."""


class Database:
    """A pool of connections to one SQLite file in write-ahead mode, which only its owner may read.

    Readers never wait for a writer. Writers queue, between threads and between processes, for at most
    `BUSY_TIMEOUT_S`. Whatever the disk is to blame for is a `DiskError`, and `disk` knows of it; a connection that had
    an error is closed, as SQLite may have opened it for reading only. One connection is never used: as long as it is
    open, the files that SQLite lays beside the database exist, and on a full disk it could not make them.

    Args:
        path: the file; its folder is made when it is not there.
        disk: told what cannot be written.
    """

    BUSY_TIMEOUT_S = 15.0

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self.disk = disk or Disk(path.parent)
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._anchor: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._inherited: list[sqlite3.Connection] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make_private(path)
            self._migrate()
            make_private(path)
        except StoreError:
            self.close()
            raise
        except (OSError, sqlite3.Error) as error:
            self.close()
            reason = (error.__cause__ or error) if isinstance(error, DiskError) else error
            if is_damage(reason):
                raise StoreError(
                    f"The database {path} is damaged ({reason}). {self.disk.advice()}".rstrip()
                ) from error
            raise StoreError(
                f"The data folder {path.parent} cannot be used ({reason}). Give the backend a folder that it "
                "may write to: set ADCLICK_DATA_DIR."
            ) from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for queries; each sees what was committed when it ran."""
        connection = None
        try:
            connection = self._take()
            yield connection
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            if stops_writing(error) or is_damage(error):
                raise self.disk.failed(error) from error
            raise
        except BaseException:
            if connection is not None:
                self._give(connection)
            raise
        else:
            self._give(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one transaction: committed at the end, rolled back when the block raises."""
        with self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite may have rolled back itself
                    with suppress(sqlite3.Error):  # the error that led here says more; `read` closes or keeps
                        connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the idle connections. A connection in use is closed by the next `close`."""
        self.refresh()
        with self._lock:
            anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()

    def refresh(self) -> None:
        """Open new connections from now on: those that there are may be for reading only."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._pid != os.getpid():
                # SQLite forbids using, even closing, a connection that came through a fork: keep it, unused.
                self._inherited += [*self._idle, *([self._anchor] if self._anchor else [])]
                self._idle, self._anchor = [], None
                self._pid = os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = self._open(str(self.path))
            with self._lock:
                if self._anchor is None:
                    self._anchor = self._open(str(self.path))
            return connection
        except sqlite3.OperationalError as error:
            if not stops_writing(error) or not self.path.is_file() or self._has_log():
                raise
            # Nobody has it open, and on a disk that cannot be written SQLite cannot even make what readers share.
            self.disk.failed(error)
            return self._open(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1")

    def _open(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            name,
            timeout=self.BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions are begun and ended by `write`, nowhere else
            check_same_thread=False,  # the pool hands a connection to one thread at a time
            uri=name.startswith("file:"),
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA schema_version")  # says now whether the file can be used
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _has_log(self) -> bool:
        """Whether there is more to read than the file itself."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size > 0
        except OSError:
            return False

    def _migrate(self) -> None:
        with self.read() as connection:
            version = self._version(connection)  # a newer file is refused before anything in it changes
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            if mode == "wal" and version == len(MIGRATIONS) and _has_task_ids(connection):
                return  # nothing is to be written, which also works on a full disk
            connection.execute("PRAGMA journal_mode = WAL")
        with (
            self.write() as connection
        ):  # several workers may start at once: the version is read inside the lock
            version = self._version(connection)
            if version >= 2:
                _replace_draft(connection)
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer ADClick (schema {version}, this one knows "
                f"{len(MIGRATIONS)}). Start that version, or set ADCLICK_DATA_DIR to another folder."
            )
        return version


def _replace_draft(connection: sqlite3.Connection) -> None:
    """Bring a file that a draft of the second migration made to what that migration became.

    The draft was the newest source for half an hour on 24 November 2026. Nothing wrote to its ``answers`` and
    ``labelled_tasks`` then, and nothing could since: they lack columns.
    """
    if _has_task_ids(connection):
        return
    # The draft's other tables, jobs and prompts, are those of the finished migration.
    for statement in ("DROP TABLE answers", "DROP TABLE labelled_tasks", *MIGRATIONS[1][:6]):
        connection.execute(statement)


def _has_task_ids(connection: sqlite3.Connection) -> bool:
    columns = [row["name"] for row in connection.execute("PRAGMA table_info(annotation_revisions)")]
    return "task_id" in columns


def make_private(path: Path) -> None:
    """Let only its owner read a database, made empty when it is not there; SQLite gives what it lays beside the same.

    A file of another owner stays as it is: then others decide who may read it. One that exists is not opened: when a
    process closes it, all locks end that SQLite holds on it for that process.
    """
    if not path.exists():
        empty = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with suppress(OSError):  # another process was quicker, or the file system knows no links
            os.link(empty, path)
        empty.unlink()
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(OSError):
            if (mode := file.stat().st_mode) & 0o077:
                file.chmod(mode & 0o700)
