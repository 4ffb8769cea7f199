"""What the classes for one job have in common: everything that asks about a job that exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self
from urllib.parse import quote

from paretune.sdk.backend import Backend, checked_job_id
from paretune.sdk.connection import Connection
from paretune.sdk.document import SECTION, Document, submission
from paretune.sdk.errors import BadAnswer, InvalidJob, NotSubmitted, SdkError
from paretune.sdk.flow import Flow, both
from paretune.sdk.handlers import CallbackHandler, StreamHandler
from paretune.sdk.health import check_task_app
from paretune.sdk.models import PolicyCandidatePage
from paretune.sdk.results import results, text_of_rank
from paretune.sdk.wait import Deadline, JobRoutes, Listener, poll

PROMPT_LEARNING = "/api/prompt-learning/online/jobs"
POLICY = "/api/policy-optimization/online/jobs"
OFFLINE = "/api/v1/offline/jobs"
CANDIDATES = "/api/v2/offline/jobs"


def candidate_page(backend: Backend, job_id: str, **wanted: str | int | None) -> Flow[PolicyCandidatePage]:
    """GET the candidates of a job, typed."""
    request = backend.request("GET", f"{CANDIDATES}/{quote(job_id, safe='')}/candidates", params=wanted)
    return PolicyCandidatePage.from_dict((yield from backend.ask_object(request)))


class JobConfig(Protocol):
    """A job document and where it is sent to."""

    @property
    def backend_url(self) -> str | None: ...

    @property
    def api_key(self) -> str | None: ...

    @property
    def allow_experimental(self) -> bool | None: ...

    @property
    def overrides(self) -> dict[str, Any] | None: ...

    def document(self) -> Document:
        """As it is sent: overrides merged, the task app's address and key looked up. Raises InvalidJob."""


