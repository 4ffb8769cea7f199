"""`install_as_gepa()`: code that imports gepa gets paretune, for the rest of the process.

As PyMySQL stands in for MySQLdb. Nothing is loaded until a name is used, whether gepa is installed or not.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType
from typing import Any

from paretune.core.errors import Misconfigured

_STOPPERS = (
    "CompositeStopper FileStopper MaxCandidateProposalsStopper MaxMetricCallsStopper "
    "MaxReflectionCostStopper NoImprovementStopper ScoreThresholdStopper SignalStopper StopperProtocol "
    "TimeoutStopCondition"
)
_DEFAULT_ADAPTER = (
    "ChatCompletionCallable ChatMessage ContainsAnswerEvaluator DefaultAdapter DefaultDataInst "
    "DefaultReflectiveRecord DefaultRolloutOutput DefaultTrajectory EvaluationResult Evaluator"
)
_EVENTS = (
    "BudgetUpdatedEvent CandidateAcceptedEvent CandidateRejectedEvent CandidateSelectedEvent ErrorEvent "
    "EvaluationEndEvent EvaluationSkippedEvent EvaluationStartEvent IterationEndEvent IterationStartEvent "
    "MergeAcceptedEvent MergeAttemptedEvent MergeRejectedEvent MinibatchSampledEvent OptimizationEndEvent "
    "OptimizationStartEvent ParetoFrontUpdatedEvent ProposalEndEvent ProposalStartEvent "
    "ReflectiveDatasetBuiltEvent StateSavedEvent ValsetEvaluatedEvent"
)

PATHS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "gepa": {
            "adapter": "EvaluationBatch GEPAAdapter",
            "image": "Image",
            "optimize": "aoptimize optimize",
            "result": "GEPAResult",
            "stoppers": "CompositeStopper FileStopper MaxMetricCallsStopper NoImprovementStopper "
            "ScoreThresholdStopper SignalStopper StopperProtocol TimeoutStopCondition",
        },
        "gepa.adapters.default_adapter": {},
        "gepa.adapters.default_adapter.default_adapter": {"default_adapter": _DEFAULT_ADAPTER},
        "gepa.api": {"optimize": "aoptimize optimize"},
        "gepa.core.adapter": {
            "adapter": "BatchEvaluateFn Candidate EvaluationBatch GEPAAdapter ProposalFn "
            "default_batch_evaluate",
            "types": "DataInst RolloutOutput Trajectory",
        },
        "gepa.core.callbacks": {"callbacks": f"CompositeCallback GEPACallback notify_callbacks {_EVENTS}"},
        "gepa.core.data_loader": {
            "loaders": "ComparableHashable DataLoader ListDataLoader MutableDataLoader ensure_loader",
            "types": "DataId DataInst",
        },
        "gepa.core.result": {"result": "GEPAResult"},
        "gepa.core.state": {
            "state": "CacheKey CachedEvaluation CandidateHash EvaluationCache FrontierKey FrontierType "
            "GEPAState ObjectiveScores ProgramIdx ValsetEvaluation initialize_gepa_state",
            "types": "DataId RolloutOutput",
        },
        "gepa.image": {"image": "Image"},
        "gepa.lm": {"lm": "LM TrackingLM"},
        "gepa.logging.experiment_tracker": {"tracking": "ExperimentTracker create_experiment_tracker"},
        "gepa.logging.logger": {"logging": "Logger LoggerProtocol StdOutLogger"},
        "gepa.optimize_anything": {
            "anything": "CacheEvaluationStorage Candidate DEFAULT_REFINER_PROMPT EngineConfig Evaluator "
            "GEPAConfig LogContext MergeConfig OptimizationState RefinerConfig "
            "ReflectionConfig SideInfo TrackingConfig aoptimize_anything get_log_context log make_litellm_lm "
            "optimize_anything "
            "optimize_anything_reflection_prompt_template set_log_context",
            "image": "Image",
        },
        "gepa.proposer.base": {"proposals": "CandidateProposal ProposeNewCandidate SubsampleEvaluation"},
        "gepa.proposer.reflective_mutation.base": {
            "reflection": "CandidateSelector LanguageModel ReflectionComponentSelector Signature",
        },
        "gepa.proposer.reflective_mutation.reflection_lm": {
            "reflection": "BatchReflectionLM ReflectionJob ReflectionLM ReflectionProposal "
            "StatelessReflectionLM",
        },
        "gepa.strategies.acceptance": {
            "acceptance": "AcceptanceCriterion ImprovementOrEqualAcceptance StrictImprovementAcceptance",
        },
        "gepa.strategies.batch_sampler": {"samplers": "BatchSampler EpochShuffledBatchSampler"},
        "gepa.strategies.candidate_selector": {
            "selectors": "CandidateSelector CurrentBestCandidateSelector EpsilonGreedyCandidateSelector "
            "ParetoCandidateSelector TopKParetoCandidateSelector",
        },
        "gepa.strategies.component_selector": {
            "components": "AllReflectionComponentSelector ReflectionComponentSelector "
            "RoundRobinReflectionComponentSelector",
        },
        "gepa.strategies.eval_policy": {"policies": "EvaluationPolicy FullEvaluationPolicy"},
        "gepa.strategies.instruction_proposal": {"instruction": "InstructionProposalSignature"},
        "gepa.strategies.proposal_sampling": {
            "sampling": "IndependentSampling ProposalTask PxNSampling SameParentSampling SamplingStrategy "
            "SingleMutationSampling",
        },
        "gepa.strategies.proposal_selection": {
            "selection": "AllImprovements BestImprovement SelectionStrategy TopKImprovements",
        },
        "gepa.utils": {"stoppers": _STOPPERS},
        "gepa.utils.stop_condition": {"stoppers": f"MaxTrackedCandidatesStopper {_STOPPERS}"},
        "gepa.visualization": {
            "tree": "candidate_tree_dot candidate_tree_dot_from_data candidate_tree_html "
            "candidate_tree_html_from_data",
        },
    }
)
"""gepa's module -> our module (in `paretune.library`) -> the names that it gives there."""

