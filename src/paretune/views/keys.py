"""What each key of the job document did in this run, in words and numbers from its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paretune.config import AdaptivePoolConfig
from paretune.core import events
from paretune.views.conversation import demonstrations
from paretune.views.evidence import proposals
from paretune.views.pool import pool_course
from paretune.views.run_view import RunView
from paretune.views.verdicts import verdicts


@dataclass(frozen=True, slots=True)
class KeyEffect:
    """One key, the value it had, and what came of it."""

    key: str
    value: Any
    effect: str


def key_effects(view: RunView) -> list[KeyEffect]:
    """Every key of the stored document, in its order; empty for a run without a document."""
    document = view.run.job.get("document", {}).get("prompt_learning", {})
    effects = []
    for key, value in _flatten(document):
        explain = _EFFECTS.get(key)
        effects.append(KeyEffect(key, value, explain(view) if explain else _HANDED_ON.get(key, "as given")))
    return effects


def _flatten(section: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(section, dict):
        named = path.rpartition(".")[2] in ("rubric", "graph")
        if named or path in ("initial_prompt", "env_config", "gepa.env_config"):
            return [(path, "...")]
        return [
            item
            for key, value in section.items()
            for item in _flatten(value, f"{path}.{key}" if path else key)
        ]
    if isinstance(section, list) and any(isinstance(item, dict) for item in section):
        return [(path, "...")]
    if isinstance(section, list) and len(section) > 8:
        return [(path, f"{len(section)} of them")]
    return [(path, section)]


def _budget(view: RunView) -> str:
    spent = view.ledger.role("rollout")
    paid = f"{len(view.ledger.drawn)} rollouts drawn"
    if spent.reused:
        paid += f", {spent.reused} of them known before"
    return paid + (f", {spent.lost} attempts lost" if spent.lost else "")


def _generations(view: RunView) -> str:
    reached = max((row.generation for row in view.rows.values()), default=0)
    return f"reached generation {reached}; ended by {view.ended.reason if view.ended else 'nothing yet'}"


def _children(view: RunView) -> str:
    return f"{len(view.of_kind(events.ChildProposed))} children in all, {proposals(view)} proposals"


def _initial(view: RunView) -> str:
    zero = [row for row in view.rows.values() if row.generation == 0]
    return (
        f"generation 0 held the initial prompt and {len(zero) - 1} children; its share of the budget decided"
    )


def _gates(view: RunView) -> str:
    gates = [d for d in view.decisions if isinstance(d, events.GateDecided)]
    return f"{sum(g.passed for g in gates)} of {len(gates)} children passed their gate on that many examples"


def _split(name: str) -> Callable[[RunView], str]:
    def explain(view: RunView) -> str:
        ids = view.splits[name]
        scored = {example for _, example, _ in view.rollouts} & set(ids)
        return f"{len(ids)} examples, {len(scored)} of them rolled out"

    return explain


def _train(view: RunView) -> str:
    reflect, pareto = view.splits["reflect"], view.splits["pareto"]
    if set(reflect) == set(pareto):
        return f"all {len(pareto)} serve both the proposer and the frontier"
    return f"{len(reflect)} shown to the proposer, {len(pareto)} kept for the frontier"


def _finalists(view: RunView) -> str:
    if view.chosen is None:
        return "no choice yet"
    return f"{len(view.chosen.means)} compared on {view.chosen.chosen_on}, the initial prompt among them"


def _merges(view: RunView) -> str:
    merges = [row for row in view.rows.values() if row.origin == "merge"]
    return f"{len(merges)} children made by merging"


def _components(view: RunView) -> str:
    starts = [d for d in view.decisions if isinstance(d, events.StepStarted)]
    several = sum(len(d.targets) > 1 for d in starts)
    return f"{several} of {len(starts)} proposals edited more than one component"


def _demonstrations(view: RunView) -> str:
    best = view.best or view.seed
    shown = demonstrations(best.components, view.run.job.get("surface", {}))
    return f"the best text shows {sum(map(len, shown.values()))} solved examples"


def _lanes(view: RunView) -> str:
    heads = [d for d in view.decisions if isinstance(d, events.HeadMoved)]
    if not heads:
        return "one thing at a time, or no edit passed"
    count = Counter(d.reason for d in heads)
    told = ", ".join(f"{number} {reason}" for reason, number in count.most_common())
    return f"the head moved {len(heads)} times ({told})"


def _validations(view: RunView) -> str:
    ended = [d for d in view.decisions if isinstance(d, events.ValidationEnded)]
    return f"{len(ended)} validations, {sum(d.difference > 0 for d in ended)} made a new incumbent"


def _trials(view: RunView) -> str:
    tried = [d for d in view.decisions if isinstance(d, events.TrialStarted)]
    return f"{len(tried)} trials of {len({d.candidate for d in tried})} combinations"


def _in_full(view: RunView) -> str:
    full = sum(row.mean is not None for row in view.rows.values() if row.origin == "trial")
    return f"{full} combinations evaluated in full"


def _bootstrap(view: RunView) -> str:
    made = next((d for d in view.decisions if isinstance(d, events.Bootstrapped)), None)
    return f"{made.qualified} of {made.asked} rollouts reached {made.threshold:g}" if made else "not yet"


def _options(dimension: str) -> Callable[[RunView], str]:
    def explain(view: RunView) -> str:
        added = [d for d in view.decisions if isinstance(d, events.OptionAdded)]
        count = sum(d.dimension.rpartition(".")[2] == dimension for d in added)
        return f"{count} beside what the initial prompt has"

    return explain


def _rungs(view: RunView) -> str:
    rungs = [d for d in view.decisions if isinstance(d, events.RungEnded)]
    stopped = [d for d in rungs if d.stopped]
    saved = sum(d.wanted - d.measured for d in stopped)
    begun = len({d.candidate for d in rungs})
    return f"{len(stopped)} of {begun} full evaluations stopped early, {saved} rollouts not asked for"


def _pool(view: RunView) -> str:
    course = pool_course(view)
    return course.told if course else "every candidate was measured on all pareto examples"


def _archive(view: RunView) -> str:
    retired = len(view.of_kind(events.CandidateRetired))
    kept = sum(row.mean is not None for row in view.rows.values()) - retired
    return f"{kept} kept, {retired} left"


def _patience(view: RunView) -> str:
    stopped = view.ended is not None and view.ended.reason == "patience"
    return "ended the search" if stopped else "never reached"


def _money(view: RunView) -> str:
    return f"${view.ledger.cost_usd:.4f} spent"


def _by_category(view: RunView) -> str:
    spent = ((name, view.ledger.role(role).usd) for name, role in _CATEGORIES.items())
    return ", ".join(f"{name} ${usd:.4f}" for name, usd in spent)


def _tokens(*roles: str) -> Callable[[RunView], str]:
    def explain(view: RunView) -> str:
        ledger = view.ledger
        return f"{sum(ledger.role(role).tokens for role in roles or ledger.by_role)} tokens used"

    return explain


def _unpriced(view: RunView) -> str:
    count = sum(spent.unpriced for spent in view.ledger.by_role.values())
    return f"{count} calls without a known price, which no money cap counts"


def _length(view: RunView) -> str:
    cut = [d for d in view.of_kind(events.ProposalRejected) if getattr(d, "reason", "") == "too_long"]
    return f"{len(cut)} proposals were too long (length is an estimate, four characters a token)"


def _proposer(view: RunView) -> str:
    spent = view.ledger.role("proposal")
    return f"{proposals(view)} proposals, {spent.calls} calls, {spent.tokens} tokens"


def _verdicts(view: RunView) -> str:
    spent = view.ledger.role("verdict")
    known = f", {spent.reused} known before" if spent.reused else ""
    return f"{spent.calls} judge calls{known}, {spent.tokens} tokens"


def _fused(view: RunView) -> str:
    found = verdicts(view)
    judged = found.rollouts if found else 0
    return f"{judged} rollouts judged" + (f", {found.failed} without a verdict" if found else "")


_CATEGORIES = {"policy": "rollout", "proposer": "proposal", "verifier": "verdict"}
_JUDGES = [f"{place}{name}" for place in ("", "gepa.", "mipro.") for name in ("judge", "verifier")]
_EFFECTS: dict[str, Callable[[RunView], str]] = {
    "gepa.rollout.budget": _budget,
    "gepa.rollout.minibatch_size": _gates,
    "gepa.evaluation.seeds": _train,
    "gepa.evaluation.train_seeds": _train,
    "gepa.evaluation.validation_seeds": _split("select"),
    "gepa.evaluation.val_seeds": _split("select"),
    "gepa.evaluation.validation_pool": _split("select"),
    "gepa.evaluation.test_pool": _split("test"),
    "gepa.evaluation.validation_top_k": _finalists,
    "gepa.population.initial_size": _initial,
    "gepa.population.num_generations": _generations,
    "gepa.population.children_per_generation": _children,
    "gepa.population.crossover_rate": _merges,
    "gepa.population.patience_generations": _patience,
    "gepa.mutation.rate": _components,
    "gepa.demonstrations": _demonstrations,
    "gepa.archive.size": _archive,
    "gepa.archive.pareto_set_size": _train,
    "gepa.archive.feedback_fraction": _train,
    "gepa.pipeline.mode": _lanes,
    "gepa.pipeline.lanes": _lanes,
    "gepa.pipeline.staleness_policy": _lanes,
    "gepa.pipeline.drop_older_than": _lanes,
    "gepa.pipeline.guards": _gates,
    "gepa.pipeline.validate_every": _validations,
    "gepa.pipeline.validation_share": _validations,
    "gepa.pipeline.panel": _validations,
    "gepa.pipeline.plateau_after": _validations,
    "gepa.rungs.first": _rungs,
    "gepa.rungs.level": _rungs,
    "gepa.rungs.cells": _rungs,
    **dict.fromkeys((f"gepa.adaptive_pool.{name}" for name in AdaptivePoolConfig.model_fields), _pool),
    "gepa.adaptive_batch.level": _pool,
    "gepa.adaptive_batch.val_evaluation_mode": _pool,
    "gepa.adaptive_batch.val_subsample_size": _pool,
    "gepa.adaptive_batch.reflection_minibatch_size": _gates,
    "gepa.adaptive_batch.min_local_improvement": _gates,
    "gepa.token.max_limit": _length,
    "gepa.token.max_spend_usd": _money,
    "gepa.proposer_type": _proposer,
    "mipro.num_iterations": _trials,
    "mipro.num_evaluations_per_iteration": _trials,
    "mipro.batch_size": _trials,
    "mipro.auto": _trials,
    "mipro.full_eval_every_k": _in_full,
    "mipro.few_shot_score_threshold": _bootstrap,
    "mipro.min_bootstrap_demos": _bootstrap,
    "mipro.strict_bootstrap": _bootstrap,
    "mipro.bootstrap_train_seeds": _split("reflect"),
    "mipro.online_pool": _split("pareto"),
    "mipro.test_pool": _split("test"),
    "mipro.max_instructions": _options("instruction"),
    "mipro.max_instruction_sets": _options("instruction"),
    "mipro.instructions_per_batch": _options("instruction"),
    "mipro.generate_at_iterations": _options("instruction"),
    "mipro.max_demo_sets": _options("demonstrations"),
    "mipro.max_demo_set_size": _demonstrations,
    "mipro.proposer_type": _proposer,
    "mipro.max_spend_usd": _money,
    "mipro.max_total_tokens": _tokens(),
    "termination_config.max_cost_usd": _money,
    **{f"termination_config.max_category_costs_usd.{name}": _by_category for name in _CATEGORIES},
    "termination_config.max_trials_without_improvement": _patience,
    "termination_config.max_rollouts": _budget,
    "termination_config.max_total_tokens": _tokens(),
    "termination_config.max_policy_tokens": _tokens("rollout"),
    "termination_config.max_proposer_tokens": _tokens("proposal"),
    "termination_config.max_verifier_tokens": _tokens("verdict"),
    "termination_config.allow_unpriced": _unpriced,
    **{f"{section}.enabled": _verdicts for section in _JUDGES},
    **{f"{section}.reward_source": _fused for section in _JUDGES},
}

_HANDED_ON: dict[str, str] = {
    "container.attempts": "tries of a call before it counts as failed",
    "container.breaker_seconds": "how long a container that cannot be reached is waited for",
    "container.rollout_failure_rate_tolerance": "share of failed rollouts at which the run stops",
    "container.timeout_seconds": "time for one try",
    "gepa.evaluation.noise_replicates": "further rollouts of the initial prompt on the test split",
    "gepa.perfect_reward": "a reward that leaves nothing to learn",
    "gepa.preset": "which settings the search started from",
    "proposer.temperature": "sent with each proposal",
    "proposer.timeout_seconds": "time for one proposal",
    "algorithm": "the search that ran",
    "task_app_url": "where the rollouts went",
    "task_app_api_key": "sent with each request, written nowhere",
    "task_app_id": "part of what a rollout's result is remembered by",
    "gepa.env_name": "sent with each rollout",
    "gepa.rollout.max_concurrent": "rollouts in flight at most",
    "gepa.proposer_effort": "names the proposer's model, unless an endpoint is configured",
    "gepa.proposer_output_tokens": "the longest answer the proposer may give",
    "gepa.mutation.prompt": "what the proposer is told to do, in the place of the built-in words",
    "gepa.modules": "policies and tools went out with each rollout; no longer text passed a module's limit",
    "free_tier": "nothing costs here",
    "gepa.metaprompt": "what the proposer is told to do, in the place of the built-in words",
    "gepa.spec_path": "the specification that the proposer is shown",
    "gepa.spec_max_tokens": "the most tokens of the specification",
    "gepa.spec_include_examples": "whether the examples of its rules are shown too",
    "gepa.spec_priority_threshold": "rules of lower priority are left out",
    "gepa.population.selection_pressure": "exponent on frontier frequencies when parents are drawn",
    "gepa.archive.pareto_eps": "scores closer than this tie",
    "gepa.token.counting_model": "no tokenizer is installed: length is estimated",
    "gepa.token.enforce_pattern_limit": "whether the length limit holds",
    "gepa.adaptive_batch.candidate_selection_strategy": "parents by their cells, or any of the archive",
    "gepa.frontier_type": "what the frontier is kept per",
    "gepa.acceptance_criterion": "what a child must show at its gate",
    "mipro.env_name": "sent with each rollout",
    "mipro.max_concurrent": "rollouts in flight at most",
    "mipro.proposer_effort": "names the proposer's model, unless an endpoint is configured",
    "mipro.proposer_output_tokens": "the longest answer the proposer may give",
    "mipro.reference_pool": "rows that whoever writes instructions is shown",
    "mipro.rng_seed": "draws demonstrations, and what is tried first",
    "policy.model": "sent with each rollout",
    "policy.provider": "sent with each rollout",
    "policy.temperature": "sent with each rollout",
    "policy.max_completion_tokens": "sent with each rollout",
    "policy.inference_mode": "accepted; the container calls the model",
    "initial_prompt": "the components that were evolved",
}
