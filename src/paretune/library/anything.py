"""`optimize_anything`: gepa's function for any text that an evaluator can score, on paretune's engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from paretune.core.canonical import digest
from paretune.core.errors import Misconfigured
from paretune.library.anything_adapter import AnythingAdapter
from paretune.library.anything_calls import SINGLE as SINGLE
from paretune.library.anything_calls import Best, Evaluated, Evaluator, OptimizationState
from paretune.library.anything_calls import _SingleInstanceSentinel as _SingleInstanceSentinel
from paretune.library.anything_config import (
    CacheEvaluationStorage,
    EngineConfig,
    GEPAConfig,
    MergeConfig,
    RefinerConfig,
    ReflectionConfig,
    TrackingConfig,
)
from paretune.library.anything_log import LogContext, get_log_context, log, set_log_context, standard_streams
from paretune.library.anything_prompts import (
    DEFAULT_REFINER_PROMPT,
    first_text_prompt,
    optimize_anything_reflection_prompt_template,
    refiner_prompt,
    reflection_template,
)
from paretune.library.anything_refiner import REFINER, Refiner
from paretune.library.anything_result import AnythingResult, TestReport
from paretune.library.evaluation import Aside, Caller
from paretune.library.guards import Guards
from paretune.library.image import Image
from paretune.library.instruction import fenced_text
from paretune.library.listeners import Listening
from paretune.library.lm import LM
from paretune.library.loaders import DataLoader, ListDataLoader, ensure_loader
from paretune.library.optimize import (
    MINIBATCH,
    bound_arguments,
    optimize,
    reflection_model,
    request_of,
    run_here,
)
from paretune.library.reflection import LanguageModel
from paretune.library.running import Request, carry_out
from paretune.library.state import FrontierType
from paretune.library.stoppers import (
    MaxCandidateProposalsStopper,
    MaxMetricCallsStopper,
    ScoreThresholdStopper,
)

__all__ = [
    "DEFAULT_REFINER_PROMPT",
    "AnythingResult",
    "CacheEvaluationStorage",
    "Candidate",
    "EngineConfig",
    "Evaluator",
    "FrontierType",
    "GEPAConfig",
    "Guards",
    "Image",
    "LogContext",
    "MergeConfig",
    "OptimizationState",
    "RefinerConfig",
    "ReflectionConfig",
    "SideInfo",
    "TestReport",
    "TrackingConfig",
    "aoptimize_anything",
    "get_log_context",
    "log",
    "make_litellm_lm",
    "optimize_anything",
    "optimize_anything_reflection_prompt_template",
    "set_log_context",
]

T = TypeVar("T")

Candidate = dict[str, str]
SideInfo = dict[str, Any]

_STR_CANDIDATE_KEY = "current_candidate"
_SINGLE_INSTANCE_SENTINEL = SINGLE

FIRST_TEXT, TESTED = "first_text.json", "test.json"
"""What a run's folder holds beside its record: the text that a model began with, and the test's scores."""


def optimize_anything(
    seed_candidate: str | dict[str, str] | None = None,
    *,
    evaluator: Callable[..., Any] | None = None,
    batch_evaluator: Callable[..., Any] | None = None,
    dataset: Sequence[Any] | DataLoader[Any, Any] | None = None,
    valset: Sequence[Any] | DataLoader[Any, Any] | None = None,
    objective: str | None = None,
    background: str | None = None,
    test_set: Sequence[Any] | DataLoader[Any, Any] | None = None,
    config: GEPAConfig | dict[str, Any] | None = None,
) -> AnythingResult:
    """Improve a text, or several by name, by what `evaluator` says of it: gepa's `optimize_anything`.

    Without data there is one task, `evaluator(candidate)`. With a `dataset` there are many,
    `evaluator(candidate, example=...)`; with a `valset`, too, what counts is how well the text does on that,
    which no proposal is made from. Without a `seed_candidate` the reflection model writes the first text,
    from `objective` and `background`. `evaluator` returns a score, or (score, side information),
    higher is better; `batch_evaluator(pairs)` does so for a list of (candidate, example), and goes before it.

    `test_set`: the best candidate is evaluated on it, once, at the end, beside `max_metric_calls`; see
    `result.test`. With a `run_dir` the same call goes on where it ended.

    Raises Misconfigured (a ValueError) that names a parameter, and what the evaluator raises unless
    `engine.raise_on_exception` is off. May be called inside a running event loop, too.
    """
    asked = _asked(locals())
    return asked.listening.during(lambda: run_here(asked.carried_out))


async def aoptimize_anything(
    seed_candidate: str | dict[str, str] | None = None, **arguments: Any
) -> AnythingResult:
    """`optimize_anything`, awaited: an async evaluator runs in this event loop, any other one beside it."""
    given = bound_arguments(optimize_anything, (seed_candidate,), arguments)
    call = Aside()
    try:
        asked: _Asked = await call(_asked, given)
        return await asked.listening.during_async(asked.carried_out(call))
    finally:
        call.close()


def make_litellm_lm(model_name: str, **kwargs: Any) -> LanguageModel:
    """A model by its litellm name; `kwargs` go out with every call."""
    return LM(model_name, **kwargs)


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that a run needs, and what is to be done at its end."""

    request: Request
    listening: Listening
    adapter: AnythingAdapter
    key: str | None
    test: DataLoader[Any, Any] | None

    async def carried_out(self, call: Caller) -> AnythingResult:
        try:
            result = await carry_out(self.request, call)
            best = result.candidates[result.best_idx]
            test = None if self.test is None else await self._tested(self.test, best, call)
        finally:
            self.adapter.close()
        return AnythingResult.of(result, test, self.key)

    async def _tested(self, loader: DataLoader[Any, Any], texts: dict[str, str], call: Caller) -> TestReport:
        """From the run's folder, if these texts were tested on these examples before."""
        ids = list(loader.all_ids())
        examples = list(loader.fetch(ids))
        what = digest([texts, [repr(id) for id in ids], [_written(one) for one in examples]])
        run_dir = self.request.run_dir
        path = run_dir / TESTED if run_dir is not None else None
        if path is not None and path.exists():
            known = json.loads(path.read_text("utf-8"))
            if known["of"] == what:
                return TestReport.from_dict(known["report"])
        results = await call(self.adapter.results, texts, examples)
        found = list(zip(ids, results, strict=True))
        report = TestReport(
            {id: one.score for id, one in found if isinstance(one, Evaluated)},
            {id: str(one) for id, one in found if not isinstance(one, Evaluated)},
        )
        if path is not None:
            path.write_text(json.dumps({"of": what, "report": report.to_dict()}), "utf-8")
        return report


