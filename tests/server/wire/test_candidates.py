from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paretune.core.demonstrations import Demonstration, dump
from paretune.core.errors import Misconfigured
from paretune.server.wire.candidates import Query, one, page
from paretune.server.wire.prompts import Prompts
from support.recorded import DOCUMENT, Recorded, job_of, record


def pages(run: Recorded, **parameters: str) -> list[dict[str, Any]]:
    """All items, page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        found = page([(run.job, run.view)], Query.of({**parameters, "cursor": cursor}))
        items += found["items"]
        cursor = found["next_cursor"] or ""
        if not cursor:
            return items


def first(run: Recorded, **parameters: str) -> dict[str, Any]:
    return page([(run.job, run.view)], Query.of(parameters))


@pytest.mark.parametrize("sort", ["rank", "reward", "-reward", "created", "created_desc", "generation:desc"])
def test_pages_hold_every_candidate_once_and_in_order(sort: str) -> None:
    run = record("merging")
    items = pages(run, sort=sort, limit="3")
    assert sorted(item["candidate_id"] for item in items) == sorted(run.view.rows)
    assert items == first(run, sort=sort, limit="1000")["items"]
    name = {"-reward": "reward", "created_desc": "index", "created": "index"}.get(sort, sort.split(":")[0])
    values = [item[name] for item in items if name in item]
    assert values == sorted(values, reverse=sort in ("reward", "-reward", "created_desc", "generation:desc"))
    assert all(name in item for item in items[: len(values)])


def test_a_page_goes_on_where_the_last_one_ended_though_candidates_came() -> None:
    run = record("merging")
    rows = dict(list(run.view.rows.items())[:6])
    early = replace(run, view=replace(run.view, rows=rows, decisions=()))
    before = first(early, sort="created", limit="4")
    after = first(run, sort="created", limit="1000", cursor=before["next_cursor"])
    told = [item["candidate_id"] for item in before["items"] + after["items"]]
    assert told == list(run.view.rows)


def test_one_candidate_has_what_the_record_has() -> None:
    run = record("merging")
    best = run.view.best
    assert best is not None
    told = one(run.job, run.view, best.id)
    assert told is not None
    assert (told["rank"], told["is_best"], told["status"]) == (1, True, "accepted")
    assert told["reward"] == best.mean
    assert told["generation"] == best.generation
    assert told["parents"] == list(best.parents)
    rewards = run.view.rewards(best.id, "pareto")
    assert dict(zip(told["seeds"], told["instance_scores"], strict=True)) == rewards
    messages = told["artifact_payload"]["messages"]
    assert {m["name"]: m["pattern"] for m in messages} == best.components
    assert [m["name"] for m in messages] == run.run.job["components"]
    assert told["candidate_content"] == "\n\n".join(best.components[m["name"]] for m in messages)
    assert told["objectives"]["accuracy"] == told["objectives"]["reward"] == best.mean
    assert told["objectives"]["prompt_tokens"] > 0
    assert one(run.job, run.view, "c_nobody") is None


def test_named_rewards_are_objectives_and_unknown_ones_are_left_out() -> None:
    run = record("merging")
    for item in first(run)["items"]:
        assert None not in item.values()
        assert "tool_call_rate" not in item["objectives"]
        row = run.view.rows[item["candidate_id"]]
        named = [
            run.view.rollouts[row.id, example, 0].answer.objectives["solved"]
            for example in run.view.splits["pareto"]
            if row.mean is not None
        ]
        assert item["objectives"].get("solved") == (sum(named) / len(named) if named else None)
        assert ("reward" in item) == ("instance_scores" in item) == (row.mean is not None)


def test_the_frontier_is_the_one_of_the_search() -> None:
    """Whoever is alone the best on some example is on it; whoever is beaten everywhere is not."""
    run = record("merging")
    items = [item for item in first(run)["items"] if "reward" in item]
    lines = {item["candidate_id"]: item["instance_scores"] for item in items}
    for item in items:
        others = [line for candidate, line in lines.items() if candidate != item["candidate_id"]]
        own = lines[item["candidate_id"]]
        alone = any(all(other[i] < own[i] for other in others) for i in range(len(own)))
        beaten = all(any(other[i] > own[i] for other in others) for i in range(len(own)))
        assert item["is_pareto"] or not alone
        assert not (item["is_pareto"] and beaten)
        if not item["is_best"]:
            assert item["status"] == ("accepted" if item["is_pareto"] else "dominated")


def test_filters_and_what_is_included() -> None:
    run = record("merging")
    rejected = first(run, status="rejected")["items"]
    assert {item["candidate_id"] for item in rejected} == {
        row.id for row in run.view.rows.values() if row.state == "rejected"
    }
    both = first(run, status="accepted, rejected")["items"]
    assert len(both) > len(rejected) > 0
    assert all("artifact_payload" not in item for item in both)
    assert all("artifact_payload" in item for item in first(run, include="artifact_payload")["items"])
    assert first(run, mode="context")["items"] == []
    assert first(run, algorithm="mipro")["items"] == []
    found = first(run)
    assert (found["job_id"], found["system_id"]) == (run.job.id, "sys_1")
    assert (found["algorithm"], found["mode"], found["sort"]) == ("gepa", "prompt", "rank")


def test_a_page_over_several_jobs() -> None:
    one_run, other = record("merging"), record("classic")
    job = replace(other.job, id="pl_ffffffffffffffff")
    found = page([(one_run.job, one_run.view), (job, other.view)], Query.of({"limit": "1000"}))
    assert len(found["items"]) == len(one_run.view.rows) + len(other.view.rows)
    assert found["job_id"] is None
    assert found["system_id"] == "sys_1"


WRONG = [
    ("limit", "0", "from 1 to 1000"),
    ("limit", "1001", "from 1 to 1000"),
    ("limit", "many", "from 1 to 1000"),
    ("limit", "-1", "from 1 to 1000"),
    ("sort", "beauty", "rank, reward"),
    ("sort", "-reward_desc", "rank, reward"),
    ("status", "accepted,great", "accepted, dominated, evaluated"),
    ("include", "secrets", "artifact_payload, rationale"),
    ("mode", "image", "prompt, context, optimize_anything"),
    ("algorithm", "magic", "gepa, mipro"),
    ("cursor", "!!!", "next_cursor"),
    ("cursor", "AAAA", "next_cursor"),
    ("cursor", "WzEsMl0", "next_cursor"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_a_wrong_value_is_refused_by_name_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Query.of({name: value})
    assert caught.value.field == name
    assert allowed in caught.value.problem


def test_a_cursor_of_another_order_is_refused() -> None:
    cursor = first(record("merging"), sort="reward", limit="2")["next_cursor"]
    with pytest.raises(Misconfigured, match="sorted by reward"):
        Query.of({"sort": "created", "cursor": cursor})


# -- artifacts by mode ----------------------------------------------------------------------------


def prompts(mode: str, *order: str, roles: dict[str, str] | None = None) -> Prompts:
    inner = {**DOCUMENT["prompt_learning"], "optimization_mode": mode}
    job = job_of(document={"prompt_learning": inner})
    return Prompts.of(job, {"components": list(order), "surface": {"roles": roles or {}}})


def test_demonstrations_are_turns_of_the_prompt() -> None:
    surface = {"roles": {"ask": "user"}, "formats": {"demonstrations": "demonstrations"}}
    texts = {"ask": "Q {q}", "demonstrations": dump([Demonstration("1?", "one")]), "tools": "none"}
    order = ["ask", "tools", "demonstrations"]
    inner = {**DOCUMENT["prompt_learning"], "optimization_mode": "context"}
    for document in (DOCUMENT, {"prompt_learning": inner}):
        job = job_of(document=document)
        artifact = Prompts.of(job, {"components": order, "surface": surface}).artifact(texts)
        said = [(m["role"], m["content"]) for m in artifact.payload["messages"]]
        assert said[:3] == [("user", "Q 1?"), ("assistant", "one"), ("user", "Q {q}")]
        assert artifact.content.startswith("Q 1?\n\none\n\nQ {q}")
        assert artifact.payload.get("context_config", {"tools": "none"}) == {"tools": "none"}


def test_a_context_artifact_has_messages_and_settings() -> None:
    surface = prompts("context", "system", "retrieval", roles={"system": "system"})
    artifact = surface.artifact({"retrieval": "top_k = 5", "system": "Answer."})
    assert artifact.kind == "context"
    assert [m["pattern"] for m in artifact.payload["messages"]] == ["Answer."]
    assert artifact.payload["context_config"] == {"retrieval": "top_k = 5"}
    assert artifact.content == "Answer.\n\ntop_k = 5"


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("dsl_config",), "dsl_config"),
        (("notes", "solver_code"), "solver_code"),
        (("candidate_code", "notes"), "candidate_code"),
        (("main.py",), "candidate_code"),
    ],
)
def test_an_artifact_of_any_kind_is_named_by_its_component(names: tuple[str, ...], kind: str) -> None:
    texts = {name: f"text of {name}" for name in names}
    artifact = prompts("optimize_anything", *names).artifact(texts)
    main = kind if kind in names else names[0]
    assert (artifact.kind, artifact.content) == (kind, texts[main])
    assert artifact.payload[kind] == texts[main]
    assert set(artifact.payload.values()) == set(texts.values())
