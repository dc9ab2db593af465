"""A PostgreSQL server of the tests' own: in a folder of its own, on a Unix socket, as another user where the tests run as root."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

START_S = 30
_SETTINGS = {"listen_addresses": "", "max_connections": "50", "shared_buffers": "64MB", "log_min_messages": "fatal"}


def binaries() -> Path | None:
    """The newest server's folder of programs, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def why_not() -> str | None:
    """Return what is missing to run a server, None where nothing is."""
    if binaries() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.getuid() == 0 and _server_user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody"
    return None


def _server_user() -> str | None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Cluster:
    """A server that can be killed and started again. `fsync` off survives the death of its processes, not that of the machine."""

    def __init__(self, fsync: bool = False) -> None:
        folder = binaries()
        if folder is None:
            raise FileNotFoundError("PostgreSQL is not installed")
        self._bin = folder
        self._user = _server_user() if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="wattseal-pg-"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._fsync = "on" if fsync else "off"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases: set[str] = set()
        data = str(self.folder / "data")
        self._run("initdb", "--pgdata", data, "--auth", "trust", "--username", "tests", "--encoding", "UTF8", "--no-locale", "--no-sync")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, user=self._user, env={"LC_ALL": "C", "PATH": os.environ["PATH"]})

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        settings = _SETTINGS | {"fsync": self._fsync, "unix_socket_directories": str(self.folder)}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options]
        self._process = subprocess.Popen(
            command, cwd=self.folder, user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"}
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL to the server and every process of it."""
        if self._process is None:
            return
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._process.wait()
        for child in children:
            while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2][:3]:
                time.sleep(0.005)
        self._process = None

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://tests@/{database}?host={self.folder}"

    def empty_database(self, name: str = "relay") -> str:
        """Return the URL of a database with nothing in it, whoever used it before; making one anew each time would copy megabytes."""
        if name in self._databases:
            self.execute("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            self.execute(name, "DROP SCHEMA public CASCADE")
            self.execute(name, "CREATE SCHEMA public")
        else:
            self.execute("postgres", f"CREATE DATABASE {name}")
            self._databases.add(name)
        return self.url(name)

    def execute(self, database: str, sql: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql)


@contextlib.contextmanager
def cluster(fsync: bool = False) -> Iterator[Cluster]:
    """Run a server for as long as the context lasts."""
    running = Cluster(fsync)
    try:
        yield running
    finally:
        running.stop()