def _written(value: Any) -> str:
    """Names an example as far as it can be written down."""
    try:
        return digest(value, 16)
    except (TypeError, ValueError, RecursionError):
        return type(value).__qualname__


# -- from arguments to a request ---------------------------------------------------------------------------


def _asked(given: dict[str, Any]) -> _Asked:
    """Raises Misconfigured."""
    config = _config(given["config"])
    model = reflection_model(config.reflection.reflection_lm, config.reflection.reflection_lm_kwargs)
    train = ListDataLoader([SINGLE]) if given["dataset"] is None else _loader("dataset", given["dataset"])
    if given["valset"] is not None and given["dataset"] is None:
        raise Misconfigured("valset", "give a dataset beside it, for proposals are not made from this one")
    texts, key = _texts(given, config, model, train)
    adapter = _adapter(given, config, model, key)
    own = given["valset"] is not None and given["valset"] is not given["dataset"]
    test = None if given["test_set"] is None else _loader("test_set", given["test_set"])
    arguments = {
        **_arguments(config, single=given["dataset"] is None),
        "seed_candidate": texts,
        "trainset": train,
        "valset": _loader("valset", given["valset"]) if own else None,
        "adapter": adapter,
        "reflection_lm": model,
        "reflection_prompt_template": _template(config, given["objective"], given["background"]),
        "guards": config.engine.guards or Guards(placeholders=False, copies=own),
    }
    request, listening = request_of(bound_arguments(optimize, (), arguments))
    if config.engine.capture_stdio:
        listening = replace(listening, opened=[*listening.opened, standard_streams()])
    return _Asked(request, listening, adapter, key, test)


def _config(given: Any) -> GEPAConfig:
    if given is None:
        return GEPAConfig()
    if isinstance(given, dict):
        return GEPAConfig.from_dict(given)
    if not isinstance(given, GEPAConfig):
        raise Misconfigured("config", f"a GEPAConfig or a dictionary, not {given!r}")
    return given


def _loader(name: str, given: Any) -> DataLoader[Any, Any]:
    try:
        loader = ensure_loader(given)
    except TypeError as error:
        raise Misconfigured(name, str(error)) from None
    if not len(loader):
        raise Misconfigured(name, "it has no examples")
    return loader


def _texts(
    given: dict[str, Any], config: GEPAConfig, model: Any, train: DataLoader[Any, Any]
) -> tuple[Any, str | None]:
    """The seed's components, and the name of the one that stands for all where the seed is one text."""
    seed, key = given["seed_candidate"], None
    if seed is None:
        seed = _first_text(given["objective"], given["background"], config, model, train)
    if isinstance(seed, str):
        key, seed = _STR_CANDIDATE_KEY, {_STR_CANDIDATE_KEY: seed}
    if config.refiner is not None and isinstance(seed, dict) and REFINER not in seed:
        seed = {**seed, REFINER: refiner_prompt(given["objective"], given["background"])}
    return seed, key


