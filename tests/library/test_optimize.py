"""`optimize` on the engine: gepa's search, exact budgets, resume, strategies and callbacks of users."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import paretune
from paretune.core.errors import Misconfigured, RunFailed
from paretune.library.adapter import EvaluationBatch
from paretune.library.optimize import aoptimize, optimize
from paretune.library.result import GEPAResult
from paretune.library.sampling import PxNSampling
from paretune.library.stoppers import MaxCandidateProposalsStopper, MaxMetricCallsStopper
from support.programs import paretune as program
from support.words import FENCE, Author, Killed, Silent, WordAdapter, words

TRAIN, VAL = words(0, 12), [*words(0, 6), *words(20, 24)]
SEED = {"system": "say nothing"}


def run(adapter: Any, calls: int | None = 200, **options: Any) -> GEPAResult[Any, Any]:
    options = {"reflection_lm": Author(), "logger": Silent(), **options}
    seed = options.pop("seed_candidate", SEED)
    train, val = options.pop("trainset", TRAIN), options.pop("valset", VAL)
    return optimize(seed, train, val, adapter, max_metric_calls=calls, **options)


def shape(result: GEPAResult[Any, Any]) -> dict[str, Any]:
    return {**result.to_dict(), "run_dir": None}


def test_it_improves_and_its_figures_are_those_of_the_adapter() -> None:
    adapter = WordAdapter()
    result = run(adapter)
    assert result.val_aggregate_scores[0] == 0.0
    assert result.val_aggregate_scores[result.best_idx] >= 0.4
    assert result.num_candidates > 3
    assert result.total_metric_calls == adapter.calls == len(set(adapter.asked)) <= 200
    assert result.parents[0] == [None]
    assert all((parents[0] or 0) < place for place, parents in enumerate(result.parents[1:], 1))
    assert set(result.val_subscores[0]) == set(range(len(VAL)))
    assert result.best_outputs_valset is not None
    assert result.best_outputs_valset[0][0][1] == "heard word0"


def test_traces_are_captured_for_minibatches_and_never_on_validation() -> None:
    adapter = WordAdapter()
    run(adapter)
    assert {size for _, size, traced in adapter.batches if not traced} == {len(VAL)}
    assert {size for _, size, traced in adapter.batches if traced} <= {1, 2, 3}


def test_validation_never_takes_the_score_of_a_training_example_of_the_same_place() -> None:
    adapter = WordAdapter()
    result = run(adapter, trainset=words(0, 4), valset=words(50, 54), calls=60)
    assert set(result.val_aggregate_scores) == {0.0}


def test_without_a_validation_set_an_evaluation_serves_both() -> None:
    adapter = WordAdapter()
    result = run(adapter, valset=None, calls=120)
    assert adapter.calls == len(set(adapter.asked)) == result.total_metric_calls
    assert result.val_aggregate_scores[result.best_idx] > 0.3


@pytest.mark.parametrize("calls", range(10, 40, 3))
def test_no_number_of_calls_is_passed(calls: int) -> None:
    adapter = WordAdapter()
    result = run(adapter, calls)
    assert result.total_metric_calls == adapter.calls
    assert adapter.calls <= calls


# -- resume --------------------------------------------------------------------------------------------


def test_a_run_with_more_calls_ends_as_if_it_had_had_them_from_the_beginning(tmp_path: Path) -> None:
    whole, first, second = WordAdapter(), WordAdapter(), WordAdapter()
    expected = run(whole, 240, use_merge=True)
    run(first, 90, run_dir=str(tmp_path / "run"), use_merge=True)
    found = run(second, 240, run_dir=str(tmp_path / "run"), use_merge=True)
    assert shape(found) == shape(expected)
    assert first.calls + second.calls == whole.calls


@pytest.mark.parametrize("dies_after", [5, 40, 77, 130])
def test_a_run_that_was_killed_goes_on_where_it_was(dies_after: int, tmp_path: Path) -> None:
    whole, first, second = WordAdapter(), WordAdapter(dies_after=dies_after), WordAdapter()
    expected = run(whole)
    with pytest.raises(Killed):
        run(first, run_dir=str(tmp_path))
    author = Author()
    found = run(second, run_dir=str(tmp_path), reflection_lm=author)
    assert shape(found) == shape(expected)
    # What the last proposal is made of is no JSON everywhere: its minibatch may be asked once more.
    assert whole.calls <= first.calls + second.calls <= whole.calls + 3


def test_the_command_line_reads_a_run_and_leaves_resuming_to_the_program(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(WordAdapter(dies_after=60), run_dir=str(tmp_path))
    shown = program("show", "last", "--store", str(tmp_path), cwd=tmp_path)
    assert "say nothing word" in shown.stdout
    refused = program("resume", "last", "--store", str(tmp_path), cwd=tmp_path)
    assert refused.returncode == 2
    assert "call it again with the same run_dir" in refused.stderr


def test_a_folder_of_gepas_own_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "gepa_state.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(Misconfigured, match=r"run_dir: .*pickle"):
        run(WordAdapter(), run_dir=str(tmp_path))


SCRIPT = """
from support.programs import paretune as program
from support.words import *
from paretune.library.optimize import optimize
seed = {name: "say nothing" for name in ("one", "two", "three")}
result = optimize(seed, words(0, 12), words(0, 12), WordAdapter(), reflection_lm=Author(), logger=Silent(),
                  max_metric_calls=400, use_merge=True, max_merge_invocations=9)
