"""Who hears how a run goes, besides the user's callbacks: the log, experiment trackers and a progress bar."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from paretune.core.errors import Misconfigured
from paretune.library.logging import Logger, LoggerProtocol, StdOutLogger
from paretune.library.tracking import ExperimentTracker

T = TypeVar("T")

LOG = "run_log.txt"


@dataclass(frozen=True, slots=True)
class Listening:
    """`callbacks` in the order in which they hear; `opened` is entered for as long as the run lasts."""

    logger: LoggerProtocol
    callbacks: Sequence[Any]
    opened: Sequence[Any] = ()

    def during(self, run: Callable[[], T]) -> T:
        with ExitStack() as stack:
            for one in self.opened:
                stack.enter_context(one)
            return run()

    async def during_async(self, run: Coroutine[Any, Any, T]) -> T:
        with ExitStack() as stack:
            for one in self.opened:
                stack.enter_context(one)
            return await run


def listeners(a: Mapping[str, Any]) -> Listening:
    """As the arguments of `optimize` ask for. Raises Misconfigured where a package is missing."""
    opened: list[Any] = []
    logger = a["logger"]
    if logger is None and a["run_dir"]:
        Path(a["run_dir"]).mkdir(parents=True, exist_ok=True)
        logger = Logger(Path(a["run_dir"]) / LOG)
        opened.append(logger)
    logger = logger or StdOutLogger()
    callbacks: list[Any] = [Narrator(logger)]
    if a["use_wandb"] or a["use_mlflow"]:
        names = ("wandb_api_key", "wandb_init_kwargs", "wandb_attach_existing", "mlflow_tracking_uri")
        tracker = ExperimentTracker(
            use_wandb=a["use_wandb"],
            use_mlflow=a["use_mlflow"],
            mlflow_experiment_name=a["mlflow_experiment_name"],
            mlflow_attach_existing=a["mlflow_attach_existing"],
            key_prefix=a["tracking_key_prefix"],
            wandb_step_metric=a.get("wandb_step_metric"),
            **{name: a[name] for name in names},
        )
        opened.append(tracker)
        callbacks.append(Tracked(tracker))
    if a["display_progress_bar"]:
        callbacks.append(Progress(a["max_metric_calls"]))
    return Listening(logger, [*callbacks, *(a["callbacks"] or ())], opened)


@dataclass(slots=True)
class Narrator:
    """Tells the logger, a line for each thing that happened."""

    logger: LoggerProtocol

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        best = ", the best so far" if event["is_best_program"] else ""
        self._say(
            event,
            f"candidate {event['candidate_idx']} has {event['average_score']:.4f} on "
            f"{event['num_examples_evaluated']} of {event['total_valset_size']} validation examples{best}",
        )

    def on_candidate_selected(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"from candidate {event['candidate_idx']} ({event['score']:.4f})")

    def on_evaluation_skipped(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"nothing to learn from candidate {event['candidate_idx']}: {event['reason']}")

    def on_proposal_end(self, event: Mapping[str, Any]) -> None:
        for name, text in event["new_instructions"].items():
            self._say(event, f"proposed for {name}: {text}")

    def on_candidate_rejected(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"turned down: {event['reason']}")

    def on_candidate_accepted(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"accepted as candidate {event['new_candidate_idx']}")

    def on_merge_accepted(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"a merge of {event['parent_ids']} is candidate {event['new_candidate_idx']}")

    def on_merge_rejected(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"a merge of {event['parent_ids']} was turned down: {event['reason']}")

    def on_error(self, event: Mapping[str, Any]) -> None:
        self._say(event, f"failed: {event['exception']}")

    def _say(self, event: Mapping[str, Any], message: str) -> None:
        self.logger.log(f"Iteration {event['iteration']}: {message}")


@dataclass(slots=True)
class Tracked:
    """Figures of each validated candidate and of the end."""

    tracker: ExperimentTracker

    def on_optimization_start(self, event: Mapping[str, Any]) -> None:
        sizes = {name: event[name] for name in ("trainset_size", "valset_size")}
        self.tracker.log_config({**event["config"], **sizes})

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        figures = {
            "val_program_average": event["average_score"],
            "val_evaluated_count_new_program": event["num_examples_evaluated"],
            "val_total_count": event["total_valset_size"],
            "new_program_idx": event["candidate_idx"],
        }
        if event["is_best_program"]:
            figures["best_score_on_valset"] = event["average_score"]
        self.tracker.log_metrics(figures, step=event["iteration"])
        names = sorted(event["candidate"])
        columns = ["iteration", "candidate_idx", "parent_ids", "valset_score", "is_best"]
        row = [event["iteration"], event["candidate_idx"], str(list(event["parent_ids"]))]
        row += [event["average_score"], event["is_best_program"], *(event["candidate"][n] for n in names)]
        self.tracker.log_table("candidates", [*columns, *(f"text:{name}" for name in names)], [row])

    def on_budget_updated(self, event: Mapping[str, Any]) -> None:
        self.tracker.log_metrics({"total_metric_calls": event["metric_calls_used"]}, step=event["iteration"])

    def on_optimization_end(self, event: Mapping[str, Any]) -> None:
        names = ("best_candidate_idx", "total_iterations", "total_metric_calls")
        self.tracker.log_summary({name: event[name] for name in names})


class Progress:
    """A bar of evaluations, by tqdm. Raises Misconfigured where that is missing."""

    def __init__(self, total: int | None) -> None:
        try:
            bars = importlib.import_module("tqdm")
        except ImportError as error:
            raise Misconfigured("display_progress_bar", "it needs tqdm: pip install tqdm") from error
        self._bar = bars.tqdm(total=total, desc="paretune", unit="evaluations")

    def on_budget_updated(self, event: Mapping[str, Any]) -> None:
        self._bar.update(event["metric_calls_used"] - self._bar.n)

    def on_optimization_end(self, event: Mapping[str, Any]) -> None:
        self._bar.update(event["total_metric_calls"] - self._bar.n)
        self._bar.close()
