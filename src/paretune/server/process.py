"""Processes of jobs: forked from one that has imported all they need, so that a job begins at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from typing import Self

from paretune.server import worker

TAIL = 40
"""Lines of a process's last words that are kept."""
CUT = 500
LAST_WORDS_SECONDS = 1.0

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["__main__", worker.__name__])


class JobProcess:
    """One of them: lines to it, lines from it, and the last of what it printed."""

    def __init__(
        self, process: ForkServerProcess, words: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self._process = process
        self._reader, self._writer = words
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._printing: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls) -> Self:
        """Raises OSError if there can be no more processes."""
        (ours, its), (heard, printed) = socket.socketpair(), socket.socketpair()
        process = CONTEXT.Process(target=worker.begin, args=(its, printed))
        try:
            await asyncio.to_thread(process.start)  # the first waits for the imports
        except BaseException:
            ours.close()
            heard.close()
            raise
        finally:
            its.close()
            printed.close()
        started = cls(process, await asyncio.open_connection(sock=ours, limit=worker.LONGEST))
        output, _ = await asyncio.open_connection(sock=heard, limit=worker.LONGEST)
        started._printing = asyncio.create_task(started._keep(output))
        return started

    def tell(self, line: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(f"{line}\n".encode())

    def rest(self) -> None:
        """Nothing more will be told: its run is to come to rest."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            self._writer.write_eof()

    async def lines(self) -> AsyncIterator[bytes]:
        """What it says, to its end."""
        with contextlib.suppress(ConnectionError):  # it died with words for it unread
            while line := await self._reader.readline():
                yield line

    async def ended(self) -> int | None:
        """Its exit code, once it has ended; below 0 the signal that ended it."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        if self._printing is not None:
            # Not for ever: what it started may live on, and hold its output open.
            await asyncio.wait([self._printing], timeout=LAST_WORDS_SECONDS)
            self._printing.cancel()
        self._writer.close()
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    async def _keep(self, output: asyncio.StreamReader) -> None:
        """So that a full pipe never stops it."""
        with contextlib.suppress(ConnectionError):
            async for line in output:
                self.tail.append(line.decode(errors="replace").strip()[:CUT])
