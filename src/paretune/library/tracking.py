"""A run's figures at Weights & Biases and MLflow, for those who keep theirs there.

Either is imported when a run that uses it begins. A tracker that fails later says so in the log and takes
nothing from the run.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from paretune.core.errors import Misconfigured

_LOG = logging.getLogger("paretune.library")


class ExperimentTracker:
    """Wandb, MLflow, both or neither. `key_prefix` stands before every name.

    `*_attach_existing` joins the run that the process has open already, and leaves it open.
    `wandb_step_metric`: the name under which the step is logged, for runs that count steps of their own.
    """

    def __init__(
        self,
        use_wandb: bool = False,
        wandb_api_key: str | None = None,
        wandb_init_kwargs: dict[str, Any] | None = None,
        wandb_attach_existing: bool = False,
        wandb_step_metric: str | None = None,
        use_mlflow: bool = False,
        mlflow_tracking_uri: str | None = None,
        mlflow_experiment_name: str | None = None,
        mlflow_attach_existing: bool = False,
        key_prefix: str = "",
    ) -> None:
        self.use_wandb = use_wandb
        self.use_mlflow = use_mlflow
        self.key_prefix = key_prefix
        self._sides: list[_Side] = []
        if use_wandb:
            init = dict(wandb_init_kwargs or {})
            self._sides.append(
                _Wandb(key_prefix, wandb_attach_existing, wandb_api_key, init, wandb_step_metric)
            )
        if use_mlflow:
            self._sides.append(
                _Mlflow(key_prefix, mlflow_attach_existing, mlflow_tracking_uri, mlflow_experiment_name)
            )

    def __enter__(self) -> Self:
        self.initialize()
        self.start_run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_run()

    def initialize(self) -> None:
        """Imports and signs in. Raises Misconfigured where the package is missing."""
        for side in self._sides:
            side.initialize()

    def start_run(self) -> None:
        """Opens a run, or joins the open one."""
        for side in self._sides:
            side.start()

    def log_config(self, config: dict[str, Any]) -> None:
        """The settings of the run; what is not a plain value is written out."""
        self._each("log_config", lambda side: side.config({k: _plain(v) for k, v in config.items()}))

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Figures of one step. What is no number goes where it can be shown."""
        self._each("log_metrics", lambda side: side.metrics(metrics, step))

    def log_summary(self, summary: dict[str, Any]) -> None:
        """What the run came to."""
        self._each("log_summary", lambda side: side.summary({k: _plain(v) for k, v in summary.items()}))

    def log_table(self, table_name: str, columns: list[str], data: list[list[Any]]) -> None:
        """Rows under `columns`."""
        self._each("log_table", lambda side: side.table(table_name, columns, data))

    def log_html(self, html_content: str, key: str = "candidate_tree") -> None:
        """A page."""
        self._each("log_html", lambda side: side.html(html_content, key))

    def end_run(self) -> None:
        """Closes the runs that were opened here."""
        self._each("end_run", lambda side: side.end())

    def is_active(self) -> bool:
        """Whether some run is open."""
        return any(side.active for side in self._sides)

    def _each(self, what: str, act: Callable[[_Side], None]) -> None:
        for side in self._sides:
            if not side.active:
                continue
            try:
                act(side)
            except Exception:  # noqa: BLE001  (a service far away; the run goes on without it)
                _LOG.warning("%s failed in %s", type(side).__name__.strip("_"), what, exc_info=True)


create_experiment_tracker = ExperimentTracker
"""The same, by the name of a function."""


