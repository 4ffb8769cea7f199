"""`optimize` and `aoptimize`: gepa's function, with gepa's parameters and defaults, on paretune's engine."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from paretune.algorithms.settings import GepaSettings
from paretune.core.errors import Misconfigured
from paretune.core.example import Split
from paretune.core.frontier import FrontierType as Kind
from paretune.library.acceptance import (
    AcceptanceCriterion,
    ImprovementOrEqualAcceptance,
    StrictImprovementAcceptance,
)
from paretune.library.adapter import GEPAAdapter, ProposalFn
from paretune.library.callbacks import GEPACallback
from paretune.library.components import AllReflectionComponentSelector, RoundRobinReflectionComponentSelector
from paretune.library.default_adapter import ChatCompletionCallable, DefaultAdapter, Evaluator
from paretune.library.evaluation import Aside, Caller, Data, inline
from paretune.library.guards import Guards
from paretune.library.guide import Strategies
from paretune.library.listeners import Listening, listeners
from paretune.library.lm import LM, TrackingLM
from paretune.library.loaders import DataLoader, ensure_loader
from paretune.library.logging import LoggerProtocol
from paretune.library.policies import EvaluationPolicy, FullEvaluationPolicy
from paretune.library.reflection import (
    CandidateSelector,
    LanguageModel,
    ReflectionComponentSelector,
    ReflectionLM,
    StatelessReflectionLM,
)
from paretune.library.result import GEPAResult
from paretune.library.running import Request, carry_out, draws
from paretune.library.samplers import BatchSampler, EpochShuffledBatchSampler
from paretune.library.sampling import SamplingStrategy, SingleMutationSampling
from paretune.library.selection import AllImprovements, SelectionStrategy
from paretune.library.selectors import (
    CurrentBestCandidateSelector,
    EpsilonGreedyCandidateSelector,
    ParetoCandidateSelector,
    TopKParetoCandidateSelector,
)
from paretune.library.state import FrontierType
from paretune.library.stoppers import (
    CompositeStopper,
    FileStopper,
    MaxMetricCallsStopper,
    MaxReflectionCostStopper,
    StopperProtocol,
)

T = TypeVar("T")

MINIBATCH = 3
EPSILON, TOP_K = 0.1, 5
NEVER = sys.float_info.max
"""A score that nothing reaches, and that JSON can hold."""

Stoppers = StopperProtocol | Sequence[StopperProtocol]


def optimize(
    seed_candidate: dict[str, str],
    trainset: list[Any] | DataLoader[Any, Any],
    valset: list[Any] | DataLoader[Any, Any] | None = None,
    adapter: GEPAAdapter[Any, Any, Any] | None = None,
    task_lm: str | ChatCompletionCallable | None = None,
    evaluator: Evaluator | None = None,
    reflection_lm: LanguageModel | str | None = None,
    reflection_lm_kwargs: dict[str, Any] | None = None,
    candidate_selection_strategy: CandidateSelector
    | Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"] = "pareto",
    frontier_type: FrontierType = "instance",
    skip_perfect_score: bool = True,
    batch_sampler: BatchSampler[Any, Any] | Literal["epoch_shuffled"] = "epoch_shuffled",
    reflection_minibatch_size: int | None = None,
    perfect_score: float = 1.0,
    reflection_prompt_template: str | dict[str, str] | None = None,
    custom_candidate_proposer: ProposalFn | None = None,
    module_selector: ReflectionComponentSelector | str = "round_robin",
    use_merge: bool = False,
    max_merge_invocations: int = 5,
    merge_val_overlap_floor: int = 5,
    max_metric_calls: int | None = None,
    max_reflection_cost: float | None = None,
    stop_callbacks: Stoppers | None = None,
    logger: LoggerProtocol | None = None,
    run_dir: str | None = None,
    callbacks: list[GEPACallback] | None = None,
    use_wandb: bool = False,
    wandb_api_key: str | None = None,
    wandb_init_kwargs: dict[str, Any] | None = None,
    wandb_attach_existing: bool = False,
    use_mlflow: bool = False,
    mlflow_tracking_uri: str | None = None,
    mlflow_experiment_name: str | None = None,
    mlflow_attach_existing: bool = False,
    tracking_key_prefix: str = "",
    track_best_outputs: bool = True,
    display_progress_bar: bool = False,
    use_cloudpickle: bool = False,
    cache_evaluation: bool = False,
    seed: int = 0,
    raise_on_exception: bool = True,
    val_evaluation_policy: EvaluationPolicy[Any, Any] | Literal["full_eval"] | None = None,
    acceptance_criterion: AcceptanceCriterion
    | Literal["strict_improvement", "improvement_or_equal"] = "strict_improvement",
    sampling_strategy: SamplingStrategy | None = None,
    selection_strategy: SelectionStrategy | None = None,
    reflection_strategy: ReflectionLM | None = None,
    guards: Guards | None = None,
) -> GEPAResult[Any, Any]:
    """Improve the texts of `seed_candidate` against a metric: gepa's `optimize`, with its parameters.

    `max_metric_calls` is never passed. With a `run_dir` everything that was paid for is kept there: the same
    call goes on where it ended, and one with more calls ends as if it had had them from the beginning. An
    evaluation is asked for once; `cache_evaluation` and `use_cloudpickle` change nothing. `guards` says what
    turns a proposal down before it costs an evaluation. Adapters are called from this thread, one call at a
    time.

    Raises Misconfigured (a ValueError) that names a parameter, and what the adapter raises unless
    `raise_on_exception` is off. May be called inside a running event loop, too: it then works in a thread.
    """
    arguments = locals()
    request, listening = request_of(arguments)
    return listening.during(lambda: run_here(lambda call: carry_out(request, call)))


async def aoptimize(*args: Any, **kwargs: Any) -> GEPAResult[Any, Any]:
    """`optimize`, awaited: the adapter is called in a thread of its own (its `evaluate` may be async), and
    the event loop is free meanwhile."""
    request, listening = request_of(bound_arguments(optimize, args, kwargs))
    call = Aside()
    try:
        return await listening.during_async(carry_out(request, call))
    finally:
        call.close()


def bound_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """All arguments of a call, defaults included. Raises TypeError as the call would."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def run_here(work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
    """In this thread, or, where an event loop runs in it, in another one."""
    if not _in_a_loop():
        return asyncio.run(work(inline))
    ends: list[T | BaseException] = []
    context = contextvars.copy_context()

    def there() -> None:
        try:
            ends.append(context.run(asyncio.run, work(inline)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            ends.append(error)

    thread = threading.Thread(target=there, name="paretune-optimize")
    thread.start()
    thread.join()
    if isinstance(end := ends[0], BaseException):
        raise end
    return end


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# -- from arguments to a request ----------------------------------------------------------------------------


def request_of(a: dict[str, Any]) -> tuple[Request, Listening]:
    """What the arguments ask for, and who listens. Raises Misconfigured."""
    seed_candidate = _seed_candidate(a["seed_candidate"])
    train = Data("train", _loader("trainset", a["trainset"]), Split.REFLECT)
    own = a["valset"] is not None and a["valset"] is not a["trainset"]
    val = Data("val", _loader("valset", a["valset"]), Split.PARETO) if own else train
    adapter = _adapter(a)
    model = reflection_model(a["reflection_lm"], a["reflection_lm_kwargs"])
    custom = _custom(a, adapter)
    listening = listeners(a)
    stoppers = _stoppers(a, model)
    draw = draws(a["seed"])
    strategies = Strategies(
        candidates=_candidates(a["candidate_selection_strategy"], draw),
        minibatches=_minibatches(a, draw),
        components=_components(a["module_selector"]),
        sampling=a["sampling_strategy"] or SingleMutationSampling(),
        selection=a["selection_strategy"] or AllImprovements(),
        acceptance=_acceptance(a["acceptance_criterion"]),
        policy=_policy(a["val_evaluation_policy"]),
        stoppers=stoppers,
    )
    guards = a["guards"] or Guards()
    return (
        Request(
            seed_candidate,
            train,
            val,
            adapter,
            _reflection(a, model, custom, listening.logger),
            custom,
            strategies,
            surface=guards.surface(seed_candidate),
            settings=_settings(a),
            frontier_type=_one_of("frontier_type", a["frontier_type"], [kind.value for kind in Kind]),
            merges=a["max_merge_invocations"] if a["use_merge"] else 0,
            calls=_calls(a, stoppers),
            copies=guards.copies,
            raising=a["raise_on_exception"],
            run_dir=Path(a["run_dir"]) if a["run_dir"] else None,
            callbacks=listening.callbacks,
            track_best_outputs=a["track_best_outputs"],
        ),
        listening,
    )


def _seed_candidate(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not given:
        raise Misconfigured("seed_candidate", "a dict of component names to texts, with at least one")
    for name, text in given.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise Misconfigured("seed_candidate", f"component {name!r} is not a name with a text")
    return dict(given)


def _loader(name: str, given: Any) -> DataLoader[Any, Any]:
    try:
        return ensure_loader(given)
    except TypeError as error:
        raise Misconfigured(name, str(error)) from None


def _adapter(a: dict[str, Any]) -> GEPAAdapter[Any, Any, Any]:
    if a["adapter"] is not None:
        for name in ("task_lm", "evaluator"):
            if a[name] is not None:
                raise Misconfigured(name, "the adapter runs the task; give one or the other")
        return a["adapter"]  # type: ignore[no-any-return]
    if a["task_lm"] is None:
        raise Misconfigured("task_lm", "give the model that does the task, or an adapter")
    return DefaultAdapter(a["task_lm"], a["evaluator"])


def reflection_model(given: Any, kwargs: dict[str, Any] | None) -> Any:
    """A model that counts what it costs, or None."""
    if given is None:
        return None
    if isinstance(given, str):
        return LM(given, **(kwargs or {}))
    return given if hasattr(given, "total_cost") else TrackingLM(given)


def _custom(a: dict[str, Any], adapter: GEPAAdapter[Any, Any, Any]) -> ProposalFn | None:
    own: ProposalFn | None = getattr(adapter, "propose_new_texts", None)
    given: ProposalFn | None = a["custom_candidate_proposer"]
    if own is not None and given is not None:
        raise Misconfigured(
            "custom_candidate_proposer", "the adapter has propose_new_texts; give one or the other"
        )
    return own if own is not None else given


def _reflection(
    a: dict[str, Any], model: Any, custom: ProposalFn | None, logger: LoggerProtocol
) -> ReflectionLM | None:
    if a["reflection_strategy"] is not None:
        return a["reflection_strategy"]  # type: ignore[no-any-return]
    if model is None:
        if custom is None:
            raise Misconfigured(
                "reflection_lm", "give the model that proposes texts, or an adapter with propose_new_texts"
            )
        return None
    return StatelessReflectionLM(model, a["reflection_prompt_template"], logger)


def _settings(a: dict[str, Any]) -> GepaSettings:
    size = a["reflection_minibatch_size"]
    settings = GepaSettings.classic(seed=a["seed"], minibatch_size=MINIBATCH if size is None else size)
    return replace(
        settings,
        frontier=Kind(_one_of("frontier_type", a["frontier_type"], [kind.value for kind in Kind])),
        perfect=NEVER if a["perfect_score"] is None else float(a["perfect_score"]),
        skip_perfect=bool(a["skip_perfect_score"]),
        merge_overlap_floor=a["merge_val_overlap_floor"],
    )


def _one_of(name: str, given: Any, known: Sequence[str]) -> Any:
    if given not in known:
        raise Misconfigured(name, f"{given!r} is none of {', '.join(known)}")
    return given


def _candidates(given: Any, draw: Callable[[str], Any]) -> CandidateSelector:
    if not isinstance(given, str):
        return given  # type: ignore[no-any-return]
    makers: dict[str, Callable[[], CandidateSelector]] = {
        "pareto": lambda: ParetoCandidateSelector(draw("parent")),
        "current_best": CurrentBestCandidateSelector,
        "epsilon_greedy": lambda: EpsilonGreedyCandidateSelector(EPSILON, draw("parent")),
        "top_k_pareto": lambda: TopKParetoCandidateSelector(TOP_K, draw("parent")),
    }
    return makers[_one_of("candidate_selection_strategy", given, list(makers))]()


def _minibatches(a: dict[str, Any], draw: Callable[[str], Any]) -> BatchSampler[Any, Any]:
    given, size = a["batch_sampler"], a["reflection_minibatch_size"]
    if not isinstance(given, str):
        if size is not None:
            raise Misconfigured("reflection_minibatch_size", "the batch_sampler says how many; leave it out")
        return given  # type: ignore[no-any-return]
    _one_of("batch_sampler", given, ["epoch_shuffled"])
    return EpochShuffledBatchSampler(MINIBATCH if size is None else size, draw("minibatch"))


def _components(given: Any) -> ReflectionComponentSelector:
    if not isinstance(given, str):
        return given  # type: ignore[no-any-return]
    makers = {"round_robin": RoundRobinReflectionComponentSelector, "all": AllReflectionComponentSelector}
    return makers[_one_of("module_selector", given, list(makers))]()


def _acceptance(given: Any) -> AcceptanceCriterion:
    if not isinstance(given, str):
        return given  # type: ignore[no-any-return]
    makers: dict[str, Callable[[], AcceptanceCriterion]] = {
        "strict_improvement": StrictImprovementAcceptance,
        "improvement_or_equal": ImprovementOrEqualAcceptance,
    }
    return makers[_one_of("acceptance_criterion", given, list(makers))]()


def _policy(given: Any) -> EvaluationPolicy[Any, Any]:
    if given is None or given == "full_eval":
        return FullEvaluationPolicy()
    if isinstance(given, str):
        _one_of("val_evaluation_policy", given, ["full_eval"])
    return given  # type: ignore[no-any-return]


def _stoppers(a: dict[str, Any], model: Any) -> list[StopperProtocol]:
    """Everything that may end the search but the cap on calls, which the ledger holds."""
    given = a["stop_callbacks"]
    found = list(given) if isinstance(given, Sequence) else [] if given is None else [given]
    if a["max_reflection_cost"] is not None:
        found.append(MaxReflectionCostStopper(a["max_reflection_cost"], model))
    if not found and a["max_metric_calls"] is None:
        raise Misconfigured(
            "max_metric_calls",
            "give it, or max_reflection_cost, or stop_callbacks: nothing else ends the search",
        )
    if a["run_dir"]:
        found.append(FileStopper(str(Path(a["run_dir"]) / "gepa.stop")))
    return found


def _calls(a: dict[str, Any], stoppers: Sequence[StopperProtocol]) -> int | None:
    """The smallest cap on evaluations that is given anywhere."""
    caps = [a["max_metric_calls"]] if a["max_metric_calls"] is not None else []
    for stopper in stoppers:
        inner = (
            stopper.stoppers if isinstance(stopper, CompositeStopper) and stopper.mode == "any" else [stopper]
        )
        caps += [one.max_metric_calls for one in inner if isinstance(one, MaxMetricCallsStopper)]
    return min(caps, default=None)