_LOCK = threading.Lock()


def install_as_gepa() -> None:
    """From now on `import gepa`, and its modules in `PATHS`, mean paretune in this process.

    Call it before anything imports gepa; again is harmless. Raises Misconfigured if gepa itself was
    imported already: whoever did so holds its objects and would mix them with ours.
    """
    with _LOCK:
        theirs = sorted(
            name
            for name, module in sys.modules.items()
            if (name == "gepa" or name.startswith("gepa.")) and not isinstance(module, _Standin)
        )
        if theirs:
            raise Misconfigured(
                "install_as_gepa",
                f"{theirs[0]} itself was imported already: call this before anything imports gepa",
            )
        for name in modules():
            if name not in sys.modules:
                sys.modules[name] = _Standin(name)


def modules() -> list[str]:
    """All modules of gepa that we stand in for, packages before what is in them."""
    parts = [path.split(".") for path in PATHS]
    return sorted({".".join(part[:depth]) for part in parts for depth in range(1, len(part) + 1)})


def names_of(module: str) -> dict[str, str]:
    """Name -> our module and name (`paretune.library.result:GEPAResult`), of one of gepa's modules."""
    return {
        name: f"paretune.library.{ours}:{name}"
        for ours, names in PATHS.get(module, {}).items()
        for name in names.split()
    }


def resolve(where: str) -> Any:
    """The object at `module:name`. Raises ImportError, AttributeError."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


class _Standin(ModuleType):
    """One of gepa's modules, empty until a name is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"paretune, under the name of {name}.")
        inside = [one.removeprefix(f"{name}.") for one in modules() if one.startswith(f"{name}.")]
        self.__spec__ = ModuleSpec(name, None, is_package=bool(inside))
        self.__package__ = name if inside else name.rpartition(".")[0]
        if inside:
            self.__path__: list[str] = []  # a package, with nothing to find on disk
        self._names = names_of(name)
        self._modules = {one: f"{name}.{one}" for one in inside if "." not in one}
        if name == "gepa":
            self._modules["default_adapter"] = "gepa.adapters.default_adapter"
        self.__all__ = sorted(self._names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self._modules:
            found: Any = sys.modules[self._modules[name]]
        elif name in self._names:
            found = resolve(self._names[name])
        else:
            raise AttributeError(f"paretune has nothing for {self.__name__}.{name}")
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*self._names, *self._modules})
