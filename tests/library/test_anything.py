"""`optimize_anything`: its modes, what evaluators are given, and what comes of what they say."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import paretune.library.anything as oa
from paretune.core.errors import Misconfigured
from paretune.library.anything import GEPAConfig, OptimizationState, aoptimize_anything, optimize_anything


class Silent:
    def log(self, message: str) -> None:
        pass


class Longer:
    """A reflection model: every text is longer than the one before. Keeps its prompts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompt: Any) -> str:
        self.prompts.append(prompt)
        return f"```\n{'x' * (10 + len(self.prompts))}\n```"


def config(lm: Any = None, *, calls: int | None = 12, **parts: Any) -> GEPAConfig:
    parts.setdefault("engine", {})
    parts["engine"] = {"max_metric_calls": calls, **parts["engine"]}
    parts["reflection"] = {"reflection_lm": lm or Longer(), **parts.get("reflection", {})}
    return GEPAConfig(tracking=oa.TrackingConfig(logger=Silent()), **parts)


def length(candidate: str) -> float:
    return len(candidate) / 100


# -- modes -----------------------------------------------------------------------------------------------


def test_one_task_without_data() -> None:
    given: list[Any] = []

    def evaluator(candidate: str, **more: Any) -> float:
        given.append((candidate, sorted(more)))
        return length(candidate)

    result = optimize_anything("seed", evaluator=evaluator, config=config())
    assert given[0] == ("seed", ["opt_state"])
    assert len(given) == result.total_metric_calls == 12
    assert result.best_candidate == "x" * 21
    assert result.val_subscores[0] == {0: 0.04}
    assert result.candidates[0] == {"current_candidate": "seed"}
    assert result.val_aggregate_subscores is None
    ranked = (result.best_outputs_valset or {})[0]
    assert ranked == [(11, (0.21, {"current_candidate": "x" * 21}, {}))]


def test_many_tasks_serve_both_ends() -> None:
    asked: list[tuple[str, int]] = []

    def evaluator(candidate: dict[str, str], example: int) -> float:
        asked.append((candidate["a"], example))
        return length(candidate["a"]) + example

    result = optimize_anything({"a": "seed"}, evaluator=evaluator, dataset=[1, 2, 3], config=config(calls=20))
    assert len(asked) == len(set(asked)) == result.total_metric_calls, "an evaluation is asked for once"
    assert set(result.val_subscores[0]) == {0, 1, 2}
    assert isinstance(result.best_candidate, dict)


def test_a_validation_set_is_no_source_of_proposals() -> None:
    lm = Longer()
    result = optimize_anything(
        "seed",
        evaluator=lambda candidate, example: (length(candidate), {"Input": example}),
        dataset=["train one", "train two"],
        valset=["held back"],
        config=config(lm),
    )
    assert result.num_candidates > 1
    assert all("held back" not in prompt and "train" in prompt for prompt in lm.prompts)


def test_without_a_seed_the_model_writes_the_first_text(tmp_path: Path) -> None:
    lm = Longer()

    def optimize() -> oa.AnythingResult:
        return optimize_anything(
            evaluator=length,
            objective="as long as can be",
            background="letters only",
            config=config(lm, engine={"run_dir": str(tmp_path)}),
        )

    result = optimize()
    assert result.candidates[0] == {"current_candidate": "x" * 11}
    assert "as long as can be" in lm.prompts[0]
    assert "letters only" in lm.prompts[0]
    asked = len(lm.prompts)
    assert optimize().candidates == result.candidates
    assert len(lm.prompts) == asked, "the first text is kept with the run"


def test_a_test_set_is_looked_at_once_at_the_end(tmp_path: Path) -> None:
    asked: list[Any] = []

    def evaluator(candidate: str, example: str) -> float:
        asked.append((candidate, example))
        if example == "broken":
            raise RuntimeError("no such thing")
        return length(candidate)

    def optimize() -> oa.AnythingResult:
        return optimize_anything(
            "seed",
            evaluator=evaluator,
            dataset=["a"],
            test_set=["t", "broken"],
            config=config(engine={"run_dir": str(tmp_path)}),
        )

    result = optimize()
    best = result.best_candidate
    assert [one for one in asked if one[1] in ("t", "broken")] == [(best, "t"), (best, "broken")]
    assert asked[-2:] == [(best, "t"), (best, "broken")]
    assert result.total_metric_calls == 12
    assert result.test is not None
    assert result.test.scores == {0: length(str(best))}
    assert "no such thing" in result.test.failures[1]
    again = oa.AnythingResult.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again.test == result.test
    before = len(asked)
    assert optimize().test == result.test
    assert len(asked) == before


