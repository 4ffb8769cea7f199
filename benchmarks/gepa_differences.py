"""Why some of gepa's names are not here, or take something else: the reasons that `gepa_api` prints."""

from __future__ import annotations

VERSION = "0.1.4"

_INSIDE = "gepa's engine from inside; here the engine is `paretune.engine`, and `optimize` is its door."
_THIRD_PARTY = "Ties gepa to another package. An adapter written for gepa runs here as it is."

OTHER_MODULES: dict[str, str] = {
    "gepa.adapters.anymaths_adapter": _THIRD_PARTY,
    "gepa.adapters.confidence_adapter": _THIRD_PARTY,
    "gepa.adapters.dspy_adapter": f"{_THIRD_PARTY} DSPy brings its own, which does.",
    "gepa.adapters.dspy_full_program_adapter": _THIRD_PARTY,
    "gepa.adapters.generic_rag_adapter": _THIRD_PARTY,
    "gepa.adapters.langchain_adapter": _THIRD_PARTY,
    "gepa.adapters.mcp_adapter": _THIRD_PARTY,
    "gepa.adapters.optimize_anything_adapter": "The inside of `optimize_anything`.",
    "gepa.adapters.terminal_bench_adapter": _THIRD_PARTY,
    "gepa.core.engine": _INSIDE,
    "gepa.examples": "Examples, some with data that is fetched when they run.",
    "gepa.gepa_utils": "Helpers of gepa's engine; selectors here have their own.",
    "gepa.gskill": "An application of gepa's, with benchmarks of its own.",
    "gepa.logging.utils": _INSIDE,
    "gepa.proposer.merge": f"{_INSIDE} `use_merge` turns merging on.",
    "gepa.proposer.reflective_mutation.reflective_mutation": (
        f"{_INSIDE} `custom_candidate_proposer`, `reflection_strategy` and the adapter's `propose_new_texts` "
        "take its place."
    ),
    "gepa.utils.code_execution": "Runs code that a model wrote; that is the evaluator's, in its sandbox.",
    "gepa.utils.stdio_capture": "Replaces `sys.stdout` for the process; nothing here does.",
}

_OF_CODE = "`gepa.utils.code_execution`, see below."
_OF_STDIO = "`gepa.utils.stdio_capture`, see below."
_NO_FILES = "The outputs of a run are part of its record; `GEPAResult.best_outputs_valset` has them."

NOT_HERE: dict[str, str] = {
    "gepa.core.state:write_eval_outputs_to_directory": _NO_FILES,
    "gepa.core.state:write_eval_scores_to_directory": _NO_FILES,
    "gepa.logging.logger:Tee": "`Logger` writes what it is given and leaves `sys.stdout` alone.",
    "gepa.optimize_anything:EvaluatorWrapper": "The inside of `optimize_anything`.",
    "gepa.optimize_anything:OptimizableParam": "A name for `str` in annotations; write `str`.",
    "gepa.utils:CodeExecutionResult": _OF_CODE,
    "gepa.utils:ExecutionMode": _OF_CODE,
    "gepa.utils:StreamCaptureManager": _OF_STDIO,
    "gepa.utils:ThreadLocalStreamCapture": _OF_STDIO,
    "gepa.utils:TimeLimitError": _OF_CODE,
    "gepa.utils:execute_code": _OF_CODE,
    "gepa.utils:get_code_hash": _OF_CODE,
    "gepa.utils:stream_manager": _OF_STDIO,
}

_GUARDS = (
    "what turns a proposal down before it costs an evaluation: unless told otherwise, a lost placeholder "
    "and a "
    "copied training text."
)
_COSTS = "what rollouts and reflections cost, where that is known."
_RNG = "without one, seed 0."

