"""The run at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paretune.console.changes import changes
from paretune.console.plot import Dot, Plot, Series, plot
from paretune.console.source import OVER
from paretune.console.view import Asked, NoSuchView, View
from paretune.console.views import feed, score
from paretune.core import events
from paretune.views.curve import Curve, curve
from paretune.views.glance import Entry, closing_splits, entries, gain, ranked
from paretune.views.lift import lift_on
from paretune.views.phases import algorithm, made, phases
from paretune.views.run_view import Row, RunView
from paretune.views.splits import called

LISTED = 40
"""Candidates of the list and of the strips, at most; the newest."""
RANKED = 9
PARENTS = 4
KEPT = 8


def show(asked: Asked) -> Mapping[str, Any]:
    run, best = asked.run, asked.run.best
    found, course = _measured(run)
    covered = found[-1].strip.covered if found else 0
    told = _told(found)
    closing = closing_splits(found)
    heldout = best and (lift_on(run, best, "best", "test") or lift_on(run, best, "best", "select"))
    return {
        "best": best,
        "entries": found,
        "listed": told[-LISTED:],
        "all_strips": [entry.strip for _, entry in told],
        "listed_at_most": LISTED,
        "told": len(told),
        "ranked": [(entry, gain(run, entry.row)) for entry in _ranked(run, found)],
        "closing": closing,
        "covered": covered,
        "examples": len(run.splits["pareto"]),
        "train": lift_on(run, best, "best", "pareto") if best else None,
        "heldout": heldout,
        "rollouts": len(run.ledger.drawn),
        "over": asked.state in OVER,
        "unpriced": any(role.unpriced for role in run.ledger.by_role.values()),
        "card": _card(asked, found, best),
        "chart": chart(asked, found, closing),
        "changes": changes(run.seed.components, best.components) if best else {},
        "phases": phases(run, covered),
        "facts": facts(run),
        "tags": _tags(run, asked.state in OVER),
        **score.show(asked, found, course),
        **feed.newest(asked),
    }


_kept: dict[str, tuple[object, tuple[list[Entry], Curve]]] = {}
"""Run -> what was found in it when it was so far, of the last few runs."""


def _measured(run: RunView) -> tuple[list[Entry], Curve]:
    """The pool and its course. Only a run that went on is gone through again."""
    far = run.run.status, len(run.decisions), len(run.rollouts), len(run.failures), len(run.spent)
    kept = _kept.get(run.run.id)
    if kept is None or kept[0] != far:
        kept = far, (entries(run), curve(run))
        _kept.pop(run.run.id, None)
        _kept[run.run.id] = kept
        for old in list(_kept)[:-KEPT]:
            _kept.pop(old, None)
    return kept[1]


def _told(found: list[Entry]) -> list[tuple[int, Entry]]:
    """With their places from 1 on: all, or where they are many, those that were evaluated in full or were the
    first to win an example."""
    many = len(found) > LISTED
    placed = enumerate(found, 1)
    return [(at, e) for at, e in placed if not many or e.train is not None or e.strip.gained]


def _ranked(run: RunView, found: list[Entry]) -> list[Entry]:
    """Of those that were evaluated in full the first ones, and the seed wherever it stands."""
    order = [entry for entry in ranked(run, found) if entry.train is not None]
    return [e for place, e in enumerate(order) if place < RANKED or e.row.id == run.seed.id]


def _card(asked: Asked, found: list[Entry], best: Row | None) -> Entry | None:
    """The candidate that is selected; the best if none is. Raises NoSuchView."""
    wanted = asked.query.get("candidate") or (best.id if best else "")
    for entry in found:
        if entry.row.id == wanted:
            return entry
    if asked.query.get("candidate"):
        raise NoSuchView(f"no candidate {wanted[:60]!r} was asked a train example in this run")
    return None


def chart(asked: Asked, found: list[Entry], closing: Sequence[str]) -> Plot | None:
    """Candidates in order against coverage and score. None before the first."""
    if not found:
        return None
    examples = max(1, len(asked.run.splits["pareto"]))
    words = [_words(place, entry, examples) for place, entry in enumerate(found, 1)]
    ids = [entry.row.id for entry in found]

    def dots(values: Sequence[float | None]) -> list[Dot]:
        told = zip(values, words, ids, strict=True)
        return [Dot(at, value, *more) for at, (value, *more) in enumerate(told, 1) if value is not None]

    def line(values: Sequence[float | None]) -> list[tuple[float, float]]:
        return [(at, value) for at, value in enumerate(values, 1) if value is not None]

    covered = [entry.strip.covered / examples for entry in found]
    train = [entry.train for entry in found]
    series = [
        Series("coverage", "coverage", "step", line(covered), dots(covered)),
        Series("train", "train", "step", line(_best_so_far(train)), dots(train)),
    ]
    for split in closing:
        values = [entry.closing.get(split) for entry in found]
        name, tone = called(split), "heldout" if split == "test" else "selection"
        whole = all(
            value is not None for value in values
        )  # else a line would go through what nobody measured
        series.append(Series(name, tone, "line" if whole else "dots", line(values), dots(values)))
    return plot(
        series,
        x_title="candidate, in the order of the search",
        link=lambda who: asked.to("candidate", candidate=who),
        x_range=(0.5, len(found) + 0.5),
        whole=True,
        words=lambda value: f"{value:02.0f}",
    )


def _words(place: int, entry: Entry, examples: int) -> str:
    """`03 c_1234, frontier 12/16, train 0.625`."""
    parts = [f"{place:02} {entry.row.id}", f"frontier {entry.strip.covered}/{examples}"]
    if entry.train is not None:
        parts.append(f"train {entry.train:.3f}")
    else:
        parts.append(f"wins {entry.strip.wins} of {entry.strip.measured} that it was asked")
    parts += [f"{called(split)} {mean:.3f}" for split, mean in entry.closing.items()]
    return ", ".join(parts)


def _best_so_far(values: Sequence[float | None]) -> list[float | None]:
    best: float | None = None
    told = []
    for value in values:
        best = value if best is None or (value is not None and value > best) else best
        told.append(best)
    return told


# -- what this run is ----------------------------------------------------------------------------------


def facts(run: RunView) -> dict[str, Any]:
    """What the model line and the diagram say of this run."""
    job = run.run.job
    section = job.get("document", {}).get("prompt_learning", {})
    section = section if isinstance(section, Mapping) else {}
    policy = section.get("policy") or {}
    kind, *rest = str(job.get("proposer") or "").split(" ")
    model = next((word for word in rest[1:] if "=" not in word), "")
    host, _, rest_of = model.partition("/")
    spent = run.ledger.role("rollout")
    return {
        "policy": policy.get("model") or "the task's own",
        "task": job["identity"]["task"],
        "proposer": (rest_of if rest_of and ("." in host or ":" in host) else model)
        or kind.split("/")[0]
        or "none",
        "proposer_kind": kind.split("/")[0] or "none",
        "train": len(run.splits["pareto"]),
        "reflect": len(run.splits["reflect"]),
        "heldout": len(run.splits["test"]),
        "selection": len(run.splits["select"]),
        "at_once": ((section.get("gepa") or {}).get("rollout") or {}).get("max_concurrent"),
        "lanes": job["settings"]["pipeline"]["lanes"],
        "reused": spent.reused,
        "failed": len(run.failures),
        "scored": len(run.rollouts),
        "tokens": run.ledger.tokens,
        "proposals": run.ledger.role("proposal").calls,
        "merges": made(run).get("merge", 0),
        "algorithm": algorithm(run),
        "trials": len(run.of_kind(events.TrialEnded)),
        "parents": _parents(run),
        "decisions": len(run.decisions),
    }


def _parents(run: RunView) -> list[int]:
    """The candidates that children were made of last, the last first; by their numbers."""
    found: dict[int, None] = {}
    for decision in reversed(run.decisions):
        if isinstance(decision, events.ChildProposed):
            found |= dict.fromkeys(
                run.rows[parent].index for parent in decision.parents if parent in run.rows
            )
        if len(found) >= PARENTS:
            break
    return list(found)[:PARENTS]


def _tags(run: RunView, over: bool) -> list[tuple[str, str, str]]:
    """Label, value and small print of the header."""
    told, names = facts(run), list(run.seed.components)
    at_once = f"{told['at_once']} rollouts at once" if told["at_once"] else "rollouts at once not on record"
    lanes = (
        f", {told['lanes']} lane{'s' if told['lanes'] > 1 else ''}"
        if told["lanes"]
        else ", one step at a time"
    )
    shape = f"{len(names)} component{'s' if len(names) > 1 else ''}"
    signal, gives = _signal(run, over)
    examples = f"{told['train']} train, {_held(told)} examples"
    return [
        (
            "parallelism",
            at_once + lanes,
            f"cache-aware rollout workers: {told['reused']:,} of {len(run.ledger.drawn):,} known before",
        ),
        (
            "proposer",
            told["proposer"],
            f"{told['proposer_kind']}: edits {', '.join(names[:4])} from traces and direct parents",
        ),
        ("task shape", shape, f"{told['task']}: {examples}"),
        ("signal", signal, gives),
    ]


def _held(told: Mapping[str, Any]) -> str:
    """`8 selection, 8 held-out`; what there is none of is left out, but for the last."""
    chosen = f"{told['selection']} selection, " if told["selection"] else ""
    return f"{chosen}{told['heldout']} held-out"


def _signal(run: RunView, over: bool) -> tuple[str, str]:
    """What rollouts of this task bring back, by those of the seed: in a word, and part by part."""
    seed, answers = run.seed.id, []
    for example in run.splits["pareto"][:50]:
        rollout = run.rollouts.get((seed, example, 0))
        if rollout:
            answers.append(rollout.answer)
    if not answers:
        return "not known" if over else "not known yet", "no rollout of the seed came back"
    names = list(dict.fromkeys(name for answer in answers for name in answer.objectives))
    found = ["reward"]
    found += ["model output"] if any(a.output for a in answers) else []
    verified = any(a.feedback or a.expected for a in answers)
    found += ["verifier result"] if verified else []
    found += [f"objectives ({', '.join(names[:3])})"] if names else []
    found += ["trace"] if any(a.trace for a in answers) else []
    if len(found) == 1:
        return "reward only", "the task sends no feedback and no trace"
    word = "verifier-aware" if verified else "reward and more, no feedback"
    return word, " + ".join(found) + " in one packet"


VIEW = View("overview", "Overview", "", show, key="o")