# -- what evaluators are given and give ------------------------------------------------------------------


def test_the_best_evaluations_of_an_example() -> None:
    shown: list[tuple[int, list[float]]] = []

    def evaluator(candidate: str, example: int, opt_state: OptimizationState) -> Any:
        shown.append((example, [one["score"] for one in opt_state.best_example_evals]))
        return length(candidate) * example, {"note": candidate}

    optimize_anything(
        "seed", evaluator=evaluator, dataset=[1, 2], config=config(engine={"best_example_evals_k": 2})
    )
    assert shown[:2] == [(1, []), (2, [])]
    of_one = [scores for example, scores in shown if example == 1]
    assert of_one[1] == [0.04]
    assert of_one[3] == [0.12, 0.11], "the best two, best first"


def test_scores_are_objectives_and_specific_information_is_told_to_its_component_only() -> None:
    lm = Longer()

    def evaluator(candidate: dict[str, str]) -> Any:
        return sum(map(len, candidate.values())) / 100, {
            "scores": {"size": len(candidate["p"])},
            "note": "for all",
            "p_specific_info": {"scores": {"own": 1.0}, "hint": "only p"},
            "q_specific_info": {"hint": "only q"},
        }

    result = optimize_anything({"p": "a", "q": "b"}, evaluator=evaluator, config=config(lm))
    assert result.objective_pareto_front is not None
    assert set(result.objective_pareto_front) == {"size", "p::own"}
    assert all("for all" in prompt and "Scores (Higher is Better)" in prompt for prompt in lm.prompts)
    assert ["only p" in prompt for prompt in lm.prompts[:2]] == [True, False]
    assert ["only q" in prompt for prompt in lm.prompts[:2]] == [False, True]


def test_what_is_logged_comes_to_the_proposer_and_never_over_what_the_evaluator_said() -> None:
    lm = Longer()

    def evaluator(candidate: str) -> Any:
        oa.log("two", 3, sep="-")
        context = oa.get_log_context()

        def further() -> None:
            oa.set_log_context(context)
            oa.log("from a thread")

        thread = threading.Thread(target=further)
        thread.start()
        thread.join()
        return length(candidate), {"log": "its own"} if len(candidate) > 4 else {}

    result = optimize_anything("seed", evaluator=evaluator, config=config(lm, calls=3))
    outputs = list((result.best_outputs_valset or {}).values())
    assert outputs[0][0][1][2] == {"log": "its own", "_gepa_log": "two-3\nfrom a thread\n"}
    assert "two-3\nfrom a thread" in lm.prompts[0]


def test_outside_an_evaluator_there_is_no_log() -> None:
    with pytest.warns(UserWarning, match="outside an evaluator"):
        oa.log("lost")
    with pytest.raises(RuntimeError, match="inside an evaluator"):
        oa.get_log_context()


def test_what_an_evaluator_prints_is_kept_and_what_others_print_goes_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lm = Longer()

    def evaluator(candidate: str, example: int) -> float:
        print("measured", example)
        thread = threading.Thread(target=print, args=(f"beside {example}",))
        thread.start()
        thread.join()
        return length(candidate)

    optimize_anything(
        "seed",
        evaluator=evaluator,
        dataset=[1, 2, 3, 4],
        config=config(lm, engine={"capture_stdio": True, "max_workers": 4}),
    )
    out = capsys.readouterr().out
    assert "beside 1\n" in out
    assert "measured" not in out
    assert "## stdout\nmeasured" in lm.prompts[0]
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_all_pairs_of_a_stage_in_one_call() -> None:
    calls: list[list[Any]] = []

    def batch(pairs: list[Any], opt_states: list[OptimizationState]) -> list[Any]:
        assert len(opt_states) == len(pairs)
        calls.append(pairs)
        return [(length(candidate), {"n": example}) for candidate, example in pairs]

    optimize_anything("seed", batch_evaluator=batch, dataset=[1, 2, 3, 4], config=config(calls=8))
    assert calls[0] == [("seed", n) for n in (1, 2, 3, 4)]
    assert len(calls[1]) == 3
    single: list[Any] = []

    def one(pairs: list[Any]) -> list[float]:
        single.append(pairs)
        return [0.5 for _ in pairs]

    optimize_anything({"a": "s"}, batch_evaluator=one, config=config(calls=2))
    assert single[0] == [({"a": "s"}, None)]