DIFFERS: dict[str, str] = {
    "gepa:GEPAResult": _COSTS,
    "gepa:optimize": _GUARDS,
    "gepa.adapters.default_adapter.default_adapter:DefaultAdapter": (
        "what an example counts whose call failed. Without it such an example has no score: it is a failure "
        "of a known kind, and the other examples of the batch keep theirs."
    ),
    "gepa.api:optimize": _GUARDS,
    "gepa.core.adapter:default_batch_evaluate": (
        "False where no traces are needed, as in newer versions of gepa."
    ),
    "gepa.core.result:GEPAResult": _COSTS,
    "gepa.core.state:EvaluationCache": (
        "ids of training and validation examples may be the same; with a split they are kept apart."
    ),
    "gepa.optimize_anything:EngineConfig": (
        "what an example counts on which the evaluator raised, a mean that is good enough, and what turns a "
        "proposal down."
    ),
    "gepa.optimize_anything:optimize_anything": "examples for the best candidate alone, once, at the end.",
    "gepa.strategies.candidate_selector:EpsilonGreedyCandidateSelector": _RNG,
    "gepa.strategies.candidate_selector:ParetoCandidateSelector": _RNG,
    "gepa.strategies.candidate_selector:TopKParetoCandidateSelector": _RNG,
}

_OPTIMIZE = (
    "`max_metric_calls` is never passed; an evaluation is asked for once, so `cache_evaluation` changes "
    "nothing; "
    "nothing is pickled, so `use_cloudpickle` changes nothing; `run_dir` resumes to the run that would "
    "have been."
)
_SIGNALS = "The former handlers are back after the first signal; off the main thread it does nothing."
_EMPTY = "Without stoppers it never stops, in either mode. Another mode raises ValueError."
_PARETO = (
    "Never fails on an empty front: the best by mean is taken. Of equal means the older can be spared first."
)

BEHAVES: dict[str, str] = {
    "gepa:optimize": _OPTIMIZE,
    "gepa.api:optimize": _OPTIMIZE,
    "gepa:CompositeStopper": _EMPTY,
    "gepa:SignalStopper": _SIGNALS,
    "gepa.adapters.default_adapter.default_adapter:DefaultAdapter": (
        "A callable is asked for several examples at once, from `max_litellm_workers` threads; any number of "
        "components may be updated."
    ),
    "gepa.core.state:GEPAState": (
        "A view that the engine fills; `save` to and `load` from a directory raise ValueError."
    ),
    "gepa.core.state:initialize_gepa_state": "Raises ValueError with a `run_dir`: no pickle is loaded.",
    "gepa.lm:LM": (
        "Through litellm where it is installed, else straight to OpenAI, Groq, Google or `api_base`."
    ),
    "gepa.logging.logger:Logger": "Writes what it is given; `sys.stdout` and `sys.stderr` are not replaced.",
    "gepa.logging.experiment_tracker:ExperimentTracker": "A service that fails is logged; the run goes on.",
    "gepa.optimize_anything:EngineConfig": (
        "`cache_evaluation`, `cache_evaluation_storage` and `use_cloudpickle` change nothing: an evaluation "
        "is asked for once, and nothing is pickled."
    ),
    "gepa.proposer.reflective_mutation.reflection_lm:StatelessReflectionLM": (
        "Questions go out at once, from threads where the model takes no batch. A component whose answer "
        "is unusable "
        'is left out and told in `metadata["rejected"]`; `reflect` raises when none is usable. Templates '
        "are checked."
    ),
    "gepa.strategies.batch_sampler:EpochShuffledBatchSampler": (
        "An epoch's order follows from seed and epoch, the place in it from `state.i`: a resumed run "
        "draws the same. "
        "A training set smaller than a minibatch is drawn once each, not repeated."
    ),
    "gepa.strategies.candidate_selector:ParetoCandidateSelector": _PARETO,
    "gepa.strategies.candidate_selector:TopKParetoCandidateSelector": _PARETO,
    "gepa.strategies.instruction_proposal:InstructionProposalSignature": (
        "Own words in the built-in template. Both places are filled in one pass. An answer without one "
        "whole code "
        "block raises `paretune.propose.guards.Rejected` instead of becoming the candidate."
    ),
    "gepa.utils:CompositeStopper": _EMPTY,
    "gepa.utils:SignalStopper": _SIGNALS,
    "gepa.utils.stop_condition:CompositeStopper": _EMPTY,
    "gepa.utils.stop_condition:SignalStopper": _SIGNALS,
    "gepa.visualization:candidate_tree_html": "Draws without a script from elsewhere.",
    "gepa.visualization:candidate_tree_html_from_data": "Draws without a script from elsewhere.",
}
