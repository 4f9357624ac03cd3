"""A PostgreSQL server for tests, on a socket in a folder of its own, where PostgreSQL and psycopg are installed."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

TEST_DATABASE = "NEEDLE_TEST_DATABASE"  # the URL of a database in which tests that keep rows keep them


def _program(name: str) -> str | None:
    """Debian keeps these beside the path."""
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True))]
    return next((each for each in found if each), None)


@contextmanager
def postgres() -> Iterator["Postgres"]:
    """A server that runs. Skips the test where there can be none."""
    pytest.importorskip("psycopg")
    if _program("initdb") is None or _program("postgres") is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="needle-pg-"))
    user = "nobody" if os.getuid() == 0 else None  # PostgreSQL does not run as root
    if user:
        shutil.chown(folder, user)
    server = Postgres(folder, user)
    try:
        how = ("--auth=trust", "--username=needle", "--no-sync", "--encoding=UTF8")
        try:
            server.run("initdb", *how, "--pgdata", folder / "data")
            server.start()
        except (OSError, subprocess.CalledProcessError) as problem:
            pytest.skip(f"PostgreSQL does not run here: {problem}")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """A server in a folder; `url` is its database."""

    def __init__(self, folder: Path, user: str | None):
        self.folder, self.user = folder, user
        self.url = f"postgresql://needle@/postgres?host={quote(str(folder))}"

    def run(self, program: str, *arguments: object) -> None:
        command = [str(_program(program)), *map(str, arguments)]
        subprocess.run(command, user=self.user, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        where = ("--pgdata", self.folder / "data", "--log", self.folder / "log")
        self.run("pg_ctl", "start", "--wait", *where, "--options", options)

    def stop(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.run("pg_ctl", "stop", "--wait", "--mode=immediate", "--pgdata", self.folder / "data")


def fresh(url: str) -> str:
    """The URL of a schema in the database at `url` in which there is nothing yet."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{url}&options={quote(f'-csearch_path={name}')}"
