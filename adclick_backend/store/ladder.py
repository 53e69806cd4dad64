"""The way of a SQLite file up to today's schema, whatever schema it has.

It is spelled out here, as Alembic, which brings PostgreSQL there, takes the better part of a second to begin.
"""

from __future__ import annotations

import sqlite3

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
    (
        # What several machines share: which of them runs a job, what is being clicked, and where clicks are expected.
        "ALTER TABLE jobs ADD COLUMN host TEXT NOT NULL DEFAULT ''",
        """CREATE TABLE clicked_objects (
            project TEXT NOT NULL,
            task TEXT NOT NULL,
            region_id TEXT NOT NULL,
            state TEXT NOT NULL,
            bbox TEXT NOT NULL,
            touched REAL NOT NULL,
            answered REAL,
            turn INTEGER NOT NULL,
            host TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (project, task, region_id)
        ) WITHOUT ROWID""",
        "CREATE INDEX clicked_objects_to_forget ON clicked_objects (touched)",
        """CREATE TABLE expected_clicks (
            project TEXT NOT NULL,
            image TEXT NOT NULL,
            bank TEXT NOT NULL,
            windows TEXT NOT NULL,
            noted REAL NOT NULL,
            PRIMARY KEY (project, image, bank)
        ) WITHOUT ROWID""",
        "CREATE INDEX expected_clicks_to_forget ON expected_clicks (noted)",
    ),
)


def climb(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from an earlier schema to the last of `MIGRATIONS`; inside a transaction of the caller."""
    if version >= 2:
        _replace_draft(connection)
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    if version < len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _replace_draft(connection: sqlite3.Connection) -> None:
    """Bring a file that a draft of the second migration made to what that migration became.

    The draft was the newest source for half an hour on 24 November 2026. Nothing wrote to its ``answers`` and
    ``labelled_tasks`` then, and nothing could since: they lack columns.
    """
    if is_whole(connection):
        return
    # The draft's other tables, jobs and prompts, are those of the finished migration.
    for statement in ("DROP TABLE answers", "DROP TABLE labelled_tasks", *MIGRATIONS[1][:6]):
        connection.execute(statement)


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether a file has what the second migration makes, and not what a draft of it made."""
    columns = [row[1] for row in connection.execute("PRAGMA table_info(annotation_revisions)")]
    return "task_id" in columns