def _plain(value: Any) -> Any:
    """Numbers, words and None as they are; everything else as JSON, or as it prints itself."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {k: v for k, v in metrics.items() if isinstance(v, int | float) and not isinstance(v, bool)}


@dataclass
class _Side(ABC):
    """One service."""

    prefix: str
    attach: bool
    active: bool = field(default=False, init=False)
    _owned: bool = field(default=False, init=False)

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{self.prefix}{name}": value for name, value in values.items()}

    @abstractmethod
    def initialize(self) -> None: ...
    @abstractmethod
    def start(self) -> None: ...
    @abstractmethod
    def config(self, values: dict[str, Any]) -> None: ...
    @abstractmethod
    def metrics(self, values: dict[str, Any], step: int | None) -> None: ...
    @abstractmethod
    def summary(self, values: dict[str, Any]) -> None: ...
    @abstractmethod
    def table(self, name: str, columns: list[str], data: list[list[Any]]) -> None: ...
    @abstractmethod
    def html(self, content: str, key: str) -> None: ...
    @abstractmethod
    def end(self) -> None: ...


@dataclass
class _Wandb(_Side):
    key: str | None
    init: dict[str, Any]
    step_metric: str | None
    _wandb: Any = field(default=None, init=False)

    def initialize(self) -> None:
        self._wandb = _imported("wandb", "use_wandb")
        if self.attach:
            return
        # Without a key the package finds one by itself, or asks: that is for those who sit there.
        if self.key:
            self._wandb.login(key=self.key, verify=False)

    def start(self) -> None:
        if self.attach and self._wandb.run is None:
            raise Misconfigured("wandb_attach_existing", "no run of wandb's is open: call wandb.init first")
        if not self.attach:
            self._wandb.init(**self.init)
        self._owned = not self.attach
        self.active = True
        if self.step_metric is not None:
            self._wandb.define_metric(self.step_metric)
            self._wandb.define_metric(f"{self.prefix}*", step_metric=self.step_metric)

    def config(self, values: dict[str, Any]) -> None:
        self._wandb.config.update(self._named(values), allow_val_change=True)

    def metrics(self, values: dict[str, Any], step: int | None) -> None:
        named = self._named(values)
        if self.step_metric is not None and step is not None:
            self._wandb.log({**named, self.step_metric: step})
        else:
            self._wandb.log(named, step=step)

    def summary(self, values: dict[str, Any]) -> None:
        self._wandb.run.summary.update(self._named(values))

    def table(self, name: str, columns: list[str], data: list[list[Any]]) -> None:
        self._wandb.log({f"{self.prefix}{name}": self._wandb.Table(columns=columns, data=data)})

    def html(self, content: str, key: str) -> None:
        self._wandb.log({f"{self.prefix}{key}": self._wandb.Html(content)})

    def end(self) -> None:
        self.active = False
        if self._owned:
            self._wandb.finish()


@dataclass
class _Mlflow(_Side):
    uri: str | None
    experiment: str | None
    _mlflow: Any = field(default=None, init=False)

    def initialize(self) -> None:
        self._mlflow = _imported("mlflow", "use_mlflow")
        if self.attach:
            return
        if self.uri is not None:
            self._mlflow.set_tracking_uri(self.uri)
        if self.experiment is not None:
            self._mlflow.set_experiment(self.experiment)

    def start(self) -> None:
        open_run = self._mlflow.active_run()
        if self.attach and open_run is None:
            raise Misconfigured(
                "mlflow_attach_existing", "no run of MLflow's is open: call mlflow.start_run first"
            )
        if not self.attach:
            # Beside an open run of the user's this one is its child, and the user's is left open.
            self._mlflow.start_run(nested=open_run is not None)
        self._owned = not self.attach
        self.active = True

    def config(self, values: dict[str, Any]) -> None:
        # Its parameters hold up to 6000 characters and are never written twice.
        self._mlflow.log_params({k: str(v)[:6000] for k, v in self._named(values).items()})

    def metrics(self, values: dict[str, Any], step: int | None) -> None:
        self._mlflow.log_metrics(self._named(_numbers(values)), step=step)

    def summary(self, values: dict[str, Any]) -> None:
        numbers = _numbers(values)
        self._mlflow.log_metrics(self._named(numbers))
        words = {k: str(v) for k, v in values.items() if k not in numbers}
        self._mlflow.set_tags(self._named(words))

    def table(self, name: str, columns: list[str], data: list[list[Any]]) -> None:
        by_column = {column: [row[place] for row in data] for place, column in enumerate(columns)}
        self._mlflow.log_table(data=by_column, artifact_file=_file(f"{self.prefix}{name}", "json"))

    def html(self, content: str, key: str) -> None:
        self._mlflow.log_text(content, artifact_file=_file(f"{self.prefix}{key}", "html"))

    def end(self) -> None:
        self.active = False
        if self._owned:
            self._mlflow.end_run()


def _file(name: str, ending: str) -> str:
    return f"{name.replace(os.sep, '_')}.{ending}"


def _imported(package: str, parameter: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise Misconfigured(parameter, f"{package} cannot be imported: pip install {package}") from error
