"""The tables in PostgreSQL do what they do in SQLite: the same tests, and the same layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from adclick_backend.store import Store
from adclick_backend.store.removal import take_away
from adclick_backend.store.tables import METADATA
from tests.adclick_backend.images.test_white_points import (  # noqa: F401  (pytest finds them here)
    test_a_brighter_reference_says_so_and_the_bank_is_prepared_again,
    test_a_reference_that_is_put_back_is_measured_again,
    test_it_stays_as_long_as_the_references_stay,
    test_other_products_keep_theirs,
    test_references_decide,
)
from tests.adclick_backend.store.test_migrations import check_it_works
from tests.adclick_backend.store.test_store import (  # noqa: F401
    test_a_bank_holds_each_ready_image_once,
    test_a_check_that_was_asked_for_again_is_still_to_do,
    test_a_deletion_heard_after_label_studio_was_asked_stays,
    test_a_failed_transaction_leaves_nothing_behind,
    test_a_file_that_is_handed_in_twice_is_one_reference,
    test_a_reference_that_was_removed_meanwhile_stays_removed,
    test_an_annotation_makes_one_reference_however_often_it_is_told,
    test_another_model_version_encodes_again,
    test_deleted_labels_can_be_brought_back_for_a_month,
    test_following_some_tasks_leaves_the_references_of_others,
    test_problems_are_counted_and_the_oldest_given_up,
    test_saying_the_same_again_writes_nothing,
    test_threads_can_write_at_the_same_time,
    test_too_many_checks_are_none_and_say_so,
    test_values_belong_to_one_project,
    test_what_is_told_late_does_not_count,
    test_what_label_studio_says_now_outranks_every_mark,
    told,
)

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(tmp_path: Path, postgres: str) -> Iterator[Store]:
    store = Store(tmp_path, postgres)
    yield store
    store.close()


def test_every_table_takes_rows(store: Store) -> None:
    check_it_works(store)


def test_texts_come_in_the_order_of_their_bytes_and_without_nul(store: Store) -> None:
    for label in ("b", "B", "a", "_", "Ä", "z\0z"):
        store.prompts.add("1", label, ["a phrase"], "person")
    assert store.prompts.labels("1") == ["B", "_", "a", "b", "z\N{REPLACEMENT CHARACTER}z", "Ä"]


def test_more_ids_than_a_statement_takes(store: Store) -> None:
    """A message that names a hundred thousand annotations, most of them unknown."""
    assert told(store, 70_000, 5.0, task=3)
    many = range(1, 100_001)
    assert store.annotations.tasks_of("1", many) == [3]
    assert store.annotations.known_tasks("1", many) == [3]
    assert not store.annotations.are_known("1", many)
    assert store.annotations.are_known("1", [70_000])


def test_the_tables_that_statements_are_about_are_those_of_the_server(store: Store) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []


def test_a_removed_project_leaves_no_row(store: Store) -> None:
    check_it_works(store)
    store.values.set("1", "key", "of another project")
    take_away(store.database, store.data_dir, "9")
    with store.database.read() as connection:
        left = [
            table.name
            for table in METADATA.sorted_tables
            if "project" in table.c
            and connection.execute(select(table.c.project).where(table.c.project == "9")).first()
        ]
    assert (left, store.projects.all()) == ([], [])
    assert store.values.get("1", "key") == "of another project"
