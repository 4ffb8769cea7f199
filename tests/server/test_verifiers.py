"""Verifiers over HTTP: registered, found, and used by a job that names one."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from paretune.config.rubrics import VerifierDocument
from paretune.engine.judging import graph_of
from paretune.engine.verify import check_record
from paretune.sdk import SynthClient
from paretune.store import Run
from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.judges import material, verdict
from support.paced_task import PacedTask
from support.programs import paretune
from support.served import ONLINE, Server, serving

pytestmark = pytest.mark.timeout(240)
VERIFIERS = "/api/v1/verifiers"
DOCUMENTED = Path(__file__).parents[1] / "config" / "documented.toml"

RUBRIC = {
    "goal": "Code words are told as the house wants them.",
    "outcome": [{"id": "short", "description": "One word."}, {"id": "loud", "description": "In upper case."}],
}
GRAPH = {
    "nodes": [
        {"name": "one", "rubric": RUBRIC},
        {"name": "two", "rubric": RUBRIC, "model": "another", "on_failure": "skip"},
        {"name": "all", "kind": "aggregate", "method": "min"},
    ],
    "edges": [["one", "all"], ["two", "all"]],
}


def model(prompt: str) -> str:
    """Writes proposals, and judges what it is shown."""
    if not prompt.startswith("You judge"):
        return reflective(prompt)
    rubric = graph_of(VerifierDocument.from_mapping({"rubric": RUBRIC})).nodes[0].rubric
    assert rubric is not None
    return json.dumps(verdict(rubric, material(prompt), score))


def score(judged: Mapping[str, Any], criterion: str) -> float:
    text = judged["output"]
    return float(text.isupper()) if criterion == "loud" else 1 / len(text.split())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with chat_server(model, key="sk-of-the-judge") as url:
        variables = {
            "PARETUNE_PROPOSER_BASE_URL": url,
            "PARETUNE_PROPOSER_API_KEY": "sk-of-the-judge",
            "PARETUNE_VERIFIER_BASE_URL": url,
            "PARETUNE_VERIFIER_API_KEY": "sk-of-the-judge",
        }
        with serving(tmp_path_factory.mktemp("verifiers"), **variables) as served:
            yield served


def register(server: Server, name: str, status: int = 201, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.ask("POST", VERIFIERS, status, json={"name": name, **more})
    return found


def test_versions_are_found_and_never_change(server: Server) -> None:
    first = register(server, "words", rubric=RUBRIC, metadata={"owner": "me"})
    assert (first["version"], first["kind"], first["reference"]) == (1, "rubric", "words@1")
    assert register(server, "words", rubric=RUBRIC)["id"] == first["id"]
    second = register(server, "words", graph=GRAPH)
    assert (second["version"], second["kind"]) == (2, "graph")
    by = {ref: server.get(f"{VERIFIERS}/{ref}") for ref in ("words", "words@1", first["id"], "words@2")}
    assert by["words"] == by["words@2"] == second
    assert by["words@1"] == by[first["id"]] == first
    assert first["rubric"] == RUBRIC
    listed = server.get(VERIFIERS, name="words")["items"]
    assert [one["reference"] for one in listed] == ["words@2", "words@1"]
    for unknown in ("words@3", "words@x", "nobody", "vf_0"):
        server.ask("GET", f"{VERIFIERS}/{unknown}", 404)
    server.ask("PUT", f"{VERIFIERS}/words@1", 405)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "rubric or a graph"),
        ({"rubric": {}}, "at least one criterion"),
        ({"rubric": {"outcome": [{"id": "a"}]}}, "verifier.rubric.outcome.0.description"),
        ({"rubric": {**RUBRIC, "goals": ""}}, "did you mean 'goal'"),
        ({"rubric": RUBRIC, "kind": "graph"}, "a rubric was sent"),
        ({"graph": {**GRAPH, "edges": [["one", "all"], ["all", "one"]]}}, "lead back to themselves: 'one'"),
        ({"graph": {**GRAPH, "edges": [["one", "none"]]}}, "no node 'none'"),
        ({"rubric": RUBRIC, "metadata": 3}, "metadata"),
    ],
)
def test_what_is_no_verifier_is_refused(server: Server, sent: dict[str, Any], said: str) -> None:
    assert said in json.dumps(register(server, "bad", 422, **sent))
    assert "not vf_ in front" in json.dumps(register(server, "vf_mine", 422, rubric=RUBRIC))
    assert server.get(VERIFIERS, name="bad")["items"] == []


def document(task: PacedTask, **judge: Any) -> dict[str, Any]:
    """The documented TOML, with a verifier."""
    found = tomllib.loads(DOCUMENTED.read_text())
    inner = found["prompt_learning"]
    inner |= {"task_app_url": task.url}
    inner["judge"] = {"enabled": True, "backend_model": "a-judge", **judge}
    return found


@pytest.mark.parametrize("name", ["synth_verifier_id", "backend_rubric_id", "verifier_graph_id"])
def test_a_job_names_its_verifier_and_keeps_its_version(server: Server, task: PacedTask, name: str) -> None:
    kept = register(server, f"house-{name}", graph=GRAPH)
    fused = {"reward_source": "fused", "weight_env": 1.0, "weight_outcome": 3.0}
    job_id = server.submit(document(task, **{name: kept["id"]}, **fused), ONLINE)
    register(server, f"house-{name}", rubric=RUBRIC)  # which comes too late
    assert server.until(job_id, "succeeded")["state"] == "succeeded"
    with server.kept() as (workspace, jobs):
        job = jobs.job(job_id)
        section: Any = job.document["prompt_learning"]["judge"]
        assert section["synth_verifier_id"] == kept["reference"]
        assert section["graph"]["nodes"][2]["method"] == "min"
        store = workspace.store
        facts = store.facts(store.drawn(job.run_id), job.run_id)
        rollouts = [fact.body for fact in facts.values() if fact.kind == "rollout"]
        assert len(rollouts) > 50
        for body in rollouts:
            judged = (
                score({"output": body["output"]}, "loud") + score({"output": body["output"]}, "short")
            ) / 2
            had = body["objectives"]
            assert had["outcome"] == pytest.approx(judged)
            assert body["reward"] == pytest.approx((had["environment"] + 3 * judged) / 4)
        assert len({mark["node"] for mark in rollouts[0]["trace"]["verdict"]["marks"]}) == 2
        assert check_record(store, job.run_id) == []
        run: Run = store.run(job.run_id)
        assert "sk-of-the-judge" not in json.dumps([run.job, dict(job.document)])


def test_a_job_is_refused_for_what_the_server_would_not_give_it(server: Server, task: PacedTask) -> None:
    def refused(**judge: Any) -> str:
        return json.dumps(server.ask("POST", ONLINE, 422, json={"config_body": document(task, **judge)}))

    assert "no verifier 'nobody' is registered here" in refused(synth_verifier_id="nobody")
    assert "reads no files" in refused(spec_path="/etc/passwd")
    assert "HOME is not handed to jobs" in refused(backend_api_key_env="HOME")


def test_the_client_and_the_command_line_register_too(server: Server, tmp_path: Path) -> None:
    verifiers = SynthClient(base_url=server.url).verifiers
    made = verifiers.create("client", rubric=RUBRIC, metadata={"n": 1})
    assert verifiers.get("client@1") == made
    assert [one["id"] for one in verifiers.list(name="client")["items"]] == [made["id"]]
    with pytest.raises(RuntimeError):
        verifiers.get("client@2")
    (tmp_path / "graph.json").write_text(json.dumps({"graph": GRAPH}))
    store = ("--store", str(server.store))
    added = paretune("verifiers", "add", "graph.json", "--name", "client", *store, cwd=tmp_path)
    assert added.stdout.startswith("client@2 (graph) is vf_")
    assert verifiers.get("client")["graph"]["nodes"] == GRAPH["nodes"]
    listed = paretune("verifiers", "list", "client", *store, cwd=tmp_path).stdout
    assert listed.index("client@2") < listed.index("client@1")
    shown = json.loads(paretune("verifiers", "show", "client@1", *store, cwd=tmp_path).stdout)
    assert shown["document"] == {"rubric": RUBRIC}
    (tmp_path / "bad.toml").write_text("[rubric]\n")
    bad = paretune("verifiers", "add", "bad.toml", "--name", "client", *store, cwd=tmp_path)
    assert bad.returncode == 2
    assert "at least one criterion" in bad.stderr
