"""What several backends share, on loopback and for as long as the tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.helpers.postgres import PostgresServer
from tests.helpers.s3 import S3Server
from tests.helpers.several_backends import SeveralBackends


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that the tests share; one that stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres_server.database()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An object store that the tests share."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def backends(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, s3: S3Server
) -> Iterator[Callable[[int], SeveralBackends]]:
    """Starts so many backends behind one URL, over a new database and a new bucket."""
    with ExitStack() as end:

        def start(count: int) -> SeveralBackends:
            settings = {"ADCLICK_DATABASE_URL": postgres_server.database(), "ADCLICK_FILES_URL": s3.bucket()}
            folder = tmp_path_factory.mktemp("backends")
            return end.enter_context(SeveralBackends(folder, count, **settings, **s3.environment))

        yield start
