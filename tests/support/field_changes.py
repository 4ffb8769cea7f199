"""Every field of the job document, with a value that changes something; and the few that change nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

IGNORED = {
    "GEPATokenConfig.counting_model": "no tokenizer comes along: length is estimated, whatever the model",
    "MIPROConfig.token_counting_model": "no tokenizer comes along: length is estimated, whatever the model",
    "GEPAModuleConfig.max_instruction_slots": "a module is one text, which is edited as a whole",
    "MIPROModuleConfig.module_id": "a name for people: a policy and options belong to a stage",
    "MIPROModuleConfig.edges": "checked; which stage feeds which is the program's business",
    "MIPROConfig.results_file": "results are in the store; a document must not choose a file on a server",
    "MIPROConfig.duplicate_retry_limit": "a combination that comes again is asked other examples",
    "PromptLearningPolicyConfig.inference_mode": "has one value; it is sent as it is",
    "PromptLearningConfig.use_byok": "keys are always one's own here",
    "GEPAConfig.use_byok": "keys are always one's own here",
}
"""Accepted and not used, with the reason; docs/job.md has the same list."""

POLICY = {"model": "gpt-4o-mini", "provider": "openai"}
OTHER = {"model": "gpt-4o", "provider": "openai"}
MESSAGES = [{"role": "system", "pattern": "Think."}, {"role": "user", "pattern": "{x}", "order": 1}]
COMMON: dict[str, Any] = {
    "task_app_url": "http://127.0.0.1:8001",
    "initial_prompt": {"messages": MESSAGES},
    "policy": POLICY,
    "proposer": {
        "base_url": "http://127.0.0.1:9/v1",
        "model": "writer",
        "prompt_usd_per_million": 1.0,
        "completion_usd_per_million": 1.0,
    },
}
EVALUATION = {"seeds": {"start": 0, "end": 100}, "validation_seeds": [100, 101], "test_pool": [110, 111]}
GEPA = COMMON | {"algorithm": "gepa", "gepa": {"evaluation": EVALUATION}}
POOLS = {
    "bootstrap_train_seeds": {"start": 0, "end": 40},
    "online_pool": {"start": 40, "end": 100},
    "test_pool": [110, 111],
}
MIPRO = COMMON | {"algorithm": "mipro", "mipro": POOLS}
RUBRIC = {
    "outcome": [
        {"id": "right", "description": "It is right."},
        {"id": "short", "description": "It is short."},
    ],
    "events": [{"id": "calm", "description": "It is calm."}],
}
RUBRIC_2 = {"outcome": [{"id": "kind", "description": "It is kind."}]}
JUDGE: dict[str, Any] = {
    "enabled": True,
    "reward_source": "judge",
    "backend_base": "http://127.0.0.1:9/v1",
    "backend_model": "gpt-4o-mini",
    "weight_event": 1.0,
    "weight_outcome": 1.0,
    "rubric": RUBRIC,
}
GRAPH: dict[str, Any] = {
    "nodes": [
        {"name": "a", "rubric": RUBRIC_2},
        {"name": "b", "rubric": RUBRIC_2},
        {"name": "x", "kind": "aggregate"},
        {"name": "y", "kind": "aggregate"},
    ],
    "edges": [
        {"source": "a", "target": "x"},
        {"source": "x", "target": "y"},
        {"source": "b", "target": "y"},
        {"source": "b", "target": "x"},
    ],
    "output": "y",
}
PROXY = {"hi_provider": "openai", "hi_model": "gpt-4o-mini", "lo_provider": "groq", "lo_model": "b"}
STAGES = [{"stage_id": name, "baseline_instruction": "Do.", "policy": POLICY} for name in ("a", "b")]
ENVIRONMENT = {
    "MINE": "one",
    "ENVIRONMENT_API_KEY": "two",
    "OPENAI_API_KEY": "three",
    "GROQ_API_KEY": "four",
    "HERS": "five",
}
SPEC = (
    "## Labels (priority 9)\n\nAnswer with a label.\n\n### Examples\n\n- lost -> card\n\n## Tone\n\nBe kind."
)


@dataclasses.dataclass(frozen=True)
class Change:
    """`value` in the place of what stands there, beside what is `given` in both documents; `too` is changed
    along with it. `refused`: the second document is an error that says this."""

    value: Any
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    too: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    refused: str = ""


def beside(given: Mapping[str, Any], **changes: Any) -> dict[str, Change]:
    """Keys of the only section that is given -> their changes."""
    place = next(iter(given))
    return {f"{place}.{name.replace('__', '.')}": Change(value, given) for name, value in changes.items()}


def inside(place: str, **changes: Any) -> dict[str, Change]:
    return {
        f"{place}.{name}": value if isinstance(value, Change) else Change(value)
        for name, value in changes.items()
    }


def specified(place: str) -> dict[str, Change]:
    given = {f"{place}.spec_path": "@SPEC"}
    return {
        f"{place}.spec_path": Change("@SPEC"),
        f"{place}.spec_max_tokens": Change(8, given),
        f"{place}.spec_include_examples": Change(False, given),
        f"{place}.spec_priority_threshold": Change(9, given),
    }


POOL = {
    "level": "LOW",
    "anchor_size": 5,
    "pool_init_size": 40,
    "pool_min_size": 25,
    "warmup_iters": 2,
    "anneal_stop_iter": 12,
    "pool_update_period": 2,
    "min_evals_per_example": 3,
    "k_info_prompts": 7,
    "info_buffer_factor": 0.5,
    "info_epsilon": 1e-3,
    "anchor_selection_method": "random",
    "exploration_strategy": "random",
    "heatup_reserve_pool": {"start": 0, "end": 60},
    "heatup_trigger": "immediate",
    "heatup_size": 5,
    "heatup_cooldown_trials": 9,
    "heatup_schedule": "once",
}
TASK_POOLS = {
    "reflection": ["train-1", "train-2", "train-3"],
    "pareto": ["train-4", "train-5"],
    "heldout": ["test-400"],
    "test": ["test-401"],
}
ONE_STAGE = {
    "initial_prompt": None,
    "policy": None,
    "mipro.modules": [{"module_id": "m", "stages": STAGES[:1]}],
}
TWO_STAGES = {"initial_prompt": None, "mipro.modules": [{"module_id": "m", "stages": STAGES}]}
SEEDS = {"bootstrap": [1, 2, 3], "online": [4, 5, 6], "test": [7], "reference": [8]}
NAMED_SEEDS = {f"mipro.{name}": None for name in POOLS} | {"mipro.seeds": SEEDS}
BATCH = {"gepa.adaptive_batch": {"level": "MODERATE", "val_subsample_size": 16}}
MODULES = {"gepa.modules": [{"module_id": "system", "policy": POLICY}]}
NO_SEEDS: dict[str, Any] = {"gepa.evaluation": {}}

PROXIED: dict[str, Any] = {
    "rule": "r2",
    "lo_estimated_cost_usd": 0.1,
    "hi_provider": "groq",
    "hi_model": "c",
    "lo_provider": "openai",
    "lo_model": "c",
    "hi_inference_url": "http://127.0.0.1:5/v1",
    "lo_inference_url": "http://127.0.0.1:5/v1",
    "n_min_hi": 9,
    "r2_thresh": 0.6,
    "r2_stop": 0.3,
    "sigma_max": 1.0,
    "sigma_stop": 1.0,
    "verify_every": 3,
    "proxy_patience_usd": 0.0,
}
WEIGHTED = GRAPH | {"nodes": [*GRAPH["nodes"][:3], GRAPH["nodes"][3] | {"method": "weighted"}]}
HELPED = GRAPH | {"nodes": [GRAPH["nodes"][0] | {"on_failure": "default"}, *GRAPH["nodes"][1:]]}


def graphed(graph: Mapping[str, Any]) -> dict[str, Any]:
    return {"judge": JUDGE | {"rubric": None, "weight_event": 0.0, "graph": graph}}


def judged_by(graph: Mapping[str, Any], **changes: Any) -> dict[str, Change]:
    return {
        f"judge.graph.{name.replace('__', '.')}": Change(value, graphed(graph))
        for name, value in changes.items()
    }


CHANGES: dict[str, Change] = {
    **inside(
        "",
        algorithm="gepa+mipro",
        task_app_url="http://127.0.0.1:8002",
        task_app_api_key="$MINE",
        task_app_id="t",
        optimization_mode="context",
        auto_discover_patterns=True,
        env_config={"a": 1},
        free_tier=Change(True, {"gepa.proposer_effort": "HIGH"}, refused="the free tier has"),
    ),
    **inside("initial_prompt", id="mine", name="Mine", wildcards={"x": "that"}),
    **inside("initial_prompt.messages.0", role="developer", pattern="Guess.", order=9, name="first"),
    **inside(
        "policy",
        model="gpt-4o",
        provider="groq",
        inference_url="http://127.0.0.1:7/v1",
        temperature=0.5,
        max_completion_tokens=99,
        policy_name="p",
        config={"tools": 1},
        context_override={"a": 1},
    ),
    **inside(
        "gepa",
        env_name="e",
        env_config={"a": 1},
        rng_seed=1,
        preset="classic",
        proposer_type="operators",
        proposer_effort="HIGH",
        proposer_output_tokens="SLOW",
        metaprompt="Write.",
        demonstrations=True,
        frontier_type="objective",
        acceptance_criterion="improvement_or_equal",
        perfect_reward=0.5,
    ),
    **specified("gepa"),
    **inside("gepa.rollout", budget=500, max_concurrent=3, minibatch_size=6),
    **inside(
        "gepa.evaluation",
        seeds={"start": 0, "end": 90},
        train_seeds=Change(
            {"start": 0, "end": 60}, {"gepa.evaluation.seeds": None, "gepa.evaluation.train_seeds": [1, 2]}
        ),
        validation_seeds=[100],
        val_seeds=Change([100], {"gepa.evaluation.validation_seeds": None}),
        test_pool=[110],
        validation_pool=Change("validation", {"gepa.evaluation.validation_seeds": None}),
        validation_top_k=2,
        noise_replicates=1,
    ),
    **inside("gepa.evaluation.seeds", start=5, end=50, step=2),
    **inside("gepa.mutation", rate=0.5, prompt="Write."),
    **inside(
        "gepa.population",
        initial_size=5,
        num_generations=4,
        children_per_generation=2,
        crossover_rate=0.1,
        selection_pressure=2.0,
        patience_generations=1,
    ),
    **inside("gepa.archive", size=8, pareto_set_size=20, pareto_eps=0.1, feedback_fraction=0.2),
    **inside(
        "gepa.pipeline",
        mode="sync",
        lanes=2,
        staleness_policy="accept",
        drop_older_than=2,
        guards=1,
        validate_every=2,
        validation_share=0.5,
        panel=8,
        plateau_after=1,
        replicates=0,
        ablation=False,
    ),
    **inside("gepa.rungs", first=8, level=0.1, cells=0.1),
    **inside(
        "gepa.token",
        max_limit=99,
        enforce_pattern_limit=Change(False, {"gepa.token.max_limit": 99}),
        max_spend_usd=3.0,
    ),
    **inside(
        "gepa.modules.0",
        module_id=Change("user", MODULES),
        allowed_tools=Change(["search"], MODULES),
        max_tokens=Change(50, MODULES),
        policy=Change(OTHER, MODULES),
    ),
    **beside({"gepa.adaptive_pool": {"level": "HIGH"}}, **POOL),
    **beside({"mipro.adaptive_pool": {"level": "HIGH"}}, level="NONE"),
    **beside(
        BATCH,
        level="NONE",
        reflection_minibatch_size=7,
        min_local_improvement=0.1,
        val_evaluation_mode="full",
        val_subsample_size=24,
        candidate_selection_strategy="random",
    ),
    **{
        f"{place}.enabled": Change(False, {place: JUDGE})
        for place in ("verifier", "gepa.judge", "gepa.verifier", "mipro.judge", "mipro.verifier")
    },
    **beside(
        {"judge": JUDGE},
        enabled=False,
        reward_source="fused",
        backend_base="http://127.0.0.1:6/v1",
        backend_api_key_env="MINE",
        backend_model="gpt-4o",
        synth_verifier_id="v@1",
        backend_rubric_id="v@1",
        backend_options={"temperature": 1.0},
        concurrency=3,
        attempts=2,
        timeout=9.0,
        weight_event=2.0,
        weight_outcome=2.0,
        spec_path="@SPEC",
        spec_context="A bank.",
        rubric=RUBRIC_2 | {"events": RUBRIC["events"]},
        repeat_share=0.5,
        rubric__goal="Be good.",
        rubric__outcome__0__id="true",
        rubric__outcome__0__description="It is true.",
        rubric__outcome__0__weight=3.0,
        rubric__events__0__weight=3.0,
    ),
    **inside(
        "judge",
        backend_provider=Change("groq", {"judge": JUDGE | {"backend_base": ""}}),
        backend_event_enabled=Change(False, {"judge": JUDGE | {"weight_event": 0.0}}),
        backend_outcome_enabled=Change(False, {"judge": JUDGE | {"weight_outcome": 0.0}}),
        weight_env=Change(3.0, {"judge": JUDGE | {"reward_source": "fused"}}),
        spec_max_tokens=Change(3, {"judge": JUDGE | {"spec_path": "@SPEC"}}),
        prompt_usd_per_million=Change(9.0, {"judge": JUDGE | {"completion_usd_per_million": 9.0}}),
        completion_usd_per_million=Change(9.0, {"judge": JUDGE | {"prompt_usd_per_million": 9.0}}),
    ),
    **judged_by(
        GRAPH,
        nodes__0__rubric={"outcome": RUBRIC["outcome"]},
        nodes__0__model="gpt-4o",
        nodes__0__on_failure="skip",
        nodes__3__method="min",
        edges__0__source="b",
        edges__0__target="y",
        output="x",
    ),
    **judged_by({"nodes": GRAPH["nodes"][:1]}, nodes__0__name="z"),
    **judged_by(WEIGHTED, nodes__3__weights={"x": 5.0}),
    **judged_by(HELPED, nodes__0__default=0.5),
    "judge.graph.nodes.1.kind": Change(
        "aggregate",
        graphed(GRAPH),
        too={
            "judge.graph.nodes.1.rubric": None,
            "judge.graph.edges": [*GRAPH["edges"][:3], {"source": "a", "target": "b"}],
        },
    ),
    **{
        f"{place}proxy_models.{name}": Change(value, {f"{place}proxy_models": PROXY, "policy": None})
        for place, names in (("", PROXIED), ("gepa.", ["lo_model"]), ("mipro.", ["lo_model"]))
        for name, value in PROXIED.items()
        if name in names
    },
    **inside(
        "termination_config",
        max_rollouts=900,
        max_trials=9,
        max_cost_usd=5.0,
        max_total_tokens=10**6,
        max_policy_tokens=10**6,
        max_proposer_tokens=10**6,
        max_verifier_tokens=10**6,
        max_seconds=60.0,
        max_time_seconds=60.0,
        target_reward=0.9,
        allow_unpriced=["policy"],
        max_trials_without_improvement=5,
        pessimism_enabled=True,
        max_category_costs_usd={"proposer": 1.0},
    ),
    **inside(
        "proposer",
        base_url="http://127.0.0.1:10/v1",
        model="another",
        api_key_env="MINE",
        temperature=0.5,
        timeout_seconds=9.0,
        prompt_usd_per_million=2.0,
        completion_usd_per_million=2.0,
    ),
    **inside(
        "container",
        timeout_seconds=9.0,
        attempts=2,
        breaker_seconds=9.0,
        rollout_failure_rate_tolerance=0.5,
        rollout_estimated_cost_usd=0.1,
    ),
    **{
        f"task_pools.{name}": Change(value, {"task_pools": TASK_POOLS} | NO_SEEDS)
        for name, value in {
            "split": "validation",
            "reflection": ["train-1", "train-2"],
            "pareto": ["train-4"],
            "minibatch": ["train-1"],
            "heldout_split": "validation",
            "heldout": ["test-405"],
            "test_split": "validation",
            "test": ["test-406"],
        }.items()
    },
    **inside(
        "mipro",
        task_app_url=Change(
            "http://127.0.0.1:8002", {"task_app_url": None, "mipro.task_app_url": "http://a"}
        ),
        task_app_api_key="$MINE",
        task_app_id="t",
        num_iterations=3,
        num_evaluations_per_iteration=2,
        batch_size=8,
        max_concurrent=3,
        env_name="e",
        env_config={"a": 1},
        few_shot_score_threshold=0.5,
        max_wall_clock_seconds=60.0,
        max_total_tokens=10**6,
        policy_config=Change(OTHER, {"policy": None}),
        meta=Change({"model": "m"}, refused="deprecated"),
        bootstrap_train_seeds=[1, 2],
        online_pool=[50, 51],
        test_pool=[120],
        reference_pool=[130],
        proposer_type="operators",
        proposer_effort="HIGH",
        proposer_output_tokens="SLOW",
        max_token_limit=99,
        max_spend_usd=3.0,
        enforce_token_limit=Change(False, {"mipro.max_token_limit": 99}),
        auto="heavy",
        rng_seed=1,
        parameters={"user": ["{x}", "Q: {x}"]},
        metaprompt="Write.",
        min_bootstrap_demos=3,
        strict_bootstrap=True,
        max_demo_set_size=1,
        max_demo_sets=2,
        max_instruction_sets=2,
        full_eval_every_k=7,
        instructions_per_batch=4,
        max_instructions=3,
        generate_at_iterations=[1],
    ),
    **specified("mipro"),
    **inside("mipro.tpe", n_startup_trials=3, n_ei_candidates=9),
    **inside("mipro.demo", max_bootstrapped_demos=1, max_labeled_demos=9),
    **inside("mipro.grounding", data=False, program=False, tips=False, history=False),
    **inside("mipro.meta_update", enabled=False),
    **{
        f"mipro.meta.{name}": Change(value, refused="deprecated")
        for name, value in {
            "model": "m",
            "provider": "p",
            "inference_url": "http://a",
            "temperature": 0.5,
            "max_tokens": 9,
        }.items()
    },
    **inside(
        "mipro.modules.0.stages.0",
        stage_id=Change("c", TWO_STAGES),
        baseline_instruction=Change("Guess.", TWO_STAGES),
        max_instruction_slots=Change(2, TWO_STAGES),
        max_demo_slots=Change(0, TWO_STAGES),
        policy=Change(OTHER, TWO_STAGES),
        baseline_messages=Change([{"role": "user", "content": "Guess."}], ONE_STAGE),
    ),
    **{
        f"mipro.seeds.{name}": Change([20], NAMED_SEEDS)
        for name in ("bootstrap", "online", "test", "reference")
    },
}
