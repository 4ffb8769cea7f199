"""`PolicyOptimizationJob`: a job from a file or a mapping, with typed results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.sdk.connection import Connection
from paretune.sdk.document import SECTION, Document, as_prompt_learning, read, with_overrides, with_task_app
from paretune.sdk.errors import InvalidJob
from paretune.sdk.flow import Flow, both
from paretune.sdk.handlers import StreamHandler, status_line
from paretune.sdk.job import POLICY, Job
from paretune.sdk.models import Algorithm, PolicyOptimizationResult


@dataclass(frozen=True, slots=True)
class PolicyOptimizationJobConfig:
    """A job document, in a file or as a mapping, and where to send it.

    Left out, `backend_url`, `api_key` and `localapi_api_key` come from the environment. `algorithm` counts
    where the document names none. Raises ValueError unless exactly one of `config_path` and `config_dict` is
    given, FileNotFoundError if there is no such file.
    """

    backend_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    config_path: Path | None = None
    config_dict: dict[str, Any] | None = field(default=None, repr=False)
    localapi_api_key: str | None = field(default=None, repr=False)
    algorithm: Algorithm = Algorithm.GEPA
    allow_experimental: bool | None = None
    overrides: dict[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.config_path is not None and self.config_dict is not None:
            raise InvalidJob("config_path", "give either config_path or config_dict, not both")
        if self.config_path is None and self.config_dict is None:
            raise InvalidJob("config_path", "give config_path or config_dict")
        if self.config_path is not None and not Path(self.config_path).is_file():
            raise FileNotFoundError(f"no such file: {self.config_path}")

    def to_prompt_learning_config(self) -> Document:
        """The document as `{"prompt_learning": {...}}`, in the names that travel; overrides and keys apart.

        Raises ValueError if it has no such section.
        """
        given = self.config_dict if self.config_path is None else read(self.config_path)
        return as_prompt_learning(given or {})

    def document(self) -> Document:
        """As it is sent: overrides merged, the task app's address and key looked up. Raises ValueError."""
        document = with_overrides(self.to_prompt_learning_config(), self.overrides)
        named = document[SECTION].setdefault("algorithm", self.algorithm.value)
        # GEPA, the default, gives way to the document.
        if self.algorithm is Algorithm.MIPRO and Algorithm.from_string(named) is not Algorithm.MIPRO:
            raise InvalidJob("algorithm", f"mipro was asked for, and the document says {named!r}")
        return with_task_app(document, self.localapi_api_key)


class PolicyOptimizationJob(Job):
    """Submits a job, waits for it, reads its results."""

    SERVED_AT = POLICY

    @classmethod
    def from_config(
        cls,
        config_path: str | Path,
        backend_url: str | None = None,
        api_key: str | None = None,
        localapi_api_key: str | None = None,
        algorithm: str | Algorithm = Algorithm.GEPA,
        allow_experimental: bool | None = None,
        overrides: dict[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> PolicyOptimizationJob:
        """From a TOML file. Keys and the server's address come from the environment where not given.

        `overrides` are merged into the document, by dotted keys. Raises FileNotFoundError, and ValueError if
        something that is needed is missing.
        """
        config = PolicyOptimizationJobConfig(
            backend_url=backend_url,
            api_key=api_key,
            config_path=Path(config_path),
            localapi_api_key=localapi_api_key,
            algorithm=Algorithm.from_string(algorithm),
            allow_experimental=allow_experimental,
            overrides=overrides,
        )
        return cls(config, connection=connection)

    @classmethod
    def from_dict(
        cls,
        config_dict: dict[str, Any],
        backend_url: str | None = None,
        api_key: str | None = None,
        localapi_api_key: str | None = None,
        algorithm: str | Algorithm = Algorithm.GEPA,
        allow_experimental: bool | None = None,
        overrides: dict[str, Any] | None = None,
        skip_health_check: bool = False,
        *,
        connection: Connection | None = None,
    ) -> PolicyOptimizationJob:
        """From a mapping with a section `policy_optimization` or `prompt_learning`, which stays as it is.

        Otherwise as `from_config`. Raises ValueError if something that is needed is missing.
        """
        config = PolicyOptimizationJobConfig(
            backend_url=backend_url,
            api_key=api_key,
            config_dict=config_dict,
            localapi_api_key=localapi_api_key,
            algorithm=Algorithm.from_string(algorithm),
            allow_experimental=allow_experimental,
            overrides=overrides,
        )
        return cls(config, skip_health_check=skip_health_check, connection=connection)

    @property
    def algorithm(self) -> Algorithm:
        """The document's, else the one given, else GEPA."""
        return Algorithm.from_string(self._document.get(SECTION, {}).get("algorithm", ""))

    def _poll_until_complete(
        self,
        *,
        timeout: float = 3600.0,
        interval: float = 15.0,
        progress: bool = False,
        on_status: Callable[[dict[str, Any]], None] | None = None,
        request_timeout: float = 180.0,
    ) -> Flow[PolicyOptimizationResult]:
        """Ask for the status every `interval` seconds until the job has ended.

        `on_status` is called with each answer; with `progress` a line is printed for each. One request may
        take `request_timeout` seconds. Raises TimeoutError after `timeout` seconds, RuntimeError if the job
        has not been submitted or the server fails for good.
        """

        def tell(status: dict[str, Any]) -> None:
            if progress:
                print(status_line(self._known_id(), status), flush=True)
            if on_status:
                on_status(status)

        return self._result((yield from self._waited(timeout, interval, tell, request_timeout)))

    poll_until_complete, poll_until_complete_async = both(_poll_until_complete)

    def _stream_until_complete(
        self,
        *,
        timeout: float = 3600.0,
        interval: float = 15.0,
        handlers: Sequence[StreamHandler] | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> Flow[PolicyOptimizationResult]:
        """Listen to the job's events until it has ended.

        `on_event` and the handlers get each event once, though the stream may break in between. The status
        is asked for every `interval` seconds. Raises as `poll_until_complete` does.
        """
        return self._result((yield from self._followed(timeout, interval, handlers, on_event)))

    stream_until_complete, stream_until_complete_async = both(_stream_until_complete)

    def _result(self, status: dict[str, Any]) -> PolicyOptimizationResult:
        named = None if self.config is None else self.algorithm.value
        return PolicyOptimizationResult.from_response(self._known_id(), status, algorithm=named)