class Job:
    """A job on a server, or one that is going to be.

    Each method that asks the server has a twin for asyncio: `submit_async` and so on. With `config` None it
    is a job that exists already, on `backend`: `from_job_id` makes those.
    """

    SERVED_AT: str
    """Where this class submits, asks for the status while it waits, and listens."""

    def __init__(
        self,
        config: JobConfig | None,
        job_id: str | None = None,
        skip_health_check: bool = False,
        *,
        backend: Backend | None = None,
        connection: Connection | None = None,
    ) -> None:
        if config is None and job_id is None:
            raise InvalidJob("config", "needed for a job that has no id yet")
        self.config = config
        self._job_id = None if job_id is None else checked_job_id(job_id)
        self._check = not skip_health_check
        self._document: Document = config.document() if config else {}
        self._backend = backend or _backend(config, connection)
        task_key = self._document.get(SECTION, {}).get("task_app_api_key", "")
        self._backend = replace(self._backend, secrets=(*self._backend.secrets, task_key))

    @classmethod
    def from_job_id(
        cls,
        job_id: str,
        backend_url: str | None = None,
        api_key: str | None = None,
        *,
        connection: Connection | None = None,
    ) -> Self:
        """A job that was submitted before. Raises ValueError if that is no job id."""
        backend = Backend.resolve(backend_url, api_key, connection=connection)
        return cls(None, checked_job_id(job_id), backend=backend)

    @property
    def connection(self) -> Connection:
        return self._backend.connection

    @property
    def job_id(self) -> str | None:
        """The job's id (`pl_...`), None if it is not submitted yet."""
        return self._job_id

    def _known_id(self) -> str:
        if self._job_id is None:
            raise NotSubmitted
        return self._job_id

    def _routes(self, status_prefix: str = PROMPT_LEARNING) -> JobRoutes:
        return JobRoutes(self._backend, self._known_id(), status_prefix, PROMPT_LEARNING)

    def _submit(self) -> Flow[str]:
        """Check the task app, send the document; the job's id.

        Raises ValueError if the task app is not well, RuntimeError if the server does not take the job or
        has it already.
        """
        if self._job_id is not None or self.config is None:
            raise SdkError(f"submitted already, as {self._job_id}")
        section = self._document[SECTION]
        if self._check:
            yield from check_task_app(section["task_app_url"], section.get("task_app_api_key", ""))
        body = submission(self._document, self.config.overrides, self.config.allow_experimental)
        request = self._backend.request("POST", self.SERVED_AT, body=body)
        self._job_id = job_id_in((yield from self._backend.ask_object(request)), request.url)
        return self._job_id

    submit, submit_async = both(_submit)

    def _get_status(self) -> Flow[dict[str, Any]]:
        """The job's status as the server tells it: `status`, `best_score` and more.

        Raises RuntimeError if it has not been submitted, or the server does not answer as it should.
        """
        return (yield from self._routes().status())

    get_status, get_status_async = both(_get_status)

    def _get_results(self) -> Flow[dict[str, Any]]:
        """`best_prompt`, `best_score`, `top_prompts` (by rank, with `full_text`), `optimized_candidates`,
        `attempted_candidates`, `validation_results`. Raises RuntimeError as `get_status` does.
        """
        routes = self._routes()
        status = yield from routes.status()
        return results((yield from routes.all_events()), status)

    get_results, get_results_async = both(_get_results)

    def _get_best_prompt_text(self, rank: int = 1) -> Flow[str | None]:
        """The text of the prompt with this rank, 1 being the best; None if there is none (yet).

        Raises ValueError for a rank below 1, RuntimeError as `get_status` does.
        """
        return text_of_rank((yield from self._get_results()), rank)

    get_best_prompt_text, get_best_prompt_text_async = both(_get_best_prompt_text)

    def _cancel(self, *, reason: str | None = None) -> Flow[dict[str, Any]]:
        """Ask the job to end; what the server says to that. Raises RuntimeError as `get_status` does."""
        body = {"reason": reason} if reason else {}
        path = f"{POLICY}/{self._known_id()}/cancel"
        return (yield from self._backend.ask_object(self._backend.request("POST", path, body=body)))

    cancel, cancel_async = both(_cancel)

    def _query_workflow_state(self) -> Flow[dict[str, Any]]:
        """`job_id`, `workflow_state` (None if there is none to tell) and `error`.

        A refusal is told in `error`; RuntimeError is raised if it has not been submitted or nobody answers.
        """
        job_id = self._known_id()
        request = self._backend.request("GET", f"/api/jobs/{job_id}/workflow-state")
        reply = yield from self._backend.reply(request)
        if reply.status == 200:
            return dict(self._backend.parsed(request.url, reply))
        refusal = self._backend.refusal(request.url, reply)
        error = f"HTTP {reply.status}: {refusal.message}"
        return {"job_id": job_id, "workflow_state": None, "error": error}

    query_workflow_state, query_workflow_state_async = both(_query_workflow_state)

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
        """A page of the job's candidates; with `include="artifact_payload"` their whole artifacts.

        Raises RuntimeError as `get_status` does.
        """
        return (
            yield from candidate_page(
                self._backend,
                self._known_id(),
                algorithm=algorithm,
                mode=mode,
                status=status,
                limit=limit,
                cursor=cursor,
                sort=sort,
                include=include,
            )
        )

    list_candidates_typed, list_candidates_typed_async = both(_list_candidates_typed)

    def _waited(
        self,
        timeout: float,
        interval: float,
        on_status: Callable[[dict[str, Any]], None],
        request_timeout: float | None = None,
    ) -> Flow[dict[str, Any]]:
        routes = self._routes(self.SERVED_AT)
        deadline = Deadline(routes.job_id, timeout, interval, self.connection.now)
        return (yield from poll(routes, deadline, on_status=on_status, request_timeout=request_timeout))

    def _followed(
        self,
        timeout: float,
        interval: float,
        handlers: Sequence[StreamHandler] | None,
        on_event: Callable[[dict[str, Any]], None] | None,
    ) -> Flow[dict[str, Any]]:
        routes = self._routes(self.SERVED_AT)
        deadline = Deadline(routes.job_id, timeout, interval, self.connection.now)
        everyone = [*(handlers or ()), CallbackHandler(on_event=on_event)]
        return (yield from Listener(routes, deadline, everyone).follow())


def job_id_in(answer: dict[str, Any], url: str) -> str:
    """The id in the answer to a submit call. Raises BadAnswer if there is none."""
    job_id = answer.get("job_id") or answer.get("id")
    if not isinstance(job_id, str) or not job_id:
        raise BadAnswer(url, "no job id")
    try:
        return checked_job_id(job_id)
    except ValueError as error:
        raise BadAnswer(url, str(error)) from None


def _backend(config: JobConfig | None, connection: Connection | None) -> Backend:
    if config is None:
        return Backend.resolve(connection=connection)
    url = (config.overrides or {}).get("backend") or config.backend_url
    return Backend.resolve(url, config.api_key, connection=connection)
