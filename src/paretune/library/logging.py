"""Lines of a run's log, for people."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable


@runtime_checkable
class LoggerProtocol(Protocol):
    """Takes one message at a time."""

    def log(self, message: str) -> None: ...


class StdOutLogger(LoggerProtocol):
    """To standard output."""

    def log(self, message: str) -> None:
        print(message, flush=True)


class Logger(LoggerProtocol):
    """To standard output and to a file, until `close` or the end of a `with` block.

    Only what it is given: what others print stays theirs, and `sys.stdout` is not touched.
    """

    def __init__(self, filename: str | Path, mode: str = "a") -> None:
        self.filename = str(filename)
        self._file = open(filename, mode, encoding="utf-8")  # noqa: SIM115  (closed by `close`)

    def log(self, *args: Any, **kwargs: Any) -> None:
        """As `print`. After `close`, to standard output alone."""
        print(*args, **kwargs)
        if not self._file.closed:
            print(*args, **{**kwargs, "file": self._file, "flush": True})

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
