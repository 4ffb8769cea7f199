"""From the document's section about judges to who is asked, and what each of its fields does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paretune.config import PromptLearningConfig, RubricConfig, refuse_not_available
from paretune.config.rubrics import VerifierDocument
from paretune.container.client import ContainerClient, ContainerInfo
from paretune.core.errors import AttemptFailed, Misconfigured
from paretune.core.rollout import Usage
from paretune.engine.judging import Judging, graph_of, judge_of, judging, with_verifier
from paretune.evaluate.verifier.subject import Subject
from support.judges import Sent, judge_server

KEYS = {"OPENAI_API_KEY": "sk-openai", "GROQ_API_KEY": "sk-groq"}
RUBRIC = {"outcome": [{"id": "right", "description": "It is right."}]}
BOTH = {**RUBRIC, "events": [{"id": "useful", "description": "It helps."}]}
SUBJECT = Subject("in", "out", "", ("one", "two"))


def document(judge: Mapping[str, Any] | None = None, **more: Any) -> PromptLearningConfig:
    section = {"enabled": True, "backend_model": "gpt-4o-mini", **(judge or {})}
    found = {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", "judge": section, **more}
    config = PromptLearningConfig.from_mapping(found)
    refuse_not_available(config)
    assert PromptLearningConfig.from_mapping(config.to_dict()) == config
    return config


class Told(ContainerClient):
    """A container that says this about itself."""

    raw: dict[str, Any] = {}  # noqa: RUF012

    async def info(self) -> ContainerInfo:
        return ContainerInfo("t", "1", raw=self.raw)


def read(
    config: PromptLearningConfig, environment: Mapping[str, str] = KEYS, raw: Any = None
) -> Judging | None:
    async def made() -> Judging | None:
        client = Told("http://127.0.0.1:8001")
        client.raw = raw or {}
        async with judging(config, environment, client) as found:
            return found

    return asyncio.run(made())


def judges(judge: Mapping[str, Any], environment: Mapping[str, str] = KEYS, raw: Any = None) -> Judging:
    found = read(document(judge), environment, raw)
    assert found is not None
    return found


def request_of(judge: Mapping[str, Any], environment: Mapping[str, str] = {}) -> tuple[dict[str, Any], Usage]:
    """What goes out for a verdict."""

    async def ask() -> Usage:
        config = document({**judge, "backend_base": judge.get("backend_base", url)})
        async with judging(config, environment, Told("http://127.0.0.1:1")) as found:
            assert found is not None
            (one,) = found.verifier.judges.values()
            judgement, usage = await one.ask(SUBJECT)
            assert judgement.outcome == 0.25
            return usage

    rubric = graph_of(VerifierDocument(RubricConfig.model_validate(judge["rubric"]))).nodes[0].rubric
    assert rubric is not None
    with judge_server(rubric, lambda judged, criterion: 0.25) as (url, asked):
        usage = asyncio.run(ask())
        return asked[0], usage


# -- whose section, and by what it judges --------------------------------------------------------------------


def test_nobody_judges_unless_it_is_switched_on() -> None:
    assert read(document({"enabled": False})) is None


def test_the_section_may_stand_anywhere_but_only_say_one_thing() -> None:
    section = {"enabled": True, "backend_model": "m"}
    off = {"enabled": False}
    for place in ({"verifier": section}, {"gepa": {"judge": section}}, {"gepa": {"verifier": section}}):
        found = judge_of(document(off, **place) if "verifier" not in place else config_of(place))
        assert found is not None
        assert found.backend_model == "m"
    both = document(section, gepa={"judge": {**section, "backend_model": "n"}})
    with pytest.raises(
        Misconfigured, match=r"prompt_learning.judge.*differs from prompt_learning.gepa.judge"
    ):
        judge_of(both)


def config_of(more: Mapping[str, Any]) -> PromptLearningConfig:
    return PromptLearningConfig.from_mapping(
        {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", **more}
    )


def test_a_rubric_on_the_spot_else_the_containers_else_the_standard_one() -> None:
    criteria = [{"id": "polite", "description": "It is polite.", "weight": 2, "required": True}, {"id": "x"}]
    raw = {"rubrics": {"outcome": {"goal_text": "Be kind.", "criteria": criteria}, "events": None}}
    for judge, given, wanted in (
        ({"rubric": RUBRIC}, raw, ["right"]),
        ({}, raw, ["polite"]),
        ({}, {"rubrics": None}, ["correct", "complete"]),
        ({}, {"rubrics": [1]}, ["correct", "complete"]),
    ):
        found = judges(judge, raw=given).verifier.judges["judge"].rubric
        assert [one.id for one in found.outcome] == wanted
    assert judges({}, raw=raw).verifier.judges["judge"].rubric.goal == "Be kind."


def test_a_graph_asks_a_judge_for_each_node() -> None:
    nodes = [
        {"name": "a", "rubric": RUBRIC},
        {"name": "b", "rubric": RUBRIC, "model": "gpt-4o"},
        {"name": "all", "kind": "aggregate", "method": "max"},
    ]
    graph = {"nodes": nodes, "edges": [["a", "all"], ["b", "all"]]}
    found = judges({"graph": graph}).verifier
    assert {name: judge.model.identity.split()[0] for name, judge in found.judges.items()} == {
        "a": "api.openai.com/gpt-4o-mini",
        "b": "api.openai.com/gpt-4o",
    }
    with pytest.raises(Misconfigured, match="lead back"):
        judges({"graph": {"nodes": nodes[:2], "edges": [["a", "b"], ["b", "a"]]}})


def test_parts_are_switched_off_and_what_counts_must_be_judged() -> None:
    assert judges({"rubric": BOTH}).verifier.graph.parts() == {"events", "outcome"}
    assert judges({"rubric": BOTH, "backend_event_enabled": False}).verifier.graph.parts() == {"outcome"}
    assert judges({"rubric": BOTH, "backend_outcome_enabled": False}).verifier.graph.parts() == {"events"}
    fused = {"reward_source": "fused", "weight_event": 1.0}
    assert judges({"rubric": BOTH, **fused}).fusion.event == 1.0
    with pytest.raises(Misconfigured, match=r"weight_event: above 0, but nothing judges the events"):
        judges({"rubric": BOTH, **fused, "backend_event_enabled": False})
    with pytest.raises(Misconfigured, match=r"needs weight_event or weight_outcome"):
        judges({"rubric": BOTH, "reward_source": "fused"})


def test_a_registered_verifier_is_written_into_the_document() -> None:
    config = document({"backend_rubric_id": "words", "reward_source": "verifier"})
    found = with_verifier(config, lambda name: (f"{name}@3", {"rubric": RUBRIC}))
    section = judge_of(found)
    assert section is not None
    assert (section.synth_verifier_id, section.backend_rubric_id) == ("words@3", "words@3")
    assert read(found) is not None
    assert with_verifier(found, lambda name: pytest.fail("looked up twice")) == found
    with pytest.raises(Misconfigured, match="'words' was not looked up"):
        read(config)
    with pytest.raises(Misconfigured, match="stands beside a rubric"):
        document({"synth_verifier_id": "words", "rubric": RUBRIC})


# -- who is asked, and how -----------------------------------------------------------------------------


def test_what_goes_out() -> None:
    options = {"temperature": 0.5, "max_completion_tokens": 77, "seed": 4}
    prices = {"prompt_usd_per_million": 2.0, "completion_usd_per_million": 10.0}
    sent, usage = request_of({"rubric": BOTH, "backend_options": options, **prices})
    names = ("model", "temperature", "max_tokens", "seed")
    assert [sent[name] for name in names] == ["gpt-4o-mini", 0.5, 77, 4]
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["key"] is None
    assert usage == Usage(1000, 100, 0.003)
    sent, _ = request_of({"rubric": RUBRIC, "backend_options": {"response_format": "none"}})
    assert "response_format" not in sent
    assert (sent["temperature"], sent["max_tokens"]) == (0.0, 2000)


def test_the_specification_is_shown_as_far_as_it_may_be(tmp_path: Path) -> None:
    file = tmp_path / "spec.md"
    file.write_text("Begin. " + "x" * 5_000 + " End.")
    sent, _ = request_of({"rubric": RUBRIC, "spec_path": str(file), "spec_max_tokens": 100})
    text = sent["messages"][1]["content"]
    assert "Begin." in text
    assert "End." in text
    assert text.count("x") < 500
    sent, _ = request_of({"rubric": RUBRIC, "spec_context": "Answer in rhymes.", "spec_path": "/nowhere"})
    assert "Answer in rhymes." in sent["messages"][1]["content"]
    with pytest.raises(Misconfigured, match=r"judge.spec_path: cannot be read"):
        judges({"rubric": RUBRIC, "spec_path": str(tmp_path / "none")})


def test_keys_go_where_they_belong() -> None:
    own = {"PARETUNE_VERIFIER_API_KEY": "sk-own", **KEYS}
    for judge, environment, key in (
        ({}, KEYS, None),
        ({"backend_api_key_env": "SYNTH_API_KEY"}, {**KEYS, "SYNTH_API_KEY": "sk-synth"}, None),
        ({}, own, "Bearer sk-own"),
        ({"backend_api_key_env": "GROQ_API_KEY"}, own, "Bearer sk-groq"),
    ):
        sent, _ = request_of({"rubric": RUBRIC, **judge}, environment)
        assert sent["key"] == key
    elsewhere = {"PARETUNE_VERIFIER_BASE_URL": "http://127.0.0.1:9/v1", "PARETUNE_VERIFIER_MODEL": "m"}
    assert "127.0.0.1/m" in judges({"backend_model": ""}, elsewhere).verifier.judges["judge"].identity
    groq = judges({"backend_provider": "groq", "backend_model": "m"}).verifier
    assert "api.groq.com/m" in groq.judges["judge"].identity


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ({"backend_model": ""}, "PARETUNE_VERIFIER_MODEL"),
        ({"backend_provider": "google"}, "set GEMINI_API_KEY"),
        ({"backend_api_key_env": "NOT_SET"}, "NOT_SET is not set"),
    ],
)
def test_what_is_missing_is_named(judge: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        judges(judge)


def test_settings_of_the_calls() -> None:
    given = {"concurrency": 3, "timeout": 7.0, "attempts": 2, "repeat_share": 0.2, "rubric": RUBRIC}
    found = judges(given)
    who = found.verifier
    assert (who.concurrency, who.retry.attempts, who.repeat, found.timeout) == (3, 2, 0.2, 7.0)
    assert who.usd == pytest.approx((4000 * 0.15 + 2000 * 0.60) / 1e6)
    assert who.tokens is None
    assert judges({**given, "backend_options": {"max_completion_tokens": 500}}).verifier.tokens == 4500
    assert judges({**given, "backend_model": "nobody-knows"}).verifier.usd is None
    changes: list[dict[str, Any]] = [
        {"backend_model": "gpt-4o"},
        {"spec_context": "S."},
        {"backend_options": {"temperature": 1.0}},
        {"rubric": BOTH},
    ]
    identities = {judges({**given, **other}).verifier.identity for other in changes} | {who.identity}
    assert len(set(identities)) == 5
    assert judges({**given, "concurrency": 9}).verifier.identity == who.identity


def test_a_verdict_has_so_many_seconds() -> None:
    rubric = graph_of(VerifierDocument(RubricConfig.model_validate(RUBRIC))).nodes[0].rubric
    assert rubric is not None

    async def ask(url: str, timeout: float) -> None:
        config = document({"rubric": RUBRIC, "backend_base": url, "timeout": timeout})
        async with judging(config, {}, Told("http://127.0.0.1:1")) as found:
            assert found is not None
            await found.verifier.judges["judge"].ask(SUBJECT)

    late = Sent(body="{}", after=0.5)
    with (
        judge_server(rubric, lambda judged, criterion: 1.0, [late]) as (url, _),
        pytest.raises(AttemptFailed, match=r"no whole answer within 0\.2 s"),
    ):
        asyncio.run(ask(url, 0.2))
