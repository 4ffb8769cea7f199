"""`SynthClient().verifiers`: rubrics and graphs registered, found and listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from paretune.sdk.backend import Backend
from paretune.sdk.connection import Connection
from paretune.sdk.document import sendable
from paretune.sdk.flow import Flow, both

VERIFIERS = "/api/v1/verifiers"


class Verifiers:
    """Each method has a twin for asyncio: `create_async` and so on.

    All of them raise RuntimeError if the server refuses, or does not answer as it should.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def connection(self) -> Connection:
        return self._backend.connection

    def _create(
        self,
        name: str,
        *,
        rubric: Mapping[str, Any] | None = None,
        graph: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Flow[dict[str, Any]]:
        """The next version of this name, with a rubric or a graph: its `id`, `version` and `reference`,
        each of which a job may name."""
        given = {"rubric": rubric, "graph": graph, "metadata": metadata}
        body = sendable({"name": name, **{key: value for key, value in given.items() if value is not None}})
        return (yield from self._backend.ask_object(self._backend.request("POST", VERIFIERS, body=body)))

    create, create_async = both(_create)

    def _get(self, reference: str) -> Flow[dict[str, Any]]:
        """By id, `name@version`, or name: its newest version."""
        path = f"{VERIFIERS}/{quote(reference, safe='@')}"
        return (yield from self._backend.ask_object(self._backend.request("GET", path)))

    get, get_async = both(_get)

    def _list(self, *, name: str | None = None, limit: int = 100) -> Flow[dict[str, Any]]:
        """`{"items": [...]}`: every version, or those of one name."""
        params = {"name": name, "limit": limit}
        return (yield from self._backend.ask_object(self._backend.request("GET", VERIFIERS, params=params)))

    list, list_async = both(_list)
