"""`wattseal relay` in one life after the other, made by fork to be quick: two hundred starts of Python would take minutes.

As a program: each line on stdin is a life, a JSON list of the command's arguments. Writes lines: `pid N` of a new process, which runs the
command as `wattseal` itself does, and `ended STATUS` once it is gone (as subprocess has it: -9 where it was killed). What the relay writes
goes to the file named on the command line.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Self

PATIENCE_S = 60


class Life:
    """One process of the relay."""

    def __init__(self, pid: int, lives: "Lives", log_begins: int) -> None:
        self.pid = pid
        self._lives = lives
        self._log_begins = log_begins

    async def is_ready(self) -> bool:
        """Wait until it listens; False where it ended before."""
        async with asyncio.timeout(PATIENCE_S):
            while '{"ready"' not in self.log():
                if self._lives.ended.is_set():
                    return False
                await asyncio.sleep(0.01)  # another process writes a file
        return True

    def log(self) -> str:
        """Return what this process has written."""
        if not self._lives.log.exists():
            return ""
        with self._lives.log.open("rb") as file:
            file.seek(self._log_begins)
            return file.read().decode(errors="replace")

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and return the status with which it ended, now or before."""
        if not self._lives.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)  # it is a zombie at most until it is said to have ended
        return await self._lives.status()


class Lives:
    """The parent of all lives; one at a time."""

    def __init__(self, server: asyncio.subprocess.Process, log: Path) -> None:
        self._server = server
        self.log = log
        self.ended = asyncio.Event()
        self._ending: asyncio.Task[int] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, log: Path, environment: dict[str, str]) -> AsyncIterator[Self]:
        """Start the parent."""
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.e2e.fault_relays", str(log)),
            cwd=Path(__file__).parents[2],
            env=os.environ | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        lives = cls(server, log)
        try:
            yield lives
        finally:
            if lives._life is not None:
                await lives._life.end()
            server.kill()
            await server.wait()

    _life: Life | None = None

    async def begin(self, arguments: Sequence[str]) -> Life:
        """Start a relay."""
        assert self._server.stdin
        begins = self.log.stat().st_size if self.log.exists() else 0
        self.ended.clear()
        self._server.stdin.write(json.dumps(list(arguments)).encode() + b"\n")
        pid = int((await self._line()).removeprefix("pid "))
        self._ending = asyncio.create_task(self._wait())
        self._life = Life(pid, self, begins)
        return self._life

    async def status(self) -> int:
        """Wait for the end of the life and return its status."""
        assert self._ending
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.shield(self._ending)

    async def _wait(self) -> int:
        status = int((await self._line()).removeprefix("ended "))
        self.ended.set()
        return status

    async def _line(self) -> str:
        assert self._server.stdout
        return (await self._server.stdout.readline()).decode()


# -- the program ----------------------------------------------------------------------------------------------------------------------


def _load() -> Callable[[list[str]], None]:
    """Return the command with all imported that it imports when it runs."""
    import httpx  # noqa: F401
    import psycopg  # noqa: F401
    import uvicorn.lifespan.off
    import uvicorn.protocols.http.auto
    import uvicorn.protocols.websockets.auto  # noqa: F401
    import wattseal.gateway.client
    import wattseal.gateway.connect
    import wattseal.relay.api
    import wattseal.relay.links.running
    import wattseal.relay.retention
    import wattseal.relay.service
    import wattseal.store.postgresql  # noqa: F401
    from typer.main import get_command
    from wattseal.cli.main import app

    return get_command(app)


def _live(command: Callable[[list[str]], None], arguments: list[str], log: str) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    status = 1
    try:
        command(arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log is where a process says why it died
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(log: str) -> None:
    command = _load()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _live(command, json.loads(line), log)
        os.write(1, b"pid %d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(1, b"ended %d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1])