def test_several_evaluations_at_once() -> None:
    together = threading.Barrier(3, timeout=20)

    def evaluator(candidate: str, example: int) -> float:
        if candidate == "seed":
            together.wait()
        return length(candidate)

    result = optimize_anything(
        "seed", evaluator=evaluator, dataset=[1, 2, 3], config=config(engine={"max_workers": 3})
    )
    assert result.num_candidates > 1


def test_without_parallel_all_is_evaluated_in_this_thread() -> None:
    seen: set[str] = set()

    def evaluator(candidate: str, example: int) -> float:
        seen.add(threading.current_thread().name)
        return 0.5

    optimize_anything(
        "seed", evaluator=evaluator, dataset=[1, 2, 3], config=config(engine={"parallel": False})
    )
    assert seen == {threading.current_thread().name}


@pytest.mark.parametrize("awaited", [True, False])
def test_an_async_evaluator(awaited: bool) -> None:
    most = now = 0

    async def evaluator(candidate: str, example: int) -> Any:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        oa.log("of", example)
        now -= 1
        return length(candidate)

    arguments: dict[str, Any] = {
        "evaluator": evaluator,
        "dataset": list(range(6)),
        "config": config(engine={"max_workers": 2}),
    }
    if awaited:
        result = asyncio.run(aoptimize_anything("seed", **arguments))
    else:
        result = optimize_anything("seed", **arguments)
    assert most == 2
    assert (result.best_outputs_valset or {})[3][0][1][2] == {"log": "of 3\n"}


# -- failures --------------------------------------------------------------------------------------------


def frail(candidate: str, example: int) -> float:
    if example == 1:
        raise RuntimeError("boom")
    return length(candidate)


def test_what_an_evaluator_raises_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        optimize_anything("seed", evaluator=frail, dataset=[0, 1], config=config())


def test_an_example_that_fails_has_no_score() -> None:
    result = optimize_anything(
        "seed", evaluator=frail, dataset=[0, 1, 2], config=config(engine={"raise_on_exception": False})
    )
    assert all(set(scores) == {0, 2} for scores in result.val_subscores)
    assert result.num_candidates > 1


def test_or_counts_what_the_user_says_and_the_proposer_reads_why() -> None:
    lm = Longer()
    result = optimize_anything(
        "seed",
        evaluator=frail,
        dataset=[0, 1, 2],
        config=config(lm, engine={"raise_on_exception": False, "failure_score": 0.0}),
    )
    assert result.val_subscores[0] == {0: 0.04, 1: 0.0, 2: 0.04}
    assert "RuntimeError: boom" in lm.prompts[0]


@pytest.mark.parametrize("answer", ["0.5", (1, 2, 3), None, (0.5, "text"), (0.5, {"scores": [1]})])
def test_an_answer_that_is_no_score(answer: Any) -> None:
    with pytest.raises(TypeError, match=r"score|side_info"):
        optimize_anything("seed", evaluator=lambda candidate: answer, config=config())


# -- the refiner -----------------------------------------------------------------------------------------


def test_a_refiner_mends_a_candidate_for_an_example() -> None:
    asked: list[str] = []
    answers = itertools.cycle(['```json\n{"current_candidate": "mended and longer than any"}\n```', "no"])

    def refine(prompt: Any) -> str:
        asked.append(prompt)
        return next(answers)

    reflect = Longer()
    result = optimize_anything(
        "seed",
        evaluator=lambda candidate: (length(candidate), {"scores": {"z": len(candidate)}}),
        objective="grow",
        config=config(reflect, calls=6, refiner={"refiner_lm": refine, "max_refinements": 2}),
    )
    assert "grow" in asked[0]
    assert "seed" in asked[0]
    assert result.val_aggregate_scores[0] == length("mended and longer than any")
    assert result.best_refiner_prompt is not None
    assert result.objective_pareto_front is not None
    assert result.objective_pareto_front["refiner_prompt::z"] == 26
    assert result.val_aggregate_subscores is not None
    assert result.val_aggregate_subscores[0] == {"z": 4, "refiner_prompt::z": 26}
    told = [prompt for prompt in reflect.prompts if "Attempts" in prompt]
    assert told, "what was tried is shown to who writes refiner_prompt"
    assert len(told) < len(reflect.prompts), "and to nobody else"
    assert result.total_metric_calls is not None
    assert result.total_metric_calls <= 6 + 3, "repairs count, and end the search"


