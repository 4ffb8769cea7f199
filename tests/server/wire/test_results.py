from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from paretune.server.wire.candidates import Query, page
from paretune.server.wire.projection import Projection
from paretune.server.wire.results import Results, artifact, artifact_texts, artifacts
from paretune.views.evidence import write_packet
from paretune.views.run_view import read
from support.recorded import job_of, record
from support.runs import CASES, JournalStore, carry

ALL = ["classic", "merging", "judged", "shared", "lanes"]


@pytest.mark.parametrize("name", ALL)
def test_the_best_prompt_is_the_first_of_the_top_prompts(name: str) -> None:
    run = record(name)
    told, chosen = Results(run.job, run.view).all(), run.view.chosen
    assert chosen is not None
    assert [prompt["rank"] for prompt in told["top_prompts"]] == list(range(1, len(chosen.means) + 1))
    top = told["top_prompts"][0]
    assert top["candidate_id"] == told["best_candidate_id"] == chosen.best
    assert top["train_accuracy"] == told["best_train_score"] == told["best_score"]
    assert top["val_accuracy"] == told["best_validation_score"]
    best, order = run.view.rows[chosen.best].components, run.run.job["components"]
    assert top["full_text"] == "\n\n".join(f"[system | {part}]\n{best[part]}" for part in order)
    assert top["template"]["sections"] == told["best_prompt"]["sections"]
    assert [section["order"] for section in told["best_prompt"]["sections"]] == list(range(len(order)))
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize("name", ALL)
def test_finalists_are_ranked_as_they_were_compared(name: str) -> None:
    run = record(name)
    chosen = run.view.chosen
    assert chosen is not None
    top = Results(run.job, run.view).top_prompts()
    means = [chosen.means[prompt["candidate_id"]] for prompt in top]
    assert means == sorted(means, reverse=True)


def test_held_out_scores_are_those_that_chose() -> None:
    run = record("merging")
    told, chosen = Results(run.job, run.view).validations(), run.view.chosen
    assert chosen is not None
    assert {scored["candidate_id"]: scored["accuracy"] for scored in told} == chosen.means
    assert [scored["is_baseline"] for scored in told] == [True, *[False] * (len(told) - 1)]
    for scored in told:
        rewards = run.view.rewards(scored["candidate_id"], "select")
        assert scored["split"] == "validation"
        assert dict(zip(scored["seeds"], scored["instance_scores"], strict=True)) == rewards
        assert ("rank" in scored) != scored["is_baseline"]


def test_without_a_selection_split_the_test_split_is_the_held_out_one() -> None:
    run = record("shared")
    told, finished = Results(run.job, run.view).validations(), run.view.finished
    assert finished is not None
    assert {scored["candidate_id"]: scored["accuracy"] for scored in told} == finished.test
    assert {scored["split"] for scored in told} == {"test"}


def test_without_either_nothing_is_known_of_held_out_examples() -> None:
    run = record("classic")
    told = Results(run.job, run.view).all()
    assert told["validation_results"] == []
    assert told["best_validation_score"] is None
    assert all(prompt["val_accuracy"] is None for prompt in told["top_prompts"])


@pytest.mark.parametrize("name", ALL)
def test_attempted_candidates_have_an_accuracy_only_where_it_compares(name: str) -> None:
    run = record(name)
    told = Results(run.job, run.view).all()
    assert len(told["attempted_candidates"]) == told["attempted_total"] == len(run.view.rows)
    for attempted in told["attempted_candidates"]:
        row = run.view.rows[attempted["candidate_id"]]
        assert attempted.get("accuracy") == row.mean
        texts = [part["new_text"] for part in attempted["object"]["text_replacements"]]
        assert texts == [row.components[part] for part in run.run.job["components"]]
        if row.gate:
            assert attempted["minibatch_score"] == row.gate[1] / row.gate[2]
    optimized = [candidate["candidate_id"] for candidate in told["optimized_candidates"]]
    assert optimized[0] == told["best_candidate_id"]
    assert all(candidate["score"]["accuracy"] is not None for candidate in told["optimized_candidates"])


def test_totals_are_the_ledgers() -> None:
    run = record("merging")
    told = Results(run.job, run.view).totals()
    assert told["total_rollouts"] == len(run.view.ledger.drawn)
    assert told["total_cost_usd"] == run.view.ledger.cost_usd
    assert told["finish_reason"] == "max_generations_reached"


def test_artifacts_are_the_prompt_and_the_files_of_the_packet(tmp_path: Path) -> None:
    run = record("merging")
    told = {entry["name"]: entry for entry in artifacts(run.job, run.view)["artifacts"]}
    folder = write_packet(run.view, tmp_path)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(told) == files | {"prompt.txt", "prompt.json"}
    for name in files:
        data = (folder / name).read_bytes()
        assert told[name]["content"] == data.decode()
        assert told[name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert told[name]["size_bytes"] == len(data)
    results = Results(run.job, run.view)
    assert told["prompt.txt"]["content"] == results.top_prompts()[0]["full_text"]
    assert json.loads(told["prompt.json"]["content"]) == results.best()["best_prompt"]
    kinds = {name: entry["kind"] for name, entry in told.items()}
    assert kinds["prompt.txt"] == kinds["best/tone.txt"] == "prompt"
    assert kinds["diff/tone.diff"] == "diff"
    assert kinds["lift.json"] == "evidence"


def test_a_long_artifact_is_fetched_by_its_name() -> None:
    text = artifact_texts(record("classic").job, record("classic").view)["decisions.jsonl"]
    assert artifact("decisions.jsonl", text, longest=10)["content"] is None
    assert artifact("decisions.jsonl", text, longest=None)["content"] == text


async def test_a_run_under_way_can_be_read_at_any_moment() -> None:
    """Its candidates, results, artifacts and, should it be cancelled now, its last events."""
    store = JournalStore()
    done = await carry(CASES["merging"](3), store=store)
    for commits in range(1, len(store.commits), len(store.commits) // 8):
        view = read(store.after(done.run_id, commits), done.run_id)
        job = job_of(done.run_id, state="running")
        told = [
            page([(job, view)], Query.of({})),
            Results(job, view).all(),
            artifacts(job, view),
            [dict(e.data) for e in Projection(job, view.run.job).ended("cancelled", "", view)],
        ]
        json.dumps(told, allow_nan=False)
