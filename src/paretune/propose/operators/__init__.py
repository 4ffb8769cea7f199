"""The proposer that needs no model: it diagnoses how rollouts fail and applies edits made for that failure.

It knows nothing of any task. What it writes about one comes from the parent's own text and from training
examples: the shape of their answers, words beside the right one, and the examples themselves. With grounding
it quotes no examples, for which others look, and needs no failures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from paretune.core.candidate import content_id
from paretune.core.canonical import stream
from paretune.core.rollout import Usage
from paretune.propose.base import Packet, Proposal
from paretune.propose.guards import Reason, Rejected, check
from paretune.propose.operators.diagnosis import Symptom, symptoms, told
from paretune.propose.operators.edits import OPERATORS, Desk, Edit, Operator, desk_of, quoted
from paretune.propose.operators.grounded import FIRST_ONLY, GROUNDED, as_examples
from paretune.propose.operators.shapes import induce

__all__ = ["OperatorProposer"]

ANOTHER_EDIT = 0.6
"""Chance of one more edit, of another kind, in the same proposal."""

ANOTHER_UNMEASURED = 0.85
"""The same without failures to go by: many instructions are wanted at once, as unlike as they can be."""

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
        packet, operators = as_examples(packet), OPERATORS if packet.grounding is None else GROUNDED
        known = (*packet.evidence, *packet.examples)
        shape = induce([one.expected for one in known])
        desk = desk_of(packet, shape)
        counts = symptoms(packet.evidence, shape)
        rng = stream(0, "operators", packet.draw)
        for edit in _ideas(operators, desk, counts, rng):
            layouts = {**desk.layouts, **edit.layouts}
            texts = {name: layout.render() for name, layout in edit.layouts.items()}
            texts |= {name: one.render() for name, one in edit.sets.items()}
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


Operators = Mapping[str, Operator]


def _ideas(operators: Operators, desk: Desk, counts: Counter[Symptom], rng: random.Random) -> Iterator[Edit]:
    """All edits that apply, the likelier ones earlier, each with further ones on top and then alone."""
    weights = _weights(operators, counts)
    edits = [(name, edit) for name, operator in operators.items() for edit in operator(desk, rng)]
    order = sorted(edits, key=lambda item: -(rng.random() ** (1.0 / weights[item[0]])))
    for name, edit in order:
        yield _with_more(operators, name, edit, desk, weights, rng)
    for _, edit in order:
        yield edit


def _weights(operators: Operators, counts: Counter[Symptom]) -> dict[str, float]:
    weights = dict.fromkeys(operators, BASE)
    for symptom, count in counts.items():
        for name in weights.keys() & WEIGHTS[symptom].keys():
            weights[name] += WEIGHTS[symptom][name] * count / counts.total()
    return weights


def _with_more(
    operators: Operators, name: str, edit: Edit, desk: Desk, weights: Mapping[str, float], rng: random.Random
) -> Edit:
    """The edit with edits of other kinds on top: a step that must pass a gate should be worth it."""
    used = {name}
    another = ANOTHER_EDIT if operators is OPERATORS else ANOTHER_UNMEASURED
    while rng.random() < another and len(used) < len(operators.keys() - FIRST_ONLY):
        others = [other for other in operators if other not in used and other not in FIRST_ONLY]
        other = rng.choices(others, weights=[weights[o] for o in others])[0]
        used.add(other)
        more = list(operators[other](_after(desk, edit), rng))
        if more:
            chosen = rng.choice(more)
            edit = Edit(
                {**edit.layouts, **chosen.layouts}, f"{edit.why}; {chosen.why}", {**edit.sets, **chosen.sets}
            )
    return edit


def _after(desk: Desk, edit: Edit) -> Desk:
    sets = replace(desk.sets, sets={**desk.sets.sets, **edit.sets})
    return replace(desk, layouts={**desk.layouts, **edit.layouts}, sets=sets)


def _passes(proposal: Proposal, packet: Packet) -> bool:
    """True if the guards let it pass, as far as the packet tells: no step is spent on what they refuse."""
    measured = packet.grounding.history if packet.grounding else ()
    known = [content_id({**packet.parent.components, **scored.components}) for scored in measured]
    try:
        check(proposal, packet, known=known, training=(*packet.evidence, *packet.examples))
    except Rejected:
        return False
    return True
