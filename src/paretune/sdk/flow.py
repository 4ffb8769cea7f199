"""What the SDK does, without doing it: generators that yield steps and are handed their outcomes.

Every operation is written once, as a flow. `Connection` plays it with httpx, blocking or in asyncio.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Request:
    """Ask and wait for the whole answer: a Reply. Unreachable is raised where it is yielded.

    `timeout` is in seconds, for each of connecting, sending and the wait for the next bytes.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Ask and keep the answer open: a Reply, whose text is read only if it is no stream of events.

    A flow holds one stream at a time; it ends with the flow.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class NextLine:
    """The next line of the open stream, None at its end. Unreachable if it broke off or fell silent."""


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of the open stream, if there is one."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str = ""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


Step: TypeAlias = Request | Sleep | Open | NextLine | Close
Flow: TypeAlias = Generator[Step, Any, T]


class Player(Protocol):
    def run(self, flow: Flow[T]) -> T: ...

    async def run_async(self, flow: Flow[T]) -> T: ...


class Connected(Protocol):
    """Whatever has flows for methods."""

    @property
    def connection(self) -> Player: ...


S = TypeVar("S", bound=Connected)


def both(
    flow: Callable[Concatenate[S, P], Flow[T]],
) -> tuple[Callable[Concatenate[S, P], T], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]]:
    """Two methods from the flow `_name`: a blocking `name` and a coroutine function `name_async`."""

    @wraps(flow)
    def blocking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.connection.run(flow(self, *args, **kwargs))

    @wraps(flow)
    async def awaited(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.connection.run_async(flow(self, *args, **kwargs))

    _present(blocking, flow, "")
    _present(awaited, flow, "_async")
    return blocking, awaited


def _present(method: Any, flow: Any, suffix: str) -> None:
    """Name and signature as a caller sees them: `-> str`, where the flow says `-> Flow[str]`."""
    signature = inspect.signature(flow)
    returns = str(signature.return_annotation).removeprefix("Flow[").removesuffix("]")
    method.__signature__ = signature.replace(return_annotation=returns)
    method.__annotations__ = {**flow.__annotations__, "return": returns}
    method.__name__ = flow.__name__.removeprefix("_") + suffix
    method.__qualname__ = flow.__qualname__.removesuffix(flow.__name__) + method.__name__
