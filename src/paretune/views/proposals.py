"""What a proposer was asked and what it answered, found again in the store for a step of the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeGuard

from paretune.core import events
from paretune.core.events import Decision
from paretune.store.base import Fact, Store
from paretune.views.conversation import formats_of
from paretune.views.run_view import RunView

Made = events.ChildProposed | events.ProposalRejected | events.OptionAdded
"""What came of proposals, and of merges."""


def made_in(decision: Decision) -> TypeGuard[Made]:
    """True for what a step made of texts: a trial's combination, and options that nobody wrote, are none."""
    match decision:
        case events.ChildProposed():
            return decision.origin != "trial"
        case events.OptionAdded():
            return bool(decision.proposal)
        case _:
            return isinstance(decision, events.ProposalRejected)


@dataclass(frozen=True, slots=True)
class StepTold:
    """One step of the search: how it began, what else was decided in it, in order."""

    step: int
    started: events.StepStarted | None
    decisions: tuple[Decision, ...]

    @property
    def made(self) -> list[Made]:
        """The children, the options that were written, and the proposals that were turned down."""
        return [d for d in self.decisions if made_in(d)]

    def gate(self, child: str) -> events.GateDecided | None:
        """What the gate said of this child in this step."""
        gates = (d for d in self.decisions if isinstance(d, events.GateDecided) and d.child == child)
        return next(gates, None)


def step_told(view: RunView, step: int) -> StepTold:
    """What the log says of this step; without decisions if there is no such step."""
    decisions = tuple(d for d in view.decisions if getattr(d, "step", None) == step)
    started = next((d for d in decisions if isinstance(d, events.StepStarted)), None)
    return StepTold(step, started, decisions)


def stored_proposals(store: Store, view: RunView, told: StepTold) -> Mapping[int, Fact]:
    """Place in `told.made` -> the proposer's answer as it was stored, where there is one.

    A child names its fact, and so does an option. What was turned down is found by its parent, and by its
    texts or the reason; of several that read alike in the run, the order of the log decides.
    """
    found: dict[int, Fact] = {}
    named = {i: m.proposal for i, m in enumerate(told.made) if not isinstance(m, events.ProposalRejected)}
    facts = store.facts([key for key in named.values() if key], view.run.id)
    found |= {i: facts[key] for i, key in named.items() if key in facts}
    nameless = {i: m for i, m in enumerate(told.made) if isinstance(m, events.ProposalRejected)}
    if nameless:
        named_by = events.ChildProposed | events.OptionAdded
        taken = {d.proposal for d in view.decisions if isinstance(d, named_by)}
        known = _proposals(store, view, taken)
        turned_down = [d for d in view.decisions if isinstance(d, events.ProposalRejected)]
        for i, decision in nameless.items():
            alike = [f for f in known if _answers(f, decision) and _shows(f, view, decision.parent)]
            rank = [d for d in turned_down if _alike(d, decision)].index(decision)
            if alike:
                found[i] = alike[min(rank, len(alike) - 1)]
    return found


def _proposals(store: Store, view: RunView, but: Set[str]) -> list[Fact]:
    """All of the run but these, oldest first."""
    keys = [key for key in view.others if key.startswith("p_") and key not in but]
    return sorted(store.facts(keys, view.run.id).values(), key=lambda fact: (fact.at, fact.key))


def _answers(fact: Fact, decision: events.ProposalRejected) -> bool:
    body: Mapping[str, Any] = fact.body
    if fact.kind == "proposal":
        return bool(decision.components) and body["components"] == decision.components
    return not decision.components and (body["reason"], body["detail"]) == (decision.reason, decision.detail)


def _shows(fact: Fact, view: RunView, parent: str) -> bool:
    """False if the request is on record and the parent's texts are not in it. Demonstrations need not be:
    a model is shown them one by one."""
    transcript: Any = fact.body.get("transcript")
    sent = transcript.get("messages") if isinstance(transcript, Mapping) else None
    if not isinstance(sent, list) or parent not in view.rows:
        return True
    said = "\n".join(str(message.get("content")) for message in sent if isinstance(message, Mapping))
    formats = formats_of(view.run.job.get("surface", {}))
    texts = view.rows[parent].components
    return all(text in said for name, text in texts.items() if name not in formats)


def _alike(one: events.ProposalRejected, other: events.ProposalRejected) -> bool:
    if (one.parent, one.components) != (other.parent, other.components):
        return False
    return bool(other.components) or (one.reason, one.detail) == (other.reason, other.detail)


def minibatch_rewards(
    view: RunView, candidate: str, examples: Iterable[str]
) -> list[tuple[str, float | None]]:
    """(example, first draw's reward of the candidate, None where there is none)."""
    return [(example, view.rollouts.reward((candidate, example, 0))) for example in examples]
