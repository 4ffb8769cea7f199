"""`PromptLearningJob`: a job document, submitted and waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.sdk.backend import Backend, checked_job_id
from paretune.sdk.connection import Connection
from paretune.sdk.document import (
    Document,
    as_prompt_learning,
    need_algorithm,
    read,
    with_overrides,
    with_task_app,
)
from paretune.sdk.flow import Flow, both
from paretune.sdk.handlers import StreamHandler
from paretune.sdk.job import PROMPT_LEARNING, Job
from paretune.sdk.models import PollOutcome, status_of
from paretune.sdk.wait import Deadline, JobRoutes, poll


@dataclass(frozen=True, slots=True)
class PromptLearningJobConfig:
    """A job document in a file, and where to send it. Raises FileNotFoundError if there is no such file.

    Left out, `backend_url`, `api_key` and `task_app_api_key` come from the environment.
    """

    config_path: Path
    backend_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    task_app_api_key: str | None = field(default=None, repr=False)
    allow_experimental: bool | None = None
    overrides: dict[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not Path(self.config_path).is_file():
            raise FileNotFoundError(f"no such file: {self.config_path}")

    def document(self) -> Document:
        """As it is sent: overrides merged, the task app's address and key looked up. Raises ValueError."""
        document = with_overrides(as_prompt_learning(read(self.config_path)), self.overrides)
        need_algorithm(document)
        return with_task_app(document, self.task_app_api_key)


class PromptLearningJob(Job):
    """Submits a job document, waits for it, reads its results."""

    SERVED_AT = PROMPT_LEARNING

    @classmethod
    def from_config(
        cls,
        config_path: str | Path,
        backend_url: str | None = None,
        api_key: str | None = None,
        task_app_api_key: str | None = None,
        allow_experimental: bool | None = None,
        overrides: dict[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> PromptLearningJob:
        """From a TOML file. Keys and the server's address come from the environment where not given.

        `overrides` are merged into the document, by dotted keys. Raises FileNotFoundError, and ValueError if
        something that is needed is missing.
        """
        config = PromptLearningJobConfig(
            Path(config_path), backend_url, api_key, task_app_api_key, allow_experimental, overrides
        )
        return cls(config, connection=connection)

    def _poll_until_complete(
        self,
        *,
        timeout: float = 3600.0,
        interval: float = 5.0,
        on_status: Callable[[dict[str, Any]], None] | None = None,
    ) -> Flow[dict[str, Any]]:
        """Ask for the status every `interval` seconds until the job has ended; the last one.

        `on_status` is called with each. Raises TimeoutError after `timeout` seconds, RuntimeError if it has
        not been submitted or the server fails for good.
        """
        return (yield from self._waited(timeout, interval, on_status or _ignore))

    poll_until_complete, poll_until_complete_async = both(_poll_until_complete)

    def _stream_until_complete(
        self,
        *,
        timeout: float = 3600.0,
        interval: float = 15.0,
        handlers: Sequence[StreamHandler] | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> Flow[dict[str, Any]]:
        """Listen to the job's events until it has ended; its last status.

        `on_event` and the handlers get each event once, though the stream may break in between. The status
        is asked for every `interval` seconds. Raises as `poll_until_complete` does.
        """
        return (yield from self._followed(timeout, interval, handlers, on_event))

    stream_until_complete, stream_until_complete_async = both(_stream_until_complete)


class PromptLearningJobPoller:
    """Waits for jobs of one server. `interval` and `timeout` in seconds."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        interval: float = 5.0,
        timeout: float = 3600.0,
        connection: Connection | None = None,
    ) -> None:
        self._backend = Backend.resolve(base_url, api_key, connection=connection)
        self._interval, self._timeout = interval, timeout

    @property
    def connection(self) -> Connection:
        return self._backend.connection

    def _poll_job(self, job_id: str) -> Flow[PollOutcome]:
        """Until the job has ended; its status and the whole answer. Raises as `poll_until_complete` does."""
        routes = JobRoutes(self._backend, checked_job_id(job_id), PROMPT_LEARNING, PROMPT_LEARNING)
        deadline = Deadline(job_id, self._timeout, self._interval, self.connection.now)
        payload = yield from poll(routes, deadline, on_status=_ignore)
        return PollOutcome(status_of(payload), payload)

    poll_job, poll_job_async = both(_poll_job)


def _ignore(status: dict[str, Any]) -> None:
    """Nobody asked to be told."""
