"""A task container written from one function.

task = Container("capitals", seeds=range(100))

@task.rollout
def rollout(prompt, seed):
    return 1.0 if ask(prompt.messages(country=COUNTRIES[seed])) == CAPITALS[seed] else 0.0

task.serve(port=8001)
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI

from paretune.container.documents import About
from paretune.container.examples import Examples, Row, any_seed, from_rows, from_seeds
from paretune.container.gate import configured_keys, refuse_open_door
from paretune.container.program import Program, program_document
from paretune.container.prompt import Prompt, Result, as_result
from paretune.container.routes import build_app
from paretune.core.canonical import canonical_json, digest
from paretune.core.errors import Misconfigured

Rollout = Callable[..., Any]
"""(prompt, seed or row) -> reward or Result; plain or async."""

F = TypeVar("F", bound=Rollout)
THREADS = 32
START_SECONDS = 20.0


class Container:
    """A task over HTTP, in both dialects of the contract.

    `examples` are rows (a list, or id -> row; `id` and `split` are read from a row), and the function gets
    the row; or `seeds` are whole numbers, and it gets the seed; without either any seed goes. `program` is
    the prompt to start from. `api_key` is asked of callers, by default ENVIRONMENT_API_KEY when it is set.

    `version` is added to the one that is told to callers, which changes with the source of the function's
    module, the examples and the program; name it when something else that decides rewards changes (a
    model, another module): results of an earlier version are not used again.
    """

    def __init__(
        self,
        name: str,
        *,
        seeds: Iterable[int] | None = None,
        examples: Iterable[Row] | Mapping[str, Row] | None = None,
        program: Program | None = None,
        description: str = "",
        api_key: str | None = None,
        version: str = "",
    ) -> None:
        if not name.strip():
            raise Misconfigured("name", "a container needs a name")
        self.name = name
        self._examples = _examples(seeds, examples)
        self._program = program_document(name, program) if program is not None else None
        self._description = description
        self._api_key = api_key
        self._version = version
        self._rollout: Rollout | None = None
        self._threads: ThreadPoolExecutor | None = None

    def rollout(self, function: F) -> F:
        """Decorator: this function scores one prompt on one example. Plain functions run in threads."""
        self._rollout = function
        return function

    @property
    def version(self) -> str:
        """Changes with the source of the function and its module, the examples, the program and `version`."""
        function = self._function()
        parts = [self.name, self._version, source_of(function), module_of(function), self._program]
        return digest([*parts, digest(canonical_json(_plain(self._examples)))])

    def asgi(self) -> FastAPI:
        """The application, for uvicorn or any ASGI server."""
        about = About(self.name, self._description, self.version, self._examples, self._program)
        return build_app(about, self._run, self._keys())

    def serve(self, host: str = "127.0.0.1", port: int = 8001) -> None:
        """Serve until interrupted. Raises Misconfigured for an address that others reach without a key."""
        refuse_open_door(host, self._keys())
        uvicorn.run(self.asgi(), host=host, port=port, log_level="info", ws="none", timeout_keep_alive=75)

    @contextmanager
    def running(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
        """Serve in a thread for the length of a `with` block; gives the address. Port 0 takes a free one."""
        refuse_open_door(host, self._keys())
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            # asyncio sets TCP_NODELAY only where the protocol is named; without it an answer takes 40 ms.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            config = uvicorn.Config(
                self.asgi(),
                log_level="error",
                ws="none",
                lifespan="off",
                timeout_graceful_shutdown=2,
                timeout_keep_alive=75,
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([listener],), name=f"container {self.name}")
            thread.start()
            try:
                _wait_until_started(server, thread)
                shown = f"[{host}]" if ":" in host else host
                yield f"http://{shown}:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()
                self._close_threads()

    async def _run(self, prompt: Prompt, example: int | Row) -> Result:
        function = self._function()
        if inspect.iscoroutinefunction(function):
            return as_result(await function(prompt, example))
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        value = await loop.run_in_executor(self._pool(), context.run, function, prompt, example)
        return as_result(await value if inspect.isawaitable(value) else value)

    def _function(self) -> Rollout:
        if self._rollout is None:
            raise Misconfigured(
                "rollout", f"container {self.name!r} has no function: decorate one with @task.rollout"
            )
        return self._rollout

    def _keys(self) -> frozenset[str]:
        return configured_keys(self._api_key, os.environ)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"rollout {self.name}")
        return self._threads

    def _close_threads(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def source_of(function: Rollout) -> str:
    """The source of the function, or its byte code where there is no source to read."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        if code is not None:
            return f"{code.co_code.hex()} {code.co_names}"
        return source_of(type(function).__call__) if not inspect.isbuiltin(function) else repr(function)


def module_of(function: Rollout) -> str:
    """The source of the module that the function stands in, helpers and constants; empty without one."""
    try:
        module = inspect.getmodule(function)
        return inspect.getsource(module) if module is not None else ""
    except (OSError, TypeError):
        return ""


def _examples(seeds: Iterable[int] | None, rows: Iterable[Row] | Mapping[str, Row] | None) -> Examples:
    if seeds is not None and rows is not None:
        raise Misconfigured("examples", "give seeds or examples, not both")
    if rows is not None:
        return from_rows(rows)
    return from_seeds(seeds) if seeds is not None else any_seed()


def _plain(examples: Examples) -> list[Row]:
    return [dict(row) for row in examples.rows.values()]


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the container did not start")
        time.sleep(0.005)
