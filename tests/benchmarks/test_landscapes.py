"""The landscapes that search quality is measured on: what they promise to whoever drives them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from paretune.algorithms.settings import GepaSettings
from paretune.core.candidate import Candidate
from paretune.core.rollout import Usage
from paretune.llm.chat import Completion
from paretune.propose.base import Evidence, Packet, Surface
from paretune.propose.packet_text import render
from paretune.propose.reflect import read_answer, read_blocks

ROOT = Path(__file__).parents[2]
NAMES = ("rules", "ordered", "interacting")


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(params=NAMES)
def landscape(request: pytest.FixtureRequest) -> Any:
    return _load(request.param)


def _load(name: str) -> Any:
    return importlib.import_module("benchmarks.landscapes").load(name)


def _packet(world: Any, examples: Sequence[Any], targets: tuple[str, ...]) -> Packet:
    parent = Candidate(world.seed_candidate())
    rolled = [(example, world.rollout(parent.components, example, sleep=False)) for example in examples]
    evidence = tuple(
        Evidence(
            e.id, r.score, r.score == 1.0, e.query, r.answer, feedback=r.feedback, objectives=r.objectives
        )
        for e, r in rolled
    )
    return Packet(parent, targets, evidence, Surface())


def _another_prompt(packet: Packet) -> str:
    """The same evidence as another optimizer puts it: one text, then records in Markdown."""
    records = "\n\n".join(
        f"# Example {i}\n## Input\n{e.input}\n\n## Output\n{e.output}\n\n## Feedback\n{e.feedback}\n\n"
        for i, e in enumerate(packet.evidence, 1)
    )
    text = packet.parent.components[packet.targets[0]]
    return f"The instructions:\n```\n{text}\n```\n\nWhat came of them:\n```\n{records}\n```\n\nDo better."


def _edited(lm: Any, packet: Packet) -> Mapping[str, str]:
    return read_answer(Completion(lm(render(packet)), "stop", Usage()), packet)[1]


def test_a_world_is_a_function_of_its_seed_alone(landscape: Any) -> None:
    one, same, other = (landscape.World(seed=seed, n_train=40) for seed in (3, 3, 4))
    texts = one.seed_candidate()
    assert texts == same.seed_candidate()
    forward = {e.id: one.rollout(texts, e, sleep=False) for e in one.train}
    backward = {e.id: same.rollout(texts, e, sleep=False) for e in reversed(same.train)}
    assert forward == backward
    assert [e.query for e in one.train] != [e.query for e in other.train]
    assert one.log.rollouts == one.stats(wall=1.0, concurrency=2)["rollouts"] == 40


def test_there_is_much_to_gain_and_an_ideal_text_gains_it(landscape: Any) -> None:
    for seed in range(3):
        world = landscape.World(seed=seed)
        initial, ideal = (world.true_score(c) for c in (world.seed_candidate(), world.ideal_candidate()))
        assert initial < 0.45
        assert ideal > 0.86
        assert world.log.rollouts == 0


def test_reflection_reads_our_prompt_and_others_alike(landscape: Any) -> None:
    world = landscape.World(seed=1)
    lm = landscape.ReflectionLM(world, sleep=False)
    start, gained, changed = world.true_score(world.seed_candidate(), "train"), 0, 0
    for turn in range(24):
        target = world.component_names()[turn % len(world.component_names())]
        packet = _packet(world, world.train[8 * turn : 8 * turn + 8], (target,))
        edited = _edited(lm, packet)
        (block,) = read_blocks(lm(_another_prompt(packet)))[1]
        assert edited == {target: block.text}
        child = {**packet.parent.components, **edited}
        changed += child != packet.parent.components
        gained += world.true_score(child, "train") > start
    assert changed > 18
    assert gained >= 8


def test_reflection_edits_several_components_when_asked_to() -> None:
    landscape = _load("interacting")
    world = landscape.World(seed=0)
    lm = landscape.ReflectionLM(world, sleep=False)
    packet = _packet(world, world.train[:16], ("schema", "checker"))
    edited = _edited(lm, packet)
    assert edited.keys() == {"schema", "checker"}
    assert all(edited[name] != packet.parent.components[name] for name in edited)


def test_flakes_are_always_the_same_cells(landscape: Any) -> None:
    exact, flaky = (landscape.World(seed=0, flake=flake, n_test=2000) for flake in (0.0, 0.1))
    texts = exact.ideal_candidate()
    lost = 1 - flaky.true_score(texts) / exact.true_score(texts)
    assert lost == pytest.approx(0.1, abs=0.03)
    twice = [[flaky.rollout(texts, e, sleep=False) for e in flaky.train] for _ in range(2)]
    assert twice[0] == twice[1]


def test_noise_turns_over_single_draws(landscape: Any) -> None:
    world, quiet = (landscape.World(seed=0, noise=noise, n_train=2000) for noise in (0.2, 0.0))
    texts = world.ideal_candidate()
    truth = [quiet.rollout(texts, e, sleep=False).score for e in world.train]
    first, second = ([world.rollout(texts, e, sleep=False).score for e in world.train] for _ in range(2))
    assert _share_of_differences(first, truth) == pytest.approx(0.2, abs=0.03)
    assert _share_of_differences(first, second) == pytest.approx(2 * 0.2 * 0.8, abs=0.04)
    assert world.true_score(texts) == quiet.true_score(texts)


def test_the_nth_draw_of_a_cell_is_replicate_n(landscape: Any) -> None:
    world, again = (landscape.World(seed=0, noise=0.3, n_train=50) for _ in range(2))
    texts = world.seed_candidate()
    for number in range(3):
        drawn = [world.rollout(texts, e, sleep=False) for e in world.train]
        assert drawn == [again.rollout(texts, e, sleep=False, replicate=number) for e in world.train]


def test_a_union_of_lines_spoils_an_ordered_procedure() -> None:
    landscape = _load("ordered")
    world = landscape.World(seed=0, flake=0.0)
    ideal = world.ideal_candidate()["procedure"].splitlines()
    reworded = [line.replace(", then ", "; only then ") for line in ideal]
    union = [line for pair in zip(ideal, reworded, strict=True) for line in dict.fromkeys(pair)]
    assert world.true_score({"procedure": "\n".join(reworded)}) > 0.9
    assert world.true_score({"procedure": "\n".join(union)}) < 0.5


def test_changing_one_component_alone_breaks_what_agreed() -> None:
    landscape = _load("interacting")
    world = landscape.World(seed=0)
    ideal, worst = world.ideal_candidate(), {}
    for name, text in ideal.items():
        for keys in world.keys.values():
            text = text.replace(f"<{keys[0]}>", f"<{keys[1]}>")
        worst[name] = text
    assert world.true_score({**ideal, "reader": worst["reader"]}) < world.true_score(worst)


@pytest.mark.parametrize("name", NAMES)
def test_our_driver_counts_what_it_asks(name: str) -> None:
    ours = importlib.import_module("benchmarks.ours")
    landscape = _load(str(ROOT / "benchmarks" / "landscapes" / f"{name}.py"))
    world = landscape.World(seed=2, n_train=40, n_val=20)
    settings = GepaSettings.classic()
    found = ours.run(world, landscape.ReflectionLM(world, sleep=False), settings, budget=200)
    assert found.calls == found.ledger == world.log.rollouts <= 200
    first, last = found.curve[0], found.curve[-1]
    assert (first.rollouts, first.texts) == (20, world.seed_candidate())
    assert last.texts == found.best
    assert 0 < first.seconds <= last.seconds
    assert [point.rollouts for point in found.curve] == sorted(point.rollouts for point in found.curve)


def _share_of_differences(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)