def _first_text(
    objective: str | None,
    background: str | None,
    config: GEPAConfig,
    model: Any,
    train: DataLoader[Any, Any],
) -> str:
    """Written by the model; from the run's folder, if it was written before."""
    if not objective or not objective.strip():
        raise Misconfigured(
            "objective", "say what is to be reached, for without a seed_candidate it is all there is"
        )
    if model is None:
        raise Misconfigured("config.reflection.reflection_lm", "it writes the first text; give a model")
    examples = [] if train.fetch(train.all_ids()[:1]) == [SINGLE] else train.fetch(train.all_ids()[:3])
    prompt = first_text_prompt(objective, background, examples)
    path = Path(config.engine.run_dir) / FIRST_TEXT if config.engine.run_dir else None
    if path is not None and path.exists():
        known: dict[str, str] = json.loads(path.read_text("utf-8"))
        if known["prompt"] == prompt:
            return known["text"]
    text = fenced_text(str(model(prompt)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": prompt, "text": text}), "utf-8")
    return text


def _adapter(given: dict[str, Any], config: GEPAConfig, model: Any, key: str | None) -> AnythingAdapter:
    for name in ("evaluator", "batch_evaluator"):
        if given[name] is not None and not callable(given[name]):
            raise Misconfigured(name, f"a function, not {given[name]!r}")
    if given["evaluator"] is None and given["batch_evaluator"] is None:
        raise Misconfigured("evaluator", "give a function that scores a candidate, or a batch_evaluator")
    engine = config.engine
    workers = (engine.max_workers or 1) if engine.parallel else 1
    return AnythingAdapter(
        given["evaluator"],
        given["batch_evaluator"],
        key=key,
        workers=workers,
        raising=engine.raise_on_exception,
        failure_score=engine.failure_score,
        printing=engine.capture_stdio,
        best=Best(engine.best_example_evals_k),
        refiner=_refiner(config, model, workers),
    )


def _refiner(config: GEPAConfig, model: Any, workers: int) -> Refiner | None:
    refiner = config.refiner
    if refiner is None:
        return None
    lm = model if refiner.refiner_lm is None else reflection_model(refiner.refiner_lm, None)
    if lm is None:
        raise Misconfigured("config.refiner.refiner_lm", "give a model, or reflection.reflection_lm")
    return Refiner(lm, refiner.max_refinements, workers)


def _template(config: GEPAConfig, objective: str | None, background: str | None) -> Any:
    template = config.reflection.reflection_prompt_template
    if template is not None and template != optimize_anything_reflection_prompt_template:
        if objective or background:
            raise Misconfigured(
                "config.reflection.reflection_prompt_template",
                "objective and background belong to the built-in one; put them into yours instead",
            )
        return template
    return reflection_template(objective, background)


def _arguments(config: GEPAConfig, *, single: bool) -> dict[str, Any]:
    """Those of `optimize` that the configuration gives."""
    engine, reflection, tracking = config.engine, config.reflection, config.tracking
    same = (
        "run_dir seed display_progress_bar raise_on_exception track_best_outputs max_metric_calls "
        "max_reflection_cost val_evaluation_policy candidate_selection_strategy frontier_type "
        "acceptance_criterion sampling_strategy selection_strategy"
    )
    told = (
        "logger use_wandb wandb_api_key wandb_init_kwargs wandb_attach_existing use_mlflow "
        "mlflow_tracking_uri mlflow_experiment_name mlflow_attach_existing"
    )
    asked = (
        "skip_perfect_score perfect_score reflection_strategy batch_sampler module_selector "
        "custom_candidate_proposer"
    )
    size = reflection.reflection_minibatch_size
    if size is None and isinstance(reflection.batch_sampler, str):
        size = 1 if single else MINIBATCH
    merge = config.merge or MergeConfig()
    return {
        **{name: getattr(engine, name) for name in same.split()},
        **{name: getattr(tracking, name) for name in told.split()},
        **{name: getattr(reflection, name) for name in asked.split()},
        "tracking_key_prefix": tracking.key_prefix,
        "reflection_minibatch_size": size,
        "use_merge": config.merge is not None,
        "max_merge_invocations": merge.max_merge_invocations,
        "merge_val_overlap_floor": merge.merge_val_overlap_floor,
        "stop_callbacks": _stoppers(config),
        "callbacks": config.callbacks,
    }


def _stoppers(config: GEPAConfig) -> list[Any]:
    given, engine = config.stop_callbacks, config.engine
    found = list(given) if isinstance(given, Sequence) else [] if given is None else [given]
    if engine.max_candidate_proposals is not None:
        found.append(MaxCandidateProposalsStopper(engine.max_candidate_proposals))
    if engine.stop_at_score is not None:
        found.append(ScoreThresholdStopper(engine.stop_at_score))
    if config.refiner is not None and engine.max_metric_calls is not None:
        # Repairs are counted where they happen, which is after the budget was asked.
        found.append(MaxMetricCallsStopper(engine.max_metric_calls))
    return found
