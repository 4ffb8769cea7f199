"""The job document: as documented, nothing unknown, nothing ignored, and the same after a round trip."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import paretune.config
from paretune.config import (
    AdaptivePoolConfig,
    ContainerConfig,
    CriterionConfig,
    EdgeConfig,
    GEPAAdaptiveBatchConfig,
    GEPAArchiveConfig,
    GEPAConfig,
    GEPAEvaluationConfig,
    GEPAModuleConfig,
    GEPAMutationConfig,
    GEPAPipelineConfig,
    GEPAPopulationConfig,
    GEPARolloutConfig,
    GEPARungsConfig,
    GEPATokenConfig,
    GraphConfig,
    MessagePatternConfig,
    MIPROConfig,
    MIPRODemoConfig,
    MIPROGroundingConfig,
    MIPROMetaConfig,
    MIPROMetaUpdateConfig,
    MIPROModuleConfig,
    MIPROSeedConfig,
    MIPROStageConfig,
    MIPROTPEConfig,
    NodeConfig,
    PromptLearningConfig,
    PromptLearningJudgeConfig,
    PromptLearningPolicyConfig,
    PromptLearningVerifierConfig,
    PromptPatternConfig,
    ProposerConfig,
    ProxyModelsConfig,
    RubricConfig,
    SeedRange,
    TaskPoolsConfig,
    TerminationConfig,
)
from paretune.config.base import Section
from paretune.config.environment import reference, refuse_references, resolve_key
from paretune.config.gepa import FLAT
from paretune.core.errors import Misconfigured, NotAvailable
from paretune.engine.handed_on import ASSUMED_PROMPT_TOKENS
from paretune.engine.prepare import public_document
from paretune.engine.resolve.limits import limits_of, prices_of, queue_of
from paretune.engine.resolve.prompt import messages_of

DOCUMENTED = Path(__file__).with_name("documented.toml")

LEVELS: dict[str, type[Section]] = {
    "": PromptLearningConfig,
    "initial_prompt": PromptPatternConfig,
    "initial_prompt.messages.0": MessagePatternConfig,
    "policy": PromptLearningPolicyConfig,
    "gepa": GEPAConfig,
    "gepa.rollout": GEPARolloutConfig,
    "gepa.evaluation": GEPAEvaluationConfig,
    "gepa.mutation": GEPAMutationConfig,
    "gepa.population": GEPAPopulationConfig,
    "gepa.archive": GEPAArchiveConfig,
    "gepa.token": GEPATokenConfig,
    "gepa.pipeline": GEPAPipelineConfig,
    "gepa.rungs": GEPARungsConfig,
    "gepa.evaluation.seeds": SeedRange,
    "gepa.modules.0": GEPAModuleConfig,
    "gepa.judge": PromptLearningJudgeConfig,
    "gepa.judge.rubric": RubricConfig,
    "gepa.judge.rubric.outcome.0": CriterionConfig,
    "gepa.adaptive_pool": AdaptivePoolConfig,
    "gepa.adaptive_batch": GEPAAdaptiveBatchConfig,
    "mipro": MIPROConfig,
    "mipro.meta": MIPROMetaConfig,
    "mipro.modules.0": MIPROModuleConfig,
    "mipro.modules.0.stages.0": MIPROStageConfig,
    "mipro.seeds": MIPROSeedConfig,
    "mipro.tpe": MIPROTPEConfig,
    "mipro.demo": MIPRODemoConfig,
    "mipro.grounding": MIPROGroundingConfig,
    "mipro.meta_update": MIPROMetaUpdateConfig,
    "verifier": PromptLearningVerifierConfig,
    "verifier.graph": GraphConfig,
    "verifier.graph.nodes.0": NodeConfig,
    "verifier.graph.edges.0": EdgeConfig,
    "proxy_models": ProxyModelsConfig,
    "termination_config": TerminationConfig,
    "proposer": ProposerConfig,
    "container": ContainerConfig,
    "task_pools": TaskPoolsConfig,
}


def document(**beside: Any) -> dict[str, Any]:
    """The documented file with every section there is, as a mapping."""
    data = tomllib.loads(DOCUMENTED.read_text())
    inner = data["prompt_learning"]
    for name in (
        "mutation",
        "archive",
        "token",
        "pipeline",
        "rungs",
        "judge",
        "adaptive_pool",
        "adaptive_batch",
    ):
        inner["gepa"][name] = {}
    policy = {"model": "m", "provider": "openai"}
    inner["gepa"]["modules"] = [{"module_id": "a", "policy": policy}]
    stage = {"stage_id": "s", "baseline_instruction": "Answer.", "policy": policy}
    inner["mipro"] = {"meta": {}, "seeds": {}, "modules": [{"module_id": "a", "stages": [stage]}]}
    inner["mipro"] |= {name: {} for name in ("tpe", "demo", "grounding", "meta_update")}
    rubric = {"outcome": [{"id": "right", "description": "It is right."}]}
    inner["gepa"]["judge"]["rubric"] = rubric
    nodes = [{"name": "a", "rubric": rubric}, {"name": "all", "kind": "aggregate"}]
    verifier = {"graph": {"nodes": nodes, "edges": [{"source": "a", "target": "all"}]}}
    inner |= {"termination_config": {}, "proposer": {}, "container": {}, "verifier": verifier}
    models = {"hi_provider": "openai", "hi_model": "a", "lo_provider": "groq", "lo_model": "b"}
    inner["proxy_models"] = models
    inner["task_pools"] = {"reflection": ["a"], "pareto": ["b"]}
    return data | beside


def at(data: dict[str, Any], path: str) -> dict[str, Any]:
    place: Any = data["prompt_learning"]
    for part in filter(None, path.split(".")):
        place = place[int(part)] if isinstance(place, list) else place[part]
    assert isinstance(place, dict)
    return place


def dotted(path: str, key: str) -> str:
    return ".".join(["prompt_learning", *filter(None, [path]), key])


# -- as documented -----------------------------------------------------------------------------------


def test_the_documented_file_loads_as_printed() -> None:
    config = PromptLearningConfig.from_path(DOCUMENTED)
    gepa = config.gepa
    assert (config.algorithm, config.task_app_id) == ("gepa", "your-task")
    assert config.task_app_url == "https://your-tunnel.trycloudflare.com"
    assert config.task_app_api_key == "$ENVIRONMENT_API_KEY"
    assert config.initial_prompt is not None
    assert [(n, m.role, m.pattern) for n, m in config.initial_prompt.ordered()] == [
        ("system", "system", "You are a classifier. {instructions}"),
        ("user", "user", "{query}"),
    ]
    assert [message.component for message in messages_of(config)] == ["system", "user"]
    assert config.policy is not None
    assert (config.policy.model, config.policy.provider) == ("gpt-4o-mini", "openai")
    assert (config.policy.temperature, config.policy.max_completion_tokens) == (0.0, 512)
    assert (gepa.env_name, gepa.proposer_effort, gepa.proposer_output_tokens) == ("my-task", "LOW", "FAST")
    assert (gepa.rollout.budget, gepa.rollout.max_concurrent) == (100, 20)
    assert gepa.evaluation.seeds == list(range(50))
    assert gepa.evaluation.validation_seeds == [50, 51, 52, 53, 54]
    population = gepa.population
    assert (population.initial_size, population.num_generations) == (20, 10)
    assert population.children_per_generation == 5
    assert limits_of(config).rollouts == 100


def test_a_mapping_with_or_without_the_outer_name_is_the_same() -> None:
    outer = tomllib.loads(DOCUMENTED.read_text())
    expected = PromptLearningConfig.from_path(DOCUMENTED)
    beside = {"display": {"tui": True}, "results_folder": "out", "env_file_path": ".env"}
    for data in (outer, outer["prompt_learning"], outer | beside, outer["prompt_learning"] | beside):
        before = copy.deepcopy(data)
        assert PromptLearningConfig.from_mapping(data) == expected
        assert data == before


# -- unknown keys ------------------------------------------------------------------------------------


def test_the_levels_are_all_the_sections_there_are() -> None:
    public = [getattr(paretune.config, name) for name in paretune.config.__all__]
    sections = {found for found in public if isinstance(found, type) and issubclass(found, Section)}
    assert set(LEVELS.values()) == sections == set(_below(Section))


def _below(section: type[Section]) -> Iterator[type[Section]]:
    for kind in section.__subclasses__():
        yield kind
        yield from _below(kind)


def test_the_full_document_is_fine() -> None:
    assert PromptLearningConfig.from_mapping(document()).task_pools is not None


def _keys() -> Iterator[Any]:
    for path, section in LEVELS.items():
        for key in section.model_fields:
            yield pytest.param(path, key, id=dotted(path, key))


@pytest.mark.parametrize(("path", "key"), list(_keys()))
def test_a_misspelt_key_is_refused_with_the_right_one(path: str, key: str) -> None:
    data = document()
    at(data, path)[key + "x"] = 1
    with pytest.raises(Misconfigured) as caught:
        PromptLearningConfig.from_mapping(data)
    assert str(caught.value).startswith(dotted(path, "").rstrip("."))
    assert key + "x" in str(caught.value)
    assert f"did you mean {key!r}?" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", LEVELS)
def test_a_key_that_is_like_no_other_is_answered_with_those_there_are(path: str) -> None:
    data = document()
    at(data, path)["zzz"] = 1
    with pytest.raises(Misconfigured, match="unknown key") as caught:
        PromptLearningConfig.from_mapping(data)
    assert all(key in str(caught.value) for key in LEVELS[path].model_fields)


def test_a_section_beside_the_job_is_refused() -> None:
    with pytest.raises(Misconfigured, match="prompt_lerning"):
        PromptLearningConfig.from_mapping(document(prompt_lerning={}))


# -- known, not built --------------------------------------------------------------------------------


def _not_yet() -> Iterator[Any]:
    for path, section in LEVELS.items():
        for key in sorted(section.NOT_YET):
            yield pytest.param(path, key, id=dotted(path, key))


@pytest.mark.parametrize(("path", "key"), list(_not_yet()))
@pytest.mark.parametrize("value", [{}, {"enabled": True}, "x", 0, False, []])
def test_what_is_not_built_is_refused_by_name_whatever_its_value(path: str, key: str, value: Any) -> None:
    data = document()
    at(data, path)[key] = value
    with pytest.raises(NotAvailable) as caught:
        PromptLearningConfig.from_mapping(data)
    assert str(caught.value) == f"not available yet: {dotted(path, key)}"


@pytest.mark.parametrize(("path", "key"), list(_not_yet()))
def test_what_is_not_built_may_stand_there_empty(path: str, key: str) -> None:
    data = document()
    at(data, path)[key] = None
    assert PromptLearningConfig.from_mapping(data) == PromptLearningConfig.from_mapping(document())


# -- old spellings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flat", "nested"), FLAT.items())
def test_a_flat_key_gets_the_documented_answer(flat: str, nested: str) -> None:
    section, field = nested.split(".")
    data = document()
    data["prompt_learning"]["gepa"][flat] = 1
    with pytest.raises(Misconfigured) as caught:
        PromptLearningConfig.from_mapping(data)
    assert str(caught.value) == (
        f"prompt_learning.gepa.{flat}: Deprecated flat GEPA format field '{flat}': "
        f"Use [prompt_learning.gepa.{section}] section with '{field}' field instead."
    )
    known = LEVELS[f"gepa.{section}"]
    assert field in {*known.model_fields, *known.NOT_YET, *known.INSTEAD}


@pytest.mark.parametrize("key", ["llm_model", "llm_provider", "llm_inference_url"])
def test_the_deprecated_mutation_model_is_answered_with_where_it_went(key: str) -> None:
    data = document()
    data["prompt_learning"]["gepa"]["mutation"][key] = "x"
    with pytest.raises(Misconfigured, match="proposer_effort"):
        PromptLearningConfig.from_mapping(data)


# -- values ------------------------------------------------------------------------------------------

_WRONG: list[tuple[str, str, Any]] = [
    ("", "task_app_url", "your-tunnel.example"),
    ("", "algorithm", "genetic"),
    ("initial_prompt", "messages", []),
    ("policy", "inference_url", "ftp://x"),
    ("policy", "max_completion_tokens", 0),
    ("gepa", "proposer_effort", "low"),
    ("gepa", "proposer_output_tokens", "QUICK"),
    ("gepa", "preset", "paper"),
    ("gepa.rollout", "budget", 0),
    ("gepa.rollout", "budget", "many"),
    ("gepa.rollout", "max_concurrent", -1),
    ("gepa.mutation", "rate", 1.5),
    ("gepa.population", "selection_pressure", float("inf")),
    ("gepa.population", "selection_pressure", -0.1),
    ("gepa.archive", "pareto_eps", 0),
    ("gepa.archive", "feedback_fraction", float("nan")),
    ("gepa.token", "max_spend_usd", float("inf")),
    ("gepa.rungs", "first", -1),
    ("gepa.rungs", "level", 0),
    ("gepa.pipeline", "mode", "flash"),
    ("gepa.pipeline", "lanes", 0),
    ("gepa.pipeline", "validation_share", 0),
    ("termination_config", "target_reward", float("nan")),
    ("termination_config", "max_seconds", 0),
    ("termination_config", "max_policy_tokens", 0),
    ("termination_config", "allow_unpriced", ["referee"]),
    ("container", "rollout_failure_rate_tolerance", 2),
    ("container", "breaker_seconds", 0),
    ("container", "breaker_seconds", float("inf")),
    ("proposer", "temperature", float("inf")),
]


@pytest.mark.parametrize(("path", "key", "value"), _WRONG, ids=[f"{p}.{k}={v}" for p, k, v in _WRONG])
def test_a_wrong_value_is_refused_by_name(path: str, key: str, value: Any) -> None:
    data = document()
    at(data, path)[key] = value
    with pytest.raises(Misconfigured) as caught:
        PromptLearningConfig.from_mapping(data)
    assert dotted(path, "").rstrip(".") in caught.value.field
    assert key in str(caught.value)


def test_the_tighter_of_two_caps_holds() -> None:
    data = document()
    inner = data["prompt_learning"]
    inner["gepa"]["token"] = {"max_spend_usd": 3.0}
    inner["termination_config"] = {"max_rollouts": 70, "max_cost_usd": 5.0, "max_seconds": 9, "max_trials": 4}
    limits = limits_of(PromptLearningConfig.from_mapping(data))
    assert (limits.rollouts, limits.cost_usd, limits.seconds, limits.steps) == (70, 3.0, 9.0, 4)


def test_what_the_queue_and_the_ledger_are_told() -> None:
    data = document()
    inner = data["prompt_learning"]
    inner["container"] = {"breaker_seconds": 5, "attempts": 2}
    inner["termination_config"] = {
        "max_total_tokens": 9,
        "max_policy_tokens": 8,
        "max_proposer_tokens": 7,
        "allow_unpriced": ["proposer"],
    }
    config = PromptLearningConfig.from_mapping(data)
    assert (queue_of(config).breaker, queue_of(config).retry.attempts) == (5.0, 2)
    limits = limits_of(config)
    assert (limits.tokens, limits.rollout_tokens, limits.proposal_tokens) == (9, 8, 7)
    assert prices_of(config, "").unknown_allowed == {"proposal"}
    longest = config.policy.max_completion_tokens if config.policy else 0
    assert prices_of(config, "").rollout_tokens == ASSUMED_PROMPT_TOKENS + longest


def test_keys_come_from_the_environment_and_go_nowhere() -> None:
    environment = {"ENVIRONMENT_API_KEY": "s3cret"}
    config = PromptLearningConfig.from_path(DOCUMENTED)
    field = "task_app_api_key"
    assert resolve_key(config.task_app_api_key, field, environment, "OTHER") == "s3cret"
    assert resolve_key(None, field, environment, "ENVIRONMENT_API_KEY") == "s3cret"
    with pytest.raises(Misconfigured, match="ENVIRONMENT_API_KEY is not set"):
        resolve_key(config.task_app_api_key, field, {}, "OTHER")
    assert public_document(config)["prompt_learning"][field] == "$ENVIRONMENT_API_KEY"
    plain = document()
    plain["prompt_learning"][field] = plain["prompt_learning"]["mipro"][field] = "s3cret"
    assert "s3cret" not in json.dumps(public_document(PromptLearningConfig.from_mapping(plain)))
    assert reference("s3cret") != "s3cret"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"index": "$INDEX_PASSPHRASE"}, "env_config.index"),
        ({"stores": [{"place": "a"}, {"place": "${PLACE} "}]}, r"env_config.stores\[1\].place"),
    ],
)
def test_references_are_refused_where_nothing_is_looked_up(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Misconfigured, match=rf"{field}: \$.* where the task runs"):
        refuse_references("env_config", settings)


def test_texts_with_a_dollar_are_no_references() -> None:
    refuse_references("env_config", {"$a": "costs $5", "b": ["$5", "$", "$A/b", "$$", None, 3, "a $NAME"]})


# -- there and back ----------------------------------------------------------------------------------

_WORD = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | _WORD,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORD, inner, max_size=2),
    max_leaves=4,
)
_ENV = st.dictionaries(_WORD, _JSON, max_size=3)
_RATE = st.floats(0, 1)
_COUNT = st.integers(1, 1000)
_SEEDS = st.lists(st.integers(-9, 99), max_size=5, unique=True) | st.fixed_dictionaries(
    {"start": st.integers(-5, 5), "end": st.integers(-5, 30)}, optional={"step": st.integers(1, 4)}
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict(fields))


_NAME = st.text(min_size=1, max_size=8)
_POLICY = st.fixed_dictionaries(
    {"model": _NAME, "provider": st.sampled_from(["openai", "groq", "google"])},
    optional={"temperature": st.floats(0, 2), "config": _ENV},
) | st.fixed_dictionaries(
    {"model": _NAME, "provider": _NAME, "inference_url": st.just("http://127.0.0.1/v1")}
)
_LEVEL = st.sampled_from(["NONE", "LOW", "moderate", " HIGH "])
_POOL = _some(
    level=_LEVEL,
    anchor_size=st.integers(0, 20),
    pool_init_size=st.none() | st.integers(200, 300),
    heatup_reserve_pool=st.integers(0, 9) | _SEEDS,
    info_buffer_factor=_RATE,
)
_JUDGE = _some(
    enabled=st.booleans(),
    reward_source=st.sampled_from(["task_app", "judge", "verifier"]),
    synth_verifier_id=_WORD,
    weight_env=_RATE,
    backend_options=_ENV,
)
_PROXY = st.fixed_dictionaries(
    {"hi_provider": st.just("openai"), "hi_model": _NAME, "lo_provider": st.just("groq"), "lo_model": _NAME},
    optional={"r2_thresh": _RATE, "n_min_hi": st.integers(0, 9)},
)
_GEPA = _some(
    env_name=_WORD,
    env_config=_ENV,
    rng_seed=st.integers(0, 9),
    preset=st.just("default"),  # "classic" decides most of the others
    proposer_type=st.sampled_from(["dspy", "synth", "operators"]),
    proposer_effort=st.sampled_from(["LOW", "HIGH"]),
    metaprompt=_WORD,
    demonstrations=st.booleans(),
    perfect_reward=st.floats(-9, 9),
    rollout=_some(budget=_COUNT, max_concurrent=_COUNT, minibatch_size=_COUNT),
    evaluation=_some(seeds=_SEEDS, validation_seeds=_SEEDS, test_pool=_SEEDS, validation_top_k=_COUNT),
    mutation=_some(rate=_RATE),
    population=_some(initial_size=_COUNT, crossover_rate=_RATE, patience_generations=st.integers(0, 9)),
    archive=_some(size=_COUNT, pareto_set_size=_COUNT, feedback_fraction=_RATE),
    token=_some(max_limit=_COUNT, counting_model=_WORD, max_spend_usd=st.floats(0, 9)),
    modules=st.lists(st.fixed_dictionaries({"module_id": st.just("a"), "policy": _POLICY}), max_size=1),
    adaptive_pool=_POOL,
    adaptive_batch=_some(level=_LEVEL, reflection_minibatch_size=_COUNT, val_subsample_size=_COUNT),
)
_MIPRO = _some(
    num_iterations=_COUNT,
    seeds=st.sampled_from([{"bootstrap": [0, 1], "online": {"start": 2, "end": 60}}, {"test": [70]}]),
    reference_pool=st.just([99]),
    adaptive_pool=_POOL,
    tpe=_some(n_startup_trials=_COUNT, n_ei_candidates=_COUNT),
    policy_config=_POLICY,
    judge=_JUDGE,
)
_MESSAGE = st.fixed_dictionaries(
    {"role": _WORD, "pattern": _WORD}, optional={"order": st.integers(-3, 3), "name": _WORD}
)
_DOCUMENT = st.fixed_dictionaries(
    {"algorithm": st.just("gepa"), "task_app_url": st.just("http://127.0.0.1:8001/")},
    optional={
        "task_app_id": _WORD,
        "env_config": _ENV,
        "gepa": _GEPA,
        "initial_prompt": st.fixed_dictionaries(
            {"messages": st.lists(_MESSAGE, min_size=1, max_size=3)},
            optional={"id": _WORD, "wildcards": st.dictionaries(_WORD, _WORD, max_size=2)},
        ),
        "policy": _POLICY,
        "optimization_mode": st.sampled_from(["prompt", "context"]),
        "judge": _JUDGE,
        "verifier": _JUDGE,
        "proxy_models": _PROXY,
        "free_tier": st.booleans(),
        "mipro": _MIPRO,
        "termination_config": _some(max_rollouts=_COUNT, target_reward=st.floats(-2, 2)),
        "container": _some(attempts=_COUNT, rollout_failure_rate_tolerance=_RATE),
        "proposer": _some(base_url=_WORD, model=_WORD, api_key_env=_WORD),
        "task_pools": st.fixed_dictionaries(
            {"reflection": st.lists(_WORD, max_size=2), "pareto": st.lists(_WORD, max_size=2)}
        ),
    },
)


def _fitting(data: dict[str, Any]) -> dict[str, Any]:
    """Without what contradicts something else in it."""
    if data.get("gepa", {}).get("proposer_effort") == "HIGH":
        data.pop("free_tier", None)
    if "judge" in data:
        data.pop("verifier", None)
    if "adaptive_pool" in data.get("gepa", {}):
        data["gepa"]["evaluation"] = {"train_seeds": {"start": 0, "end": 60}}
    return data


@given(data=_DOCUMENT.map(_fitting))
def test_there_and_back(data: dict[str, Any]) -> None:
    config = PromptLearningConfig.from_mapping(data)
    written = config.to_dict()
    assert PromptLearningConfig.from_mapping(written) == config
    assert PromptLearningConfig.from_mapping(json.loads(json.dumps(written))) == config
    assert PromptLearningConfig.from_mapping(written).to_dict() == written
    assert public_document(config)["prompt_learning"] == written["prompt_learning"]


def test_what_was_left_out_stays_out_and_what_was_given_stays_given() -> None:
    """Some keys mean more when they are given: a written default must not become a given one."""
    config = PromptLearningConfig.from_path(DOCUMENTED)
    written = config.to_dict()["prompt_learning"]
    assert written.keys() == tomllib.loads(DOCUMENTED.read_text())["prompt_learning"].keys()
    assert written["gepa"]["rollout"] == {"budget": 100, "max_concurrent": 20}
    again = PromptLearningConfig.from_mapping({"prompt_learning": written})
    assert again.gepa.rollout.model_fields_set == config.gepa.rollout.model_fields_set


def test_classic_decides_alone() -> None:
    def with_gepa(gepa: dict[str, Any]) -> PromptLearningConfig:
        return PromptLearningConfig.from_mapping(
            {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", "gepa": gepa}
        )

    classic: dict[str, Any] = {"preset": "classic", "rollout": {"minibatch_size": 4}}
    config = with_gepa(classic)
    assert PromptLearningConfig.from_mapping(config.to_dict()).gepa == config.gepa
    for more in (
        {"population": {"initial_size": 3}},
        {"perfect_reward": 5.0},
        {"archive": {"size": 8}},
        {"rungs": {"first": 8}},
    ):
        with pytest.raises(Misconfigured, match="preset 'classic' decides"):
            with_gepa(classic | more)