print(result.to_dict())
"""


def test_the_hash_seed_changes_nothing() -> None:
    path = os.pathsep.join([str(Path(paretune.__path__[0]).parent), str(Path(__file__).parent.parent)])
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "33")
    }
    assert len(said) == 1


# -- scores of all kinds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 0.0), (-3.0, -2.0)])
def test_merges_stand_scores_of_zero_and_below(low: float, high: float) -> None:
    class Root:
        """Everybody is a child of the seed: lineages that can be merged."""

        def select_candidate_idx(self, state: Any) -> int:
            return 0

    ear = Everything()
    result = run(
        WordAdapter(low, high),
        400,
        seed_candidate={"one": "say nothing", "two": "say nothing"},
        use_merge=True,
        perfect_score=high + 1,
        candidate_selection_strategy=Root(),
        callbacks=[ear],
    )
    merged = [event for name, event in ear.heard if name == "merge_accepted"]
    assert 1 <= len(merged) <= 5
    assert [result.parents[event["new_candidate_idx"]] for event in merged] == [
        list(event["parent_ids"]) for event in merged
    ]


@pytest.mark.parametrize("frontier", ["instance", "objective", "hybrid", "cartesian"])
def test_all_frontiers(frontier: Any) -> None:
    result = run(WordAdapter(objectives=True), frontier_type=frontier)
    assert result.val_aggregate_scores[result.best_idx] > 0.2
    assert result.objective_pareto_front is not None
    assert set(result.objective_pareto_front) == {"right", "short"}


def test_a_frontier_of_objectives_needs_some() -> None:
    with pytest.raises(ValueError, match="frontier_type"):
        run(WordAdapter(), frontier_type="objective")


# -- callbacks, stoppers, strategies ---------------------------------------------------------------------


class Everything:
    """Notes each event's name and payload."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda event: self.heard.append((name[3:], event))


