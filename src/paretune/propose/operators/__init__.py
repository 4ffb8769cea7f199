"""The proposer that needs no model: it diagnoses how rollouts fail and applies edits made for that failure.

It knows nothing of any task. What it writes about one comes from the parent's own text and from training
examples: the shape of their answers, words beside the right one, and the examples themselves.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping

from paretune.core.canonical import stream
from paretune.core.rollout import Usage
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected, check
from paretune.propose.operators.diagnosis import Symptom, symptoms, told
from paretune.propose.operators.edits import OPERATORS, Desk, Edit, desk_of, quoted
from paretune.propose.operators.layout import Layout
from paretune.propose.operators.shapes import induce

__all__ = ["OperatorProposer"]

ANOTHER_EDIT = 0.6
"""Chance of one more edit, of another kind, in the same proposal."""

WEIGHTS: Mapping[Symptom, Mapping[str, float]] = {
    Symptom.EMPTY: {"cue": 2, "restructure": 2, "demonstrate": 2, "constrain": 1, "move_question": 1},
    Symptom.REFUSES: {"demonstrate": 3, "restructure": 3, "cue": 1, "constrain": 1},
    Symptom.BURIED: {"restructure": 3, "constrain": 2, "cue": 2, "demonstrate": 2},
    Symptom.WORDY: {"restructure": 3, "constrain": 2, "cue": 2, "demonstrate": 2},
    Symptom.FORMAT: {"demonstrate": 3, "constrain": 2, "restructure": 2, "cue": 1},
    Symptom.OUTSIDE: {"constrain": 4, "demonstrate": 2, "restructure": 1},
    Symptom.FIELD: {"demonstrate": 4, "define_field": 2, "restructure": 2, "cue": 1},
    Symptom.WRONG: {"demonstrate": 4, "restructure": 2, "move_question": 1, "define_field": 1, "shorten": 1},
}
"""How likely each kind of edit is, for one failure with this symptom; any kind keeps a small chance."""

BASE = 0.2


class OperatorProposer:
    """Pure and free: the same packet always gets the same proposal. Raises Rejected(NO_IDEA) at the end."""

    identity = "operators/3"

    async def propose(self, packet: Packet) -> Proposal:
        known = (*packet.evidence, *packet.examples)
        shape = induce([one.expected for one in known])
        desk = desk_of(packet, shape)
        counts = symptoms(packet.evidence, shape)
        rng = stream(0, "operators", packet.draw)
        for edit in _ideas(desk, counts, rng):
            layouts = {**desk.layouts, **edit.layouts}
            texts = {name: layout.render() for name, layout in edit.layouts.items()}
            proposal = Proposal(
                components=texts,
                rationale=edit.why,
                demonstrations=quoted(layouts, known),
                usage=Usage(cost_usd=0.0),
                transcript={"symptoms": told(counts), "shape": shape.line if shape else ""},
            )
            if _passes(proposal, packet):
                return proposal
        raise Rejected(Reason.NO_IDEA, "every edit was tried from this parent", Usage(cost_usd=0.0))


def _ideas(desk: Desk, counts: Counter[Symptom], rng: random.Random) -> Iterator[Edit]:
    """All edits that apply, the likelier ones earlier, each with further ones on top and then alone."""
    weights = _weights(counts)
    edits = [(name, edit) for name, operator in OPERATORS.items() for edit in operator(desk, rng)]
    order = sorted(edits, key=lambda item: -(rng.random() ** (1.0 / weights[item[0]])))
    for name, edit in order:
        yield _with_more(name, edit, desk, weights, rng)
    for _, edit in order:
        yield edit


def _weights(counts: Counter[Symptom]) -> dict[str, float]:
    weights = dict.fromkeys(OPERATORS, BASE)
    for symptom, count in counts.items():
        for name, weight in WEIGHTS[symptom].items():
            weights[name] += weight * count / counts.total()
    return weights


def _with_more(name: str, edit: Edit, desk: Desk, weights: Mapping[str, float], rng: random.Random) -> Edit:
    """The edit with edits of other kinds on top: a step that must pass a gate should be worth it."""
    used = {name}
    while rng.random() < ANOTHER_EDIT and len(used) < len(OPERATORS):
        others = [other for other in OPERATORS if other not in used]
        other = rng.choices(others, weights=[weights[o] for o in others])[0]
        used.add(other)
        more = list(OPERATORS[other](_after(desk, edit), rng))
        if more:
            chosen = rng.choice(more)
            edit = Edit({**edit.layouts, **chosen.layouts}, f"{edit.why}; {chosen.why}")
    return edit


def _after(desk: Desk, edit: Edit) -> Desk:
    layouts: dict[str, Layout] = {**desk.layouts, **edit.layouts}
    return Desk(layouts, desk.ask, desk.tell, desk.shape, desk.solved, desk.failures)


def _passes(proposal: Proposal, packet: Packet) -> bool:
    """True if the guards let it pass, as far as the packet tells: no step is spent on what they refuse."""
    try:
        check(proposal, packet, training=(*packet.evidence, *packet.examples))
    except Rejected:
        return False
    return True
