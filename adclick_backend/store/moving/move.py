"""A data folder moved into a database and an object store: begun once, gone on with as often as need be, checked."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from adclick_backend.lock_file import try_lock
from adclick_backend.store import Store
from adclick_backend.store.backups import DATABASE, copy_database
from adclick_backend.store.database import Database
from adclick_backend.store.files import ObjectFiles
from adclick_backend.store.moving.contents import Digest, Moved, ProjectContents, contents_of
from adclick_backend.store.moving.rows import MOVE, check_table, copy_rows, is_empty
from adclick_backend.store.shelves import SHELF, ShelfState
from adclick_backend.store.sqlite import SqliteDatabase
from adclick_backend.store.tables import METADATA

LOCKS = ("jobs", "references")
"""Names of the locks of which a backend that runs holds one at least."""


class MoveError(RuntimeError):
    """The folder cannot be moved, or not there; the message says why and what to do."""


def move(data_dir: Path, target: Store, files: ObjectFiles, say: Callable[[str], object]) -> None:
    """Copy a data folder, and see at the end that all of it is there; the folder is only read.

    Whatever ends this before its end, it goes on when it is called again. What is there already, and equal, stays.

    Args:
        data_dir: of a backend that does not run.
        target: of the database; empty, or begun to be moved into from the same folder.
        files: the same.
        say: told what is being done, and what was found at the end, in sentences.

    Raises:
        MoveError: it cannot be moved there, or what arrived is not what was sent.
        DiskError, OSError: the database or the store cannot be used now.
    """
    with _nobody_in(data_dir), _nobody_at(target), _copy_of(data_dir) as source:
        if _begin(data_dir, target, files):
            say("It was moved already; what is there is compared.")
        else:
            say("Copying the rows of the database.")
            for table in METADATA.sorted_tables:
                copy_rows(source, target.database, table)
            for contents in contents_of(data_dir):
                say(f"Copying the {len(contents.files)} files of project {contents.project}.")
                _copy(contents, target, files)
        wrong = [*_check_rows(source, target.database, say), *_check_files(data_dir, target, files, say)]
        if wrong:
            raise MoveError(
                f"{len(wrong)} things are not the same there, such as {'; '.join(wrong[:3])}. "
                "When a backend has served from there since, that is why; else run the same command again."
            )
        target.values.set("", MOVE, json.dumps({"of": _name_of(data_dir), "state": "done"}))


def unfinished(target: Store) -> str:
    """Why a backend must not serve from a database yet, as a sentence; "" when it may."""
    begun = json.loads(target.values.get("", MOVE) or "{}")
    if begun.get("state") != "begun":
        return ""
    return (
        f"The data folder {begun['of']} is being moved into this database and is not there as a whole: run adclick "
        "move-data again until it says that everything is there, then start the backend."
    )


def _begin(data_dir: Path, target: Store, files: ObjectFiles) -> bool:
    """Write down that the move begins, if it does; whether it was over already."""
    files.check()
    text, own = target.values.get("", MOVE), _name_of(data_dir)
    if text is None:
        if not is_empty(target.database):
            raise MoveError(
                "The database holds other data, and nothing was changed. Name an empty one, such as createdb makes."
            )
        if not files.is_empty():
            raise MoveError(
                "The object store holds other files under that prefix, and nothing was changed. Name another prefix."
            )
        target.values.set("", MOVE, json.dumps({"of": own, "state": "begun"}))
        return False
    told = json.loads(text)
    if told["of"] != own:
        raise MoveError(
            f"Another data folder, {told['of']}, was moved into that database or begins to be, and nothing was "
            "changed. Name an empty one."
        )
    return bool(told["state"] == "done")


def _copy(contents: ProjectContents, target: Store, files: ObjectFiles) -> None:
    """Bring the files of one project, and the notes on its versions, in line."""
    there = files.inventory(f"projects/{contents.project}")
    for one in contents.files:
        if not _is_same(one.digest(), there.pop(one.name, None)):
            files.upload(one.name, one.data if one.path is None else one.path)
    for name in there:  # of an earlier attempt, after which the folder changed
        files.delete(name)
    target.values.set(contents.project, SHELF, _text(contents.state))


def _is_same(sent: Digest, arrived: tuple[int, str] | None) -> bool:
    return arrived == (sent.size, sent.md5)


def _check_rows(source: Database, target: Database, say: Callable[[str], object]) -> Iterator[str]:
    """Compare every table, by the number of rows and a hash of them; what is not the same, in words."""
    for table in METADATA.sorted_tables:
        sent, arrived = check_table(source, table), check_table(target, table)
        same = "equal" if sent == arrived else "NOT EQUAL"
        say(f"{table.name}: {sent.rows} rows here, {arrived.rows} there, {arrived.digest[:16]}: {same}")
        if sent != arrived:
            yield f"table {table.name}"


def _check_files(
    data_dir: Path, target: Store, files: ObjectFiles, say: Callable[[str], object]
) -> Iterator[str]:
    """Compare every file by size and hash, and the notes on versions; what is not the same, in words."""
    count, size, digest = 0, 0, hashlib.sha256()
    for contents in contents_of(data_dir):
        there = files.inventory(f"projects/{contents.project}")
        for one in contents.files:
            sent = one.digest()
            if not _has_arrived(one, sent, there.pop(one.name, None), files):
                yield one.name
            count, size = count + 1, size + sent.size
            digest.update(f"{one.name} {sent.size} {sent.sha256}\n".encode())
        yield from (f"{name}, which is not here" for name in there)
        if target.values.get(contents.project, SHELF) != _text(contents.state):
            yield f"the notes on the versions of project {contents.project}"
        if contents.left:
            say(
                f"Project {contents.project}: {', '.join(contents.left)} is nothing of ADClick's and stays here."
            )
    say(f"files: {count} with {size / 1e6:.1f} MB, {digest.hexdigest()[:16]}")


def _has_arrived(one: Moved, sent: Digest, arrived: tuple[int, str] | None, files: ObjectFiles) -> bool:
    """Whether an object holds what a file holds; read again where its ETag is no MD5."""
    if _is_same(sent, arrived):
        return True
    if arrived is None or arrived[0] != sent.size or _is_md5(arrived[1]):
        return False
    return files.sha256(one.name) == sent.sha256


def _is_md5(etag: str) -> bool:
    return len(etag) == 32 and all(sign in "0123456789abcdef" for sign in etag)


def _text(state: ShelfState) -> str:
    return json.dumps(state, ensure_ascii=False, sort_keys=True)


def _name_of(data_dir: Path) -> str:
    return f"{data_dir.resolve()} on {socket.gethostname()}"


@contextmanager
def _copy_of(data_dir: Path) -> Iterator[Database]:
    """The database of the folder as it is now, in this release's schema; the one in the folder is only read."""
    source = data_dir / DATABASE
    if not source.is_file():
        raise MoveError(f"There is no database {source}; set ADCLICK_DATA_DIR, or give --data-dir.")
    with tempfile.TemporaryDirectory(prefix="adclick-move-") as folder:
        if source.with_name(f"{DATABASE}-wal").exists():
            copy_database(source, Path(folder) / DATABASE)
        else:  # nobody has it open; SQLite would lay files beside it to read it
            shutil.copyfile(source, Path(folder) / DATABASE)
        with closing(SqliteDatabase(Path(folder) / DATABASE)) as database:
            yield database


@contextmanager
def _nobody_in(data_dir: Path) -> Iterator[None]:
    """Hold the locks that a backend with the folder would hold; nothing is made in it."""
    with ExitStack() as held:
        for name in LOCKS:
            path = data_dir / f"{name}.lock"
            if path.exists() and not try_lock(held.enter_context(path.open())):
                raise MoveError(
                    f"A backend is running with the data folder {data_dir}, and nothing was changed. Stop it first."
                )
        yield


@contextmanager
def _nobody_at(target: Store) -> Iterator[None]:
    """Hold the locks that a backend with the database would hold."""
    with ExitStack() as held:
        for name in LOCKS:
            lock = target.locks.try_hold(name)
            if lock is None:
                raise MoveError(
                    "A backend is running with that database, or another move, and nothing was changed. Stop it first."
                )
            held.callback(lock.release)
        yield