def test_callbacks_hear_an_iteration_in_its_order() -> None:
    ear = Everything()
    result = run(WordAdapter(), callbacks=[ear])
    names = [name for name, _ in ear.heard]
    assert names[:2] == ["optimization_start", "valset_evaluated"]
    assert names[-1] == "optimization_end"
    accepted = names.index("candidate_accepted")
    began = max(place for place, name in enumerate(names[:accepted]) if name == "iteration_start")
    order = [
        name for name in names[began : names.index("iteration_end", accepted) + 1] if name != "budget_updated"
    ]
    assert order == [
        "iteration_start",
        "candidate_selected",
        "minibatch_sampled",
        "evaluation_start",
        "evaluation_end",
        "reflective_dataset_built",
        "proposal_start",
        "proposal_end",
        "evaluation_start",
        "evaluation_end",
        "pareto_front_updated",
        "valset_evaluated",
        "candidate_accepted",
        "state_saved",
        "iteration_end",
    ]
    counts = Counter(names)
    assert counts["candidate_accepted"] == result.num_candidates - 1 == counts["valset_evaluated"] - 1
    spent = [event["metric_calls_used"] for name, event in ear.heard if name == "budget_updated"]
    assert spent == sorted(spent)
    assert spent[-1] == result.total_metric_calls
    assert [e["iteration"] for n, e in ear.heard if n == "iteration_start"] == list(
        range(1, counts["iteration_start"] + 1)
    )


def test_a_callback_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def on_iteration_start(self, event: Any) -> None:
            raise ValueError("boom")

    assert shape(run(WordAdapter(), callbacks=[Broken()])) == shape(run(WordAdapter()))


def test_what_is_on_record_is_not_told_again(tmp_path: Path) -> None:
    first, second = Everything(), Everything()
    run(WordAdapter(), 100, run_dir=str(tmp_path), callbacks=[first])
    run(WordAdapter(), 200, run_dir=str(tmp_path), callbacks=[second])
    old = [e["candidate_idx"] for n, e in first.heard if n == "valset_evaluated"]
    new = [e["candidate_idx"] for n, e in second.heard if n == "valset_evaluated"]
    assert new
    assert not {*old} & {*new}


def test_stoppers_end_the_search_between_iterations(tmp_path: Path) -> None:
    adapter = WordAdapter()
    run(adapter, None, stop_callbacks=MaxCandidateProposalsStopper(4))
    assert sum(traced for _, _, traced in adapter.batches) == 8
    capped = WordAdapter()
    run(capped, None, stop_callbacks=[MaxMetricCallsStopper(50)])
    assert capped.calls <= 50
    (tmp_path / "gepa.stop").touch()
    stopped = WordAdapter()
    run(stopped, run_dir=str(tmp_path))
    assert stopped.calls == len(VAL)


def test_several_proposals_an_iteration_are_evaluated_in_one_call() -> None:
    sizes: list[int] = []

    class Batched(WordAdapter):
        def batch_evaluate(
            self, items: list[tuple[dict[str, str], list[str]]]
        ) -> list[EvaluationBatch[Any, Any]]:
            sizes.append(len(items))
            return [self.evaluate(batch, candidate, True) for candidate, batch in items]

    adapter = Batched()
    result = run(adapter, 240, sampling_strategy=PxNSampling(2, 2))
    assert result.total_metric_calls == adapter.calls <= 240
    assert max(sizes) > 1
    assert result.val_aggregate_scores[result.best_idx] >= 0.4


@pytest.mark.parametrize("strategy", ["pareto", "current_best", "epsilon_greedy", "top_k_pareto"])
def test_parents_by_each_selector(strategy: Any) -> None:
    assert run(WordAdapter(), candidate_selection_strategy=strategy).num_candidates > 2


def test_all_components_at_once_and_in_turns() -> None:
    seed = {"one": "say nothing", "two": "say nothing"}
    both = run(WordAdapter(), seed_candidate=seed, module_selector="all")
    assert any(
        all(text != seed[name] for name, text in candidate.items()) for candidate in both.candidates[1:2]
    )
    turns = run(WordAdapter(), seed_candidate=seed)
    assert [name for name, text in turns.candidates[1].items() if text != seed[name]] == ["one"]


# -- who proposes, and answers that cannot be used ---------------------------------------------------------


