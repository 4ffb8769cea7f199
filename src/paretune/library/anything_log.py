"""What an evaluator says while it works: `log`, and what it prints where that is to be kept."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

LOG, STDOUT, STDERR = "log", "stdout", "stderr"


class LogContext:
    """Text that was logged, from one thread or several."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []

    def write(self, text: str) -> None:
        with self._lock:
            self._pieces.append(text)

    def drain(self) -> str:
        """All of it so far, which is gone then."""
        with self._lock:
            pieces, self._pieces = self._pieces, []
        return "".join(pieces)


_CURRENT: ContextVar[LogContext | None] = ContextVar("paretune_log", default=None)
_PRINTED: ContextVar[Mapping[str, LogContext] | None] = ContextVar("paretune_printed", default=None)


def log(*args: Any, sep: str = " ", end: str = "\n") -> None:
    """As `print`, but into the side information of the evaluation that this thread (or task) works on.

    Outside an evaluation it is lost, with a warning. A thread that the evaluator starts itself says whose it
    is by `set_log_context`.
    """
    context = _CURRENT.get()
    if context is None:
        warnings.warn(
            "log() was called outside an evaluator, and nobody keeps what it says; in a thread of the "
            "evaluator's own, call set_log_context(get_log_context()'s value) first",
            stacklevel=2,
        )
        return
    context.write(sep.join(map(str, args)) + end)


def get_log_context() -> LogContext:
    """That of the evaluation at work, for a thread of its own. Raises RuntimeError outside one."""
    context = _CURRENT.get()
    if context is None:
        raise RuntimeError("there is no log here: get_log_context() is for code inside an evaluator")
    return context


def set_log_context(ctx: LogContext) -> None:
    """From now on `log` in this thread (or task) writes there."""
    _CURRENT.set(ctx)


# -- around one evaluation ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """What one evaluation said, by kind; without `printing` only what it logged."""

    printing: bool = False
    _kinds: dict[str, LogContext] = field(default_factory=dict)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What is said inside, in this thread or task, is heard."""
        names = (LOG, STDOUT, STDERR) if self.printing else (LOG,)
        self._kinds = {name: LogContext() for name in names}
        logging = _CURRENT.set(self._kinds[LOG])
        printing = _PRINTED.set(self._kinds) if self.printing else None
        try:
            yield
        finally:
            _CURRENT.reset(logging)
            if printing is not None:
                _PRINTED.reset(printing)

    def told(self, side_info: Mapping[str, Any]) -> dict[str, Any]:
        """The side information with what was heard: under `log`, `stdout` and `stderr`, or `_gepa_log` and
        so on where the evaluator has such a key itself."""
        full = dict(side_info)
        for name, context in self._kinds.items():
            if text := context.drain():
                full[f"_gepa_{name}" if name in side_info else name] = text
        return full


class _Stream(io.TextIOBase):
    """Stands for a standard stream: what an evaluation that is heard prints goes to it, the rest through."""

    def __init__(self, name: str, through: Any) -> None:
        self._name = name
        self.through = through

    def write(self, text: str) -> int:
        heard = _PRINTED.get()
        if heard is None:
            self.through.write(text)
        else:
            heard[self._name].write(text)
        return len(text)

    def flush(self) -> None:
        if _PRINTED.get() is None:
            self.through.flush()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.through, name)


_LOCK = threading.Lock()
_STANDING: dict[str, _Stream] = {}
_users = 0


@contextmanager
def standard_streams() -> Iterator[None]:
    """While this lasts, `sys.stdout` and `sys.stderr` can tell evaluations from other threads' output. The
    last of several to leave puts back what was there, unless somebody else has taken its place meanwhile."""
    global _users
    with _LOCK:
        if _users == 0:
            for name in (STDOUT, STDERR):
                _STANDING[name] = _Stream(name, getattr(sys, name))
                setattr(sys, name, _STANDING[name])
        _users += 1
    try:
        yield
    finally:
        with _LOCK:
            _users -= 1
            if _users == 0:
                for name, stream in _STANDING.items():
                    if getattr(sys, name) is stream:
                        setattr(sys, name, stream.through)
                _STANDING.clear()
