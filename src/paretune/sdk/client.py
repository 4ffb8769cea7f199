"""`SynthClient().optimization.offline`: jobs created, found and listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from paretune.sdk.backend import Backend
from paretune.sdk.connection import Connection
from paretune.sdk.document import SECTION, as_prompt_learning, sendable, with_task_app
from paretune.sdk.flow import Flow, both
from paretune.sdk.job import OFFLINE, candidate_page, job_id_in
from paretune.sdk.models import Algorithm, PolicyCandidatePage
from paretune.sdk.verifiers import Verifiers


class OfflineJob:
    """A job on the server. Each method has a twin for asyncio: `status_async` and so on.

    All of them raise RuntimeError if the server refuses, or does not answer as it should.
    """

    def __init__(
        self, backend: Backend, job_id: str, system_id: str | None = None, system_name: str | None = None
    ) -> None:
        self._backend = backend
        self.job_id = job_id
        self.system_id = system_id
        self.system_name = system_name

    @property
    def connection(self) -> Connection:
        return self._backend.connection

    @property
    def _path(self) -> str:
        return f"{OFFLINE}/{quote(self.job_id, safe='')}"

    def _status(self) -> Flow[dict[str, Any]]:
        """The job as the server tells it: `status`, `best_score` and more."""
        return (yield from self._backend.ask_object(self._backend.request("GET", self._path)))

    status, status_async = both(_status)

    def _events(self, *, since_seq: int = 0, limit: int = 500) -> Flow[dict[str, Any]]:
        """`{"events": [...]}`: those after `since_seq`, at most `limit`."""
        params = {"since_seq": since_seq, "limit": limit}
        request = self._backend.request("GET", f"{self._path}/events", params=params)
        return (yield from self._backend.ask_object(request))

    events, events_async = both(_events)

    def _artifacts(self) -> Flow[Any]:
        """What the job has made: its prompts, or whatever it optimizes."""
        return (yield from self._backend.ask(self._backend.request("GET", f"{self._path}/artifacts")))

    artifacts, artifacts_async = both(_artifacts)

    def _list_candidates_typed(
        self,
        *,
        algorithm: str | None = None,
        mode: str | None = None,
        status: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        sort: str | None = None,
        include: str | None = None,
    ) -> Flow[PolicyCandidatePage]:
        """A page of the job's candidates; with `include="artifact_payload"` their whole artifacts."""
        wanted = {"algorithm": algorithm, "mode": mode, "status": status, "limit": limit}
        return (
            yield from candidate_page(
                self._backend, self.job_id, **wanted, cursor=cursor, sort=sort, include=include
            )
        )

    list_candidates_typed, list_candidates_typed_async = both(_list_candidates_typed)

    def _pause(self) -> Flow[dict[str, Any]]:
        """Ask the job to rest; what the server says to that."""
        return (yield from self._wish("paused"))

    pause, pause_async = both(_pause)

    def _resume(self) -> Flow[dict[str, Any]]:
        """Ask a resting job to go on."""
        return (yield from self._wish("running"))

    resume, resume_async = both(_resume)

    def _cancel(self) -> Flow[dict[str, Any]]:
        """Ask the job to end."""
        return (yield from self._wish("cancelled"))

    cancel, cancel_async = both(_cancel)

    def _wish(self, state: str) -> Flow[dict[str, Any]]:
        request = self._backend.request("PATCH", self._path, body={"state": state})
        return (yield from self._backend.ask_object(request))


class Offline:
    """The jobs of a server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def connection(self) -> Connection:
        return self._backend.connection

    def _create(
        self,
        *,
        config: Mapping[str, Any],
        kind: str | None = None,
        technique: str = "discrete_optimization",
        system_name: str = "default",
        system_id: str | None = None,
        reuse_system: bool = True,
        config_mode: str = "DEFAULT",
        metadata: Mapping[str, Any] | None = None,
        auto_start: bool = True,
    ) -> Flow[OfflineJob]:
        """Submit a job document; the job.

        `kind` is by default that of the document's algorithm: `gepa_offline` or `mipro_offline`. Raises
        ValueError if the document lacks what is needed, RuntimeError if the server does not take it.
        """
        document = with_task_app(as_prompt_learning(config), None)
        algorithm = Algorithm.from_string(document[SECTION].get("algorithm", ""))
        system = {"name": system_name, "reuse": reuse_system, **({"id": system_id} if system_id else {})}
        body = {
            "technique": technique,
            "kind": kind or f"{algorithm}_offline",
            "system": system,
            "config_mode": config_mode,
            "config": document,
            "metadata": dict(metadata or {}),
            "auto_start": auto_start,
        }
        task_key = document[SECTION].get("task_app_api_key", "")
        backend = replace(self._backend, secrets=(*self._backend.secrets, task_key))
        request = backend.request("POST", OFFLINE, body=sendable(body))
        answer = yield from backend.ask_object(request)
        return self._job(job_id_in(answer, request.url), answer)

    create, create_async = both(_create)

    def _get(self, job_id: str) -> Flow[OfflineJob]:
        """A job that exists. Raises RuntimeError if the server knows none of this id."""
        job = OfflineJob(self._backend, job_id)
        return self._job(job_id, (yield from job._status()))

    get, get_async = both(_get)

    def _list(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        system_id: str | None = None,
        system_name: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Flow[dict[str, Any]]:
        """A page of jobs, newest first, as the server tells it; `cursor` is the `next_cursor` of the last."""
        params = {
            "state": state,
            "kind": kind,
            "system_id": system_id,
            "system_name": system_name,
            "created_after": created_after,
            "created_before": created_before,
            "limit": limit,
            "cursor": cursor,
        }
        return (yield from self._backend.ask_object(self._backend.request("GET", OFFLINE, params=params)))

    list, list_async = both(_list)

    def _job(self, job_id: str, answer: Mapping[str, Any]) -> OfflineJob:
        system = answer.get("system")
        known = system if isinstance(system, Mapping) else {}
        return OfflineJob(self._backend, job_id, known.get("id"), known.get("name"))


class Optimization:
    """What a client can optimize with."""

    def __init__(self, backend: Backend) -> None:
        self.offline = Offline(backend)


class SynthClient:
    """A server: `client.optimization.offline.create(...)`, `.get(job_id=...)`, `.list()`;
    `client.verifiers` holds what jobs are judged by.

    The key is `api_key`, else SYNTH_API_KEY; a server on this machine may need none. The address is
    `base_url`, else PARETUNE_URL, SYNTH_BACKEND_URL or BACKEND_BASE_URL, else http://127.0.0.1:8765.
    `timeout` in seconds, for one request. Raises ValueError for an address or a key that cannot be one.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = 30.0,
        connection: Connection | None = None,
    ) -> None:
        backend = Backend.resolve(base_url, api_key, connection=connection, timeout=timeout)
        self.optimization = Optimization(backend)
        self.verifiers = Verifiers(backend)
