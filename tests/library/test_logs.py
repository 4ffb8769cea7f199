"""Logs and trackers. Fake modules stand for wandb and MLflow: they keep what they are told, nothing more."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from paretune.core.errors import Misconfigured
from paretune.library.logging import Logger, LoggerProtocol, StdOutLogger
from paretune.library.tracking import ExperimentTracker, create_experiment_tracker


def test_a_logger_writes_what_it_is_given_and_leaves_stdout_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, stdout = tmp_path / "run_log.txt", sys.stdout
    with Logger(path) as logger:
        assert isinstance(logger, LoggerProtocol)
        assert sys.stdout is stdout
        logger.log("iteration", 1)
        print("somebody else's")
    logger.log("after the end")
    StdOutLogger().log("plain")
    assert path.read_text() == "iteration 1\n"
    assert capsys.readouterr().out == "iteration 1\nsomebody else's\nafter the end\nplain\n"
    with Logger(path) as logger:
        logger.log("again")
    assert path.read_text() == "iteration 1\nagain\n"


class Told(ModuleType):
    """A module whose functions note that they were called, and with what."""

    def __init__(self, name: str, **constants: Any) -> None:
        super().__init__(name)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        for constant, value in constants.items():
            setattr(self, constant, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def note(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            return (name, args, kwargs)

        return note

    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Told:
    module = Told("wandb")
    module.config = Told("wandb.config")  # type: ignore[attr-defined]
    module.run = SimpleNamespace(summary={})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Told:
    module = Told("mlflow")
    module.active_run = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def test_wandb_hears_of_a_run_from_start_to_end(wandb: Any) -> None:
    tracker = create_experiment_tracker(
        use_wandb=True, wandb_api_key="k", wandb_init_kwargs={"project": "p"}, key_prefix="gepa/"
    )
    assert not tracker.is_active()
    with tracker:
        assert tracker.is_active()
        tracker.log_config({"seed": 1, "who": ["a"]})
        tracker.log_metrics({"score": 0.5}, step=3)
        tracker.log_summary({"best": 0.9})
        tracker.log_html("<p>", "tree")
    assert wandb.names() == ["login", "init", "log", "Html", "log", "finish"]
    assert wandb.calls[1][2] == {"project": "p"}
    assert wandb.calls[2] == ("log", ({"gepa/score": 0.5},), {"step": 3})
    assert wandb.config.calls[0][1] == ({"gepa/seed": 1, "gepa/who": '["a"]'},)
    assert wandb.run.summary == {"gepa/best": 0.9}
    assert not tracker.is_active()


def test_a_run_that_was_open_before_stays_open(wandb: Any) -> None:
    with ExperimentTracker(use_wandb=True, wandb_attach_existing=True, wandb_step_metric="step") as tracker:
        tracker.log_metrics({"score": 0.5}, step=3)
    assert wandb.names() == ["define_metric", "define_metric", "log"]
    assert wandb.calls[-1][1] == ({"score": 0.5, "step": 3},)
    wandb.run = None
    with pytest.raises(Misconfigured, match="wandb_attach_existing"):
        ExperimentTracker(use_wandb=True, wandb_attach_existing=True).__enter__()


def test_mlflow_gets_numbers_as_metrics_and_words_as_tags(mlflow: Any) -> None:
    with ExperimentTracker(
        use_mlflow=True, mlflow_tracking_uri="sqlite:///x", mlflow_experiment_name="e", key_prefix="g/"
    ) as tracker:
        tracker.log_config({"seed": 1})
        tracker.log_metrics({"score": 0.5, "word": "no number"}, step=2)
        tracker.log_summary({"best": 0.9, "text": "be brief"})
        tracker.log_table("candidates", ["idx", "score"], [[0, 0.1], [1, 0.2]])
    told = {name: (args, kwargs) for name, args, kwargs in mlflow.calls}
    assert mlflow.names()[:3] == ["set_tracking_uri", "set_experiment", "start_run"]
    assert mlflow.calls[4] == ("log_metrics", ({"g/score": 0.5},), {"step": 2})
    assert told["set_tags"][0] == ({"g/text": "be brief"},)
    assert told["log_table"][1]["data"] == {"idx": [0, 1], "score": [0.1, 0.2]}
    assert mlflow.names()[-1] == "end_run"


def test_a_tracker_that_breaks_takes_nothing_from_the_run(
    wandb: Any, mlflow: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("offline")

    wandb.log = broken
    with ExperimentTracker(use_wandb=True, use_mlflow=True) as tracker:
        tracker.log_metrics({"score": 0.5}, step=1)
    assert "Wandb failed in log_metrics" in caplog.text
    assert "log_metrics" in mlflow.names()


def test_a_package_that_is_missing_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(Misconfigured, match="pip install wandb"):
        ExperimentTracker(use_wandb=True).initialize()
    silent = ExperimentTracker()
    with silent:
        silent.log_metrics({"score": 1.0})
    assert not silent.is_active()