def test_a_proposer_of_ones_own_takes_the_models_place() -> None:
    def propose(candidate: dict[str, str], dataset: Any, components: list[str]) -> dict[str, str]:
        wanted = [record["Feedback"][4:] for record in dataset["system"] if record["Feedback"] != "good"]
        return {"system": " ".join([candidate["system"], *wanted])}

    result = run(WordAdapter(), reflection_lm=None, custom_candidate_proposer=propose)
    assert result.val_aggregate_scores[result.best_idx] >= 0.4
    own = WordAdapter(propose_new_texts=propose)
    assert shape(run(own, reflection_lm=None)) == shape(result)
    with pytest.raises(Misconfigured, match="custom_candidate_proposer"):
        run(own, custom_candidate_proposer=propose)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("no fence at all", "unfenced"),
        (f"{FENCE}\nsay nothing and then it st", "truncated"),
        (f"{FENCE}\n\n{FENCE}", "empty"),
        (f"{FENCE}\nsay nothing about {{topic}}\n{FENCE}", "unchanged"),
        (f"{FENCE}\nsay nothing about it\n{FENCE}", "placeholder_lost"),
        (f"{FENCE}\n{'far too long ' * 50}{{topic}}\n{FENCE}", "too_long"),
    ],
)
def test_an_answer_that_cannot_be_used_costs_no_call_and_is_shown_to_the_next(
    answer: str, reason: str
) -> None:
    from paretune.library.guards import Guards

    prompts: list[str] = []

    def model(prompt: Any) -> str:
        prompts.append(prompt)
        return answer

    adapter = WordAdapter()
    result = run(
        adapter,
        60,
        seed_candidate={"system": "say nothing about {topic}"},
        reflection_lm=model,
        guards=Guards(max_tokens=100),
    )
    assert result.num_candidates == 1
    assert {text for text, _, _ in adapter.asked} == {"say nothing about {topic}"}
    assert reason in prompts[-1]


# -- where it is called from -------------------------------------------------------------------------------


async def test_inside_a_running_loop_and_awaited() -> None:
    class Async(WordAdapter):
        async def evaluate(  # type: ignore[override]
            self, batch: list[str], candidate: dict[str, str], capture_traces: bool = False
        ) -> EvaluationBatch[Any, Any]:
            await asyncio.sleep(0)
            return WordAdapter.evaluate(self, batch, candidate, capture_traces)

    expected = shape(run(WordAdapter()))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    heart = asyncio.create_task(beat())
    result = await aoptimize(
        SEED, TRAIN, VAL, Async(), reflection_lm=Author(), logger=Silent(), max_metric_calls=200
    )
    heart.cancel()
    assert shape(result) == expected
    assert beats > 5
    assert shape(run(WordAdapter())) == expected


def test_what_the_adapter_raises_comes_out_as_it_is() -> None:
    class Broken(WordAdapter):
        def evaluate(self, *_: Any, **__: Any) -> EvaluationBatch[Any, Any]:
            raise ZeroDivisionError("in the adapter")

    with pytest.raises(ZeroDivisionError, match="in the adapter"):
        run(Broken())
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        run(Broken(), raise_on_exception=False)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"calls": None}, "max_metric_calls"),
        ({"calls": 3}, "max_metric_calls"),
        ({"reflection_lm": None}, "reflection_lm"),
        ({"candidate_selection_strategy": "best"}, "candidate_selection_strategy"),
        ({"frontier_type": "pairs"}, "frontier_type"),
        ({"module_selector": "some"}, "module_selector"),
        ({"seed_candidate": {}}, "seed_candidate"),
        ({"seed_candidate": "text"}, "seed_candidate"),
        ({"trainset": []}, "trainset"),
        ({"valset": []}, "valset"),
        ({"trainset": iter(TRAIN)}, "trainset"),
        ({"evaluator": print}, "evaluator"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    adapter = WordAdapter()
    with pytest.raises(Misconfigured, match=rf"^{named}: "):
        run(adapter, **options)
    assert adapter.calls == 0
