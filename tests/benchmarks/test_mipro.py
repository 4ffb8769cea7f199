"""What the scripted task of `benchmarks/mipro.py` promises: it does not matter who puts the prompt."""

from __future__ import annotations

import pytest
from benchmarks.mipro_space import World as Space
from benchmarks.mipro_world import HABITS, TASK, TEST, TRAIN, World, read

from paretune.core.demonstrations import COMPONENT, Demonstration, dump
from paretune.core.placement import as_messages

INSTRUCTION = f"{TASK} {HABITS[3]} {HABITS[8]}"


def ours(shown: list[tuple[str, str]], question: str) -> list[dict[str, str]]:
    components = {
        "system": INSTRUCTION,
        "user": "{text}",
        COMPONENT: dump(Demonstration(text, answer) for text, answer in shown),
    }
    turns = as_messages([("system", "system"), ("user", "user")], components, [COMPONENT])
    return [{"role": turn.role, "content": turn.text.replace("{text}", question)} for turn in turns]


def theirs(shown: list[tuple[str, str]], question: str) -> list[dict[str, str]]:
    """As DSPy's chat adapter puts a signature with `text` and `label`."""
    about = (
        "Your input fields are:\n1. `text` (str):\nYour output fields are:\n1. `label` (str):\n"
        "[[ ## text ## ]]\n{text}\n\n[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]\n"
        f"In adhering to this structure, your objective is: \n        {INSTRUCTION}"
    )
    turns = [{"role": "system", "content": about}]
    for text, answer in shown:
        said = f"[[ ## label ## ]]\n{answer}\n\n[[ ## completed ## ]]\n"
        turns += [
            {"role": "user", "content": f"[[ ## text ## ]]\n{text}"},
            {"role": "assistant", "content": said},
        ]
    asked = f"[[ ## text ## ]]\n{question}\n\nRespond with the corresponding output fields."
    return [*turns, {"role": "user", "content": asked}]


@pytest.mark.parametrize("many", [0, 1, 4])
def test_the_rule_reads_either_form_of_a_prompt_alike(many: int) -> None:
    world = World(3)
    shown = [(row.text, row.kind) for row in world.rows(TRAIN, many)]
    for row in world.rows(TEST, 20):
        one, other = ours(shown, row.text), theirs(shown, row.text)
        assert read(one) == read(other)
        assert len(read(one).habits) == 2
        assert len(read(one).shown) == many
        assert world.answer(other) == f"[[ ## label ## ]]\n{world.answer(one)}\n\n[[ ## completed ## ]]"
    assert world.calls == 40


def test_instructions_and_demonstrations_matter() -> None:
    world = World(0)
    test = world.rows(TEST, 200)
    written = [world.score(world.instruction(number), [], test) for number in range(8)]
    rows = world.rows(TRAIN, 32)
    sets = [[(row.text, row.kind) for row in rows[at : at + 4]] for at in range(0, 32, 4)]
    shown = [world.score(TASK, pairs, test) for pairs in sets]
    assert max(written) - min(written) > 0.1
    assert max(shown) - min(shown) > 0.1


def test_a_space_has_one_best_choice_and_says_the_same_when_asked_again() -> None:
    space = Space.of(1, (4, 5), noise=0.5)
    assert space.values[space.best] == space.values.max()
    assert space.told((1, 2)) == space.told((1, 2)) != space.values[1, 2]
