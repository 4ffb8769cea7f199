"""Two candidates side by side: how sure the difference is, which examples changed, and what was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paretune.console.paging import candidate_of, page_of, pickable
from paretune.console.view import Asked, View
from paretune.core.rollout import Rollout
from paretune.core.statistics import Comparison
from paretune.evaluate.facts import outcome
from paretune.views.intervals import compared as paired
from paretune.views.lift import CLAIMS, Flip, flips_between
from paretune.views.run_view import Row, RunView
from paretune.views.worddiff import word_diff

FLIPS = 50
"""So many on a page, each with both outputs."""
SPLITS = ("test", "select", "pareto", "reflect")


@dataclass(frozen=True, slots=True)
class OnSplit:
    """The examples of a split that both were scored on: both means, and how many went up and down."""

    split: str
    examples: int
    before: float
    after: float
    gained: int
    lost: int
    claim: str


def show(asked: Asked) -> Mapping[str, Any]:
    run, query = asked.run, asked.query
    a = candidate_of(run, query["a"]) if query.get("a") else run.seed
    b = candidate_of(run, query["b"]) if query.get("b") else _other(run, a)
    lines = [line for split in _splits(run) if (line := on_split(run, a, b, split))]
    chosen = next((line for line in lines if line.split == query.get("split")), lines[0] if lines else None)
    changed = flips_between(run, a, b, chosen.split) if chosen else []
    page = page_of(changed, query, FLIPS)
    names = dict.fromkeys([*a.components, *b.components])
    return {
        "a": a,
        "b": b,
        "lines": lines,
        "chosen": chosen,
        "comparison": compared(run, a, b, chosen.split) if chosen else None,
        "flips": replace(page, items=_with_texts(asked, page.items)),
        "options": pickable(run, a, b),
        "diffs": {name: word_diff(a.components.get(name, ""), b.components.get(name, "")) for name in names},
    }


def _splits(run: RunView) -> Iterable[str]:
    """Each of other examples: the proposer may be shown those of the frontier."""
    shared = set(run.splits["reflect"]) == set(run.splits["pareto"])
    return (split for split in SPLITS if not (shared and split == "reflect"))


def _other(run: RunView, a: Row) -> Row:
    """Best against seed; before there is a best, the newest that is not `a`."""
    if run.best and run.best.id != a.id:
        return run.best
    return next((row for row in reversed(list(run.rows.values())) if row.id != a.id), run.seed)


def on_split(run: RunView, a: Row, b: Row, split: str) -> OnSplit | None:
    """None where no example was scored for both."""
    before, after = run.rewards(a.id, split), run.rewards(b.id, split)
    pairs = [(before[example], after[example]) for example in before if example in after]
    if not pairs:
        return None
    one, other = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    gained, lost = sum(x < y for x, y in pairs), sum(x > y for x, y in pairs)
    return OnSplit(split, len(pairs), one, other, gained, lost, CLAIMS.get(split, "seen by the proposer"))


def compared(run: RunView, a: Row, b: Row, split: str) -> Comparison:
    """The paired test, which takes its time: for one split of a page."""
    return paired(run.rewards(a.id, split), run.rewards(b.id, split), run)


def _with_texts(asked: Asked, flips: Sequence[Flip]) -> list[Flip]:
    """The view has the texts of seed and best only: those of others are fetched."""
    run = asked.run
    told = {run.seed.id, run.best.id if run.best else ""}
    both = [rollout for flip in flips for rollout in (flip.before, flip.after)]
    keys = [rollout.key.id for rollout in both if rollout.candidate not in told]
    facts = asked.store.facts(keys, run.run.id) if keys else {}

    def full(rollout: Rollout) -> Rollout:
        fact = facts.get(rollout.key.id)
        found = outcome(fact) if fact else rollout
        return found if isinstance(found, Rollout) else rollout

    return [replace(flip, before=full(flip.before), after=full(flip.after)) for flip in flips]


def pages(run: RunView) -> list[dict[str, str]]:
    """Seed against best on each split, as the pages link to it."""
    if run.best is None:
        return [{}]
    who = {"a": str(run.seed.index), "b": str(run.best.index)}
    return [{}, *({**who, "split": split} for split in _splits(run) if run.splits[split])]


VIEW = View("compare", "Compare", "compare", show, key="a", pages=pages)