# -- resume, configuration, mistakes ---------------------------------------------------------------------


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    calls: list[str] = []

    def evaluator(candidate: str, example: int) -> Any:
        calls.append(candidate)
        return length(candidate), {"scores": {"n": example}}

    def run(most: int, folder: Path) -> Any:
        lm: Callable[[Any], str] = lambda prompt: f"```\n{'x' * (len(prompt) % 1000)}\n```"  # noqa: E731
        return optimize_anything(
            "seed",
            evaluator=evaluator,
            dataset=[1, 2, 3],
            config=config(lm, calls=most, engine={"run_dir": str(folder)}),
        )

    run(9, tmp_path / "a")
    paid = len(calls)
    resumed = run(30, tmp_path / "a")
    assert paid <= 9
    calls.clear()
    whole = run(30, tmp_path / "b")
    assert resumed.candidates == whole.candidates
    assert resumed.val_subscores == whole.val_subscores


def test_configuration_from_dictionaries_and_back() -> None:
    made = GEPAConfig(engine={"seed": 3}, merge={}, refiner={"max_refinements": 2})  # type: ignore[arg-type]
    assert made.engine == oa.EngineConfig(seed=3)
    assert made.engine.frontier_type == "hybrid"
    assert made.merge == oa.MergeConfig()
    assert made.refiner == oa.RefinerConfig(max_refinements=2)
    assert GEPAConfig.from_dict(made.to_dict()) == made


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": {"max_metrics_calls": 5}}, r"config\.engine\.max_metrics_calls.*'max_metric_calls'"),
        ({"seed": 5}, r"config\.seed.*'engine\.seed'"),
        ({"engine": 5}, r"config\.engine: EngineConfig"),
        ({"engine": {"max_workers": 0}}, r"config\.engine\.max_workers: must be 1 or more"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(given: dict[str, Any], told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        GEPAConfig.from_dict(given)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "evaluator: give"),
        ({"evaluator": 3}, "evaluator: a function"),
        ({"evaluator": length, "valset": [1]}, "valset: give a dataset"),
        ({"evaluator": length, "dataset": []}, "dataset: it has no examples"),
        ({"evaluator": length, "seed_candidate": None}, "objective: say what"),
        ({"evaluator": length, "seed_candidate": {}}, "seed_candidate: "),
        ({"evaluator": length, "config": config(calls=None)}, "max_metric_calls: give it"),
        (
            {
                "evaluator": length,
                "objective": "o",
                "config": config(reflection={"reflection_prompt_template": "<curr_param> <side_info>"}),
            },
            "reflection_prompt_template: objective",
        ),
        ({"evaluator": length, "config": config(engine={"frontier_type": "objective"})}, "frontier_type"),
    ],
)
def test_a_mistake_names_its_parameter(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        optimize_anything(**{"seed_candidate": "seed", "config": config(), **arguments})


def test_the_documented_defaults() -> None:
    lm = Longer()
    result = optimize_anything(
        "a {hole}",
        evaluator=lambda candidate, example: 1.0,
        dataset=[1, 2, 3, 4, 5],
        objective="the aim",
        background="the lore",
        config=config(lm, calls=20),
    )
    assert lm.prompts, "perfect scores are no reason to skip"
    assert lm.prompts[0].count("# Example") == 3
    assert "the aim" in lm.prompts[0]
    assert "the lore" in lm.prompts[0]
    assert result.num_candidates == 1
    one = Longer()
    optimize_anything("a {hole}", evaluator=length, config=config(one, calls=3))
    assert one.prompts[0].count("# Example") == 1


def test_code_with_braces_may_lose_them() -> None:
    result = optimize_anything("f'{x}'", evaluator=length, config=config(calls=4))
    assert result.num_candidates == 4


def test_inside_a_running_loop() -> None:
    async def main() -> Any:
        return optimize_anything("seed", evaluator=length, config=config(calls=4))

    assert asyncio.run(main()).num_candidates == 4
