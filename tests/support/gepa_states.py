"""Small states to try strategies on."""

from typing import Any

from paretune.library.state import GEPAState, ValsetEvaluation


def state_of(*rows: dict[Any, float], texts: tuple[str, ...] = ("a",)) -> GEPAState[str, Any]:
    """A state with one candidate per row of validation scores; each later one is the seed's child."""
    seed, *children = [ValsetEvaluation(dict.fromkeys(row, "out"), dict(row)) for row in rows]
    state = GEPAState[str, Any](dict.fromkeys(texts, "seed"), seed)
    for number, evaluation in enumerate(children, start=1):
        state.update_state_with_new_program([0], dict.fromkeys(texts, f"child {number}"), evaluation, None, 0)
    return state


def at(state: GEPAState[str, Any], iteration: int) -> GEPAState[str, Any]:
    """The same state, in this iteration."""
    state.i = iteration
    return state
