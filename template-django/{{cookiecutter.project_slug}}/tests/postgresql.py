import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from apps.core.embedded_postgresql import embedded_url


@contextmanager
def new_postgresql_database(folder: Path) -> Iterator[str]:
    """The URL of a new database, dropped at the end: on the server that TEST_DATABASE_URL names,
    else on an embedded one that keeps its files in `folder`."""
    server = os.environ.get("TEST_DATABASE_URL") or embedded_url(folder)
    name = sql.Identifier(f"test_{uuid4().hex}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    try:
        yield urlsplit(server)._replace(path="/" + "".join(name.as_string()).strip('"')).geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
