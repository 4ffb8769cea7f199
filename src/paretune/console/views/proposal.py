"""What a step asked of the proposer, what it answered, and what became of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paretune.console.shape import Node, raw, shape
from paretune.console.view import Asked, NoSuchView, View
from paretune.core import events
from paretune.store.base import Attempt, Fact, Store
from paretune.views.proposals import Made, StepTold, made_in, minibatch_rewards, step_told, stored_proposals
from paretune.views.run_view import RunView
from paretune.views.worddiff import Run, word_diff

IN_REPORT = 300
"""So many steps have a page in a report."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One proposal of the step. `packet` and `answer` are the request and the text of the model, where the
    transcript has them; `rest` is what else it holds. `changes` are the edited components."""

    made: Made
    fact: Fact | None
    attempts: list[Attempt]
    packet: Node | None
    answer: str
    rest: Node | None
    changes: list[tuple[str, list[Run]]]
    gate: events.GateDecided | None
    raw: str

    @property
    def rejected(self) -> bool:
        return isinstance(self.made, events.ProposalRejected)

    @property
    def option(self) -> bool:
        return isinstance(self.made, events.OptionAdded)


def show(asked: Asked) -> Mapping[str, Any]:
    step = asked.params["step"]
    told = step_told(asked.run, int(step)) if step.isdecimal() and len(step) < 10 else None
    if told is None or not told.decisions:
        raise NoSuchView(f"this run has no step {step[:20]!r}")
    facts = stored_proposals(asked.store, asked.run, told)
    started = told.started
    steps = sorted({d.step for d in asked.run.decisions if isinstance(d, events.StepStarted) or made_in(d)})
    return {
        "step": told.step,
        "started": started,
        "minibatch": minibatch_rewards(asked.run, started.parent, started.minibatch) if started else [],
        "askings": [
            _asking(asked.store, asked.run, told, made, facts.get(i)) for i, made in enumerate(told.made)
        ],
        "trial_": next((d for d in told.decisions if isinstance(d, events.TrialStarted)), None),
        "skipped": [d for d in told.decisions if isinstance(d, events.StepSkipped)],
        "before": max((s for s in steps if s < told.step), default=None),
        "after": min((s for s in steps if s > told.step), default=None),
        "perfect": asked.run.run.job["settings"]["perfect"],
        "proposer": asked.run.run.job.get("proposer", ""),
    }


def _asking(store: Store, run: RunView, told: StepTold, made: Made, fact: Fact | None) -> Asking:
    transcript: Any = fact.body.get("transcript") if fact else None
    messages: Any = None
    answer: Any = ""
    rest: Any = transcript
    if isinstance(transcript, Mapping) and isinstance(transcript.get("messages"), list):
        messages = transcript["messages"]
        answer = transcript.get("answer", "")
        rest = {key: value for key, value in transcript.items() if key not in ("messages", "answer")}
    return Asking(
        made=made,
        fact=fact,
        attempts=store.attempts_of(run.run.id, fact.key) if fact else [],
        packet=shape(messages) if messages else None,
        answer=answer if isinstance(answer, str) else raw(answer),
        rest=shape(rest) if rest else None,
        changes=_changes(run, made),
        gate=told.gate(made.child) if isinstance(made, events.ChildProposed) else None,
        raw=raw(dict(fact.body)) if fact else "",
    )


def _changes(run: RunView, made: Made) -> list[tuple[str, list[Run]]]:
    match made:
        case events.ChildProposed():
            parent = made.parents[0]
        case events.ProposalRejected():
            parent = made.parent
        case _:
            parent = run.seed.id
    before = run.rows[parent].components if parent in run.rows else {}
    texts = made.components.items()
    return [(name, word_diff(before.get(name, ""), t)) for name, t in texts if before.get(name) != t]


def pages(run: RunView) -> Iterable[Mapping[str, str]]:
    steps = sorted({d.step for d in run.decisions if made_in(d)})
    return ({"step": str(step)} for step in steps[:IN_REPORT])


VIEW = View("proposal", "Proposal", "proposals/{step}", show, pages=pages)
