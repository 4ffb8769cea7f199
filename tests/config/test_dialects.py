"""Documents as clients of several years send them, and short ones: the same job, or refused by name."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.config import PromptLearningConfig
from paretune.config.dialects import CLIENT_KEYS
from paretune.core.errors import Misconfigured, NotAvailable

DOCUMENTED = Path(__file__).with_name("documented.toml")


def documented() -> dict[str, Any]:
    data: dict[str, Any] = tomllib.loads(DOCUMENTED.read_text())
    return data


def inner() -> dict[str, Any]:
    section: dict[str, Any] = documented()["prompt_learning"]
    return section


def job(**more: Any) -> dict[str, Any]:
    return {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", **more}


MIPRO = {"bootstrap_train_seeds": [0, 1], "online_pool": [2, 3]}


# -- whole documents ------------------------------------------------------------------------------


def from_the_first_client() -> dict[str, Any]:
    """synth-ai 0.4.1: defaults of given sections written out, seeds listed and copied."""
    section = inner()
    section["policy"] |= {"inference_mode": "synth_hosted"}
    section["free_tier"] = False
    section["gepa"]["proposer_type"] = "dspy"
    section["gepa"]["evaluation"]["seeds"] = list(range(50))
    section["gepa"]["rollout"] |= {"minibatch_size": 8}
    rest = {"crossover_rate": 0.5, "selection_pressure": 1.0, "patience_generations": 3}
    section["gepa"]["population"] |= rest
    section |= {"train_seeds": list(range(50)), "evaluation_seeds": list(range(50))}
    return {"prompt_learning": section}


def from_the_second_client() -> dict[str, Any]:
    """synth-ai 0.6.6: another section name and address, no key, a limit on tokens in two places."""
    section = from_the_first_client()["prompt_learning"]
    del section["task_app_api_key"], section["free_tier"]
    section["localapi_url"] = section.pop("task_app_url")
    section["auto_discover_patterns"] = False
    section["policy"] |= {"config": {}}
    section["gepa"] |= {
        "proposed_prompt_max_tokens": 32000,
        "token": {"max_limit": 32000, "counting_model": "gpt-4", "enforce_pattern_limit": True},
    }
    return {"policy_optimization": section}


def from_the_third_client() -> dict[str, Any]:
    """synth-ai 0.9.11: the prompt as a candidate of one stage, the kind of job said three times."""
    section = from_the_second_client()["policy_optimization"]
    section["container_url"] = section.pop("localapi_url")
    section["container_id"] = section.pop("task_app_id")
    section |= {"algorithm_name": "gepa", "execution_mode": "offline", "job_kind": "optimization"}
    section |= {"optimization_mode": "prompt", "target_mode": "prompt", "target_kind": None}
    section["rollout_health_check_mode"] = "warn"
    prompt = section.pop("initial_prompt")
    messages = [{"role": m["role"], "content": m["pattern"]} for m in prompt["messages"]]
    stage = {"stage_id": prompt["id"], "name": prompt["name"], "messages": messages}
    section["gepa"]["initial_candidate"] = {"stages": [stage]}
    section["gepa"]["throughput"] = {"max_concurrent_rollouts": 20}
    section["gepa"]["proposer_type"] = "synth"
    return {"prompt_learning": section}


@pytest.mark.parametrize(
    ("send", "differs"),
    [
        (from_the_first_client, {}),
        (from_the_second_client, {"task_app_api_key": None, "token": 32000}),
        (from_the_third_client, {"task_app_api_key": None, "token": 32000, "type": "synth"}),
    ],
)
def test_a_client_of_any_year_sends_the_documented_job(send: Any, differs: dict[str, Any]) -> None:
    section = inner()
    if "task_app_api_key" in differs:
        del section["task_app_api_key"]
    if "token" in differs:
        section["gepa"]["token"] = {"max_limit": differs["token"]}
        section["gepa"]["evaluation"]["seeds"] = list(range(50))
    if "type" in differs:
        section["gepa"]["proposer_type"] = differs["type"]
    data = send()
    before = copy.deepcopy(data)
    assert PromptLearningConfig.from_mapping(data) == PromptLearningConfig.from_mapping(section)
    assert data == before, "what comes in is never changed"


# -- one name at a time ---------------------------------------------------------------------------

# what is sent, the same under today's names
AGREE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"container_url": "http://127.0.0.1:8001"}, {}),
    ({"localapi_api_key": "$K"}, {"task_app_api_key": "$K"}),
    ({"container_id": "c"}, {"task_app_id": "c"}),
    ({"train_seeds": [1, 2]}, {"gepa": {"evaluation": {"train_seeds": [1, 2]}}}),
    (
        {"evaluation_seeds": [0, 1], "gepa": {"evaluation": {"seeds": {"start": 0, "end": 2}}}},
        {"gepa": {"evaluation": {"seeds": [0, 1]}}},
    ),
    ({"env_name": "e"}, {"gepa": {"env_name": "e"}}),
    ({"gepa": {"proposed_prompt_max_tokens": 9}}, {"gepa": {"token": {"max_limit": 9}}}),
    ({"gepa": {"prompt_budget": {"max_spend_usd": 1.0}}}, {"gepa": {"token": {"max_spend_usd": 1.0}}}),
    (
        {"gepa": {"prompt_budget": {"max_limit": 9}, "token": {"counting_model": "m"}}},
        {"gepa": {"token": {"max_limit": 9, "counting_model": "m"}}},
    ),
    ({"gepa": {"throughput": {"max_concurrent_rollouts": 3}}}, {"gepa": {"rollout": {"max_concurrent": 3}}}),
    ({"gepa": {"mode": "offline"}}, {"gepa": {}}),
    ({"verifier": {"verifier_graph_id": "v"}}, {"verifier": {"synth_verifier_id": "v"}}),
    ({"gepa": {"judge": {"verifier_graph_id": "v"}}}, {"gepa": {"judge": {"backend_rubric_id": "v"}}}),
    (
        {"policy": {"provider": "groq", "config": {"tools": 1}}},
        {"policy": {"model": None, "provider": "groq", "config": {"tools": 1}}},
    ),
    ({"_defaults_version": "v1", "config_schema_version": "2"}, {}),
    ({"target_mode": "anything"}, {"optimization_mode": "optimize_anything"}),
    (
        {"target_mode": "anything", "target_kind": "context", "optimization_mode": "context"},
        {"optimization_mode": "context"},
    ),
    ({"algorithm": "mipro", "mipro": {}, **MIPRO}, {"algorithm": "mipro", "mipro": MIPRO}),
    (
        {"algorithm": "mipro", "mipro": MIPRO, **MIPRO, "env_name": "e"},
        {"algorithm": "mipro", "mipro": {**MIPRO, "env_name": "e"}},
    ),
    (
        {"algorithm": "mipro", "mipro": {"bootstrap_train_seeds": [0], "online_train_seeds": [1]}},
        {"algorithm": "mipro", "mipro": {"bootstrap_train_seeds": [0], "online_pool": [1]}},
    ),
]


@pytest.mark.parametrize(("sent", "today"), AGREE, ids=[str(n) for n in range(len(AGREE))])
def test_an_old_name_means_todays(sent: dict[str, Any], today: dict[str, Any]) -> None:
    assert PromptLearningConfig.from_mapping(job(**sent)) == PromptLearningConfig.from_mapping(job(**today))


_PROXY = {"hi_provider": "openai", "hi_model": "a", "lo_provider": "groq", "lo_model": "b"}


def test_one_proxy_for_all_may_be_repeated() -> None:
    twice = PromptLearningConfig.from_mapping(job(proxy_models=_PROXY, gepa={"proxy_models": _PROXY}))
    assert twice.proxy_models is not None
    assert twice.gepa.proxy_models is None


CONTRADICT: list[tuple[dict[str, Any], str]] = [
    ({"localapi_url": "http://elsewhere"}, "localapi_url"),
    ({"algorithm_name": "mipro"}, "algorithm_name"),
    ({"target_mode": "prompt", "optimization_mode": "context"}, "target_mode"),
    ({"train_seeds": [5], "gepa": {"evaluation": {"seeds": [1, 2]}}}, "train_seeds"),
    ({"evaluation_seeds": [5], "gepa": {"evaluation": {"train_seeds": [1, 2]}}}, "evaluation_seeds"),
    ({"env_name": "a", "gepa": {"env_name": "b"}}, "env_name"),
    (
        {"gepa": {"proposed_prompt_max_tokens": 9, "token": {"max_limit": 8}}},
        "gepa.proposed_prompt_max_tokens",
    ),
    (
        {"gepa": {"prompt_budget": {"max_limit": 9}, "token": {"max_limit": 8}}},
        "gepa.prompt_budget.max_limit",
    ),
    (
        {"proxy_models": _PROXY, "gepa": {"proxy_models": {**_PROXY, "n_min_hi": 1}}},
        "gepa.proxy_models",
    ),
    (
        {"proxy_models": _PROXY, "gepa": {"proxy_models": {**_PROXY, "lo_model": "c"}}},
        "gepa.proxy_models",
    ),
    ({"algorithm": "mipro", "mipro": MIPRO, "online_pool": [7]}, "online_pool"),
    ({"verifier": {"verifier_graph_id": "a", "synth_verifier_id": "b"}}, "verifier.verifier_graph_id"),
    (
        {
            "initial_prompt": {"messages": [{"role": "user", "pattern": "a"}]},
            "gepa": {"initial_candidate": {"stages": [{"messages": [{"role": "user", "content": "b"}]}]}},
        },
        "gepa.initial_candidate",
    ),
]


@pytest.mark.parametrize(("sent", "field"), CONTRADICT, ids=[field for _, field in CONTRADICT])
def test_a_copy_that_says_something_else_is_refused(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(Misconfigured, match="differs from") as caught:
        PromptLearningConfig.from_mapping(job(**sent))
    assert caught.value.field == f"prompt_learning.{field}"


def test_two_outer_names_that_differ_are_refused() -> None:
    section = job()
    same = {"prompt_learning": section, "policy_optimization": dict(section)}
    assert PromptLearningConfig.from_mapping(same) == PromptLearningConfig.from_mapping(section)
    with pytest.raises(Misconfigured, match="policy_optimization"):
        PromptLearningConfig.from_mapping({**same, "policy_optimization": job(task_app_id="x")})


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"execution_mode": "online"}, "execution_mode"),
        ({"gepa": {"mode": "online"}}, "execution_mode"),
        ({"job_kind": "eval"}, "job_kind"),
        ({"gepa": {"initial_candidate": {"stages": [{}, {}]}}}, "gepa.initial_candidate"),
        ({"gepa": {"proposer_backend": "rlm"}}, "gepa.proposer_backend"),
        ({"artifact_kind": "dsl_config"}, "artifact_kind"),
    ],
)
def test_what_clients_know_and_we_do_not_do_is_said(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(NotAvailable) as caught:
        PromptLearningConfig.from_mapping(job(**sent))
    assert str(caught.value) == f"not available yet: prompt_learning.{field}"


def test_a_trial_before_the_run_is_strict_or_not() -> None:
    with pytest.raises(Misconfigured, match="must be strict, warn or off") as caught:
        PromptLearningConfig.from_mapping(job(gepa={"rollout_health_check_mode": "never"}))
    assert caught.value.field == "prompt_learning.gepa.rollout_health_check_mode"


def test_a_copied_name_stays_unknown_where_no_client_puts_it() -> None:
    with pytest.raises(Misconfigured, match="online_pool: unknown key"):
        PromptLearningConfig.from_mapping(job(online_pool=[1]))
    with pytest.raises(Misconfigured, match="model"):
        PromptLearningConfig.from_mapping(job(policy={"provider": "openai"}))


# -- short documents ------------------------------------------------------------------------------

SHORT = {
    "total_seeds": 200,
    "proposer_effort": "LOW",
    "proposer_output_tokens": "FAST",
    "num_generations": 10,
    "children_per_generation": 5,
}


def test_a_short_document_is_expanded_as_its_client_would() -> None:
    config = PromptLearningConfig.from_mapping(job(**SHORT))
    gepa, population, archive = config.gepa, config.gepa.population, config.gepa.archive
    assert gepa.evaluation.train_seeds == list(range(140))
    assert gepa.evaluation.validation_seeds == list(range(140, 200))
    assert (gepa.rollout.budget, gepa.rollout.max_concurrent) == (100_000_000, 20)
    assert (population.initial_size, population.num_generations, population.children_per_generation) == (
        14,
        10,
        5,
    )
    assert (population.crossover_rate, population.selection_pressure, gepa.mutation.rate) == (0.5, 1.0, 0.3)
    assert (archive.size, archive.pareto_set_size) == (28, 28)
    assert (archive.pareto_eps, archive.feedback_fraction) == (1e-6, 0.5)
    assert config.termination_config.max_cost_usd is None


@pytest.mark.parametrize(("total", "size"), [(20, 10), (200, 14), (1000, 30)])
def test_the_population_follows_from_the_seeds(total: int, size: int) -> None:
    config = PromptLearningConfig.from_mapping(job(**{**SHORT, "total_seeds": total}))
    assert config.gepa.population.initial_size == size


def test_a_short_document_may_give_seeds_size_and_caps() -> None:
    short = {key: value for key, value in SHORT.items() if key != "total_seeds"}
    more = {"train_seeds": {"start": 0, "end": 9}, "validation_seeds": [20], "population_size": 12}
    config = PromptLearningConfig.from_mapping(job(**short, **more, max_rollouts=50))
    assert config.gepa.evaluation.train_seeds == list(range(9))
    assert config.gepa.population.initial_size == 12
    caps = config.termination_config
    assert (caps.max_cost_usd, caps.max_trials, caps.max_rollouts) == (1000.0, 100_000, 50)


@pytest.mark.parametrize("key", SHORT)
def test_a_short_document_lacks_nothing(key: str) -> None:
    with pytest.raises(Misconfigured, match=key):
        PromptLearningConfig.from_mapping(job(**{name: SHORT[name] for name in SHORT if name != key}))


# -- anything at all ------------------------------------------------------------------------------

_KEYS = st.sampled_from(
    [
        *(
            "gepa",
            "mipro",
            "policy",
            "algorithm",
            "seeds",
            "evaluation",
            "token",
            "modules",
            "stages",
            "judge",
        ),
        *(
            "initial_candidate",
            "train_seeds",
            "adaptive_pool",
            "level",
            "total_seeds",
            "messages",
            "env_config",
        ),
        *("task_app_url", "container_url", "proxy_models", "initial_prompt", "prompt_learning", *CLIENT_KEYS),
    ]
)
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["gepa", "LOW"]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(_KEYS, part, max_size=4),
    max_leaves=20,
)


@given(data=st.dictionaries(_KEYS, _ANYTHING, max_size=6), whole=st.booleans())
def test_whatever_comes_is_read_or_refused_in_one_line(data: dict[str, Any], whole: bool) -> None:
    try:
        PromptLearningConfig.from_mapping({"prompt_learning": job(**data)} if whole else data)
    except Misconfigured as error:
        said = str(error)
        if "\n" in said:
            pytest.fail(said)


@pytest.mark.parametrize("data", [[], "text", None, 5, {"prompt_learning": []}, {"prompt_learning": "x"}, {}])
def test_what_is_no_table_is_refused(data: Any) -> None:
    with pytest.raises(Misconfigured, match="prompt_learning"):
        PromptLearningConfig.from_mapping(data)


def test_deep_nesting_is_refused() -> None:
    deep: dict[str, Any] = {}
    place = deep
    for _ in range(100_000):
        place["a"] = {}
        place = place["a"]
    with pytest.raises(Misconfigured, match="nested deeper"):
        PromptLearningConfig.from_mapping(job(env_config=deep))
    while deep:  # taken apart from outside in: a table this deep cannot be freed at once
        deep = deep.pop("a", {})
