"""What `paretune show` prints: a run for people."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.table import Table
from rich.text import Text

from paretune.cli.console import clean, one_line, out, say
from paretune.cli.outlook import full
from paretune.core.statistics import Interval
from paretune.propose.diff import by_component
from paretune.views.coverage import coverage
from paretune.views.evidence import rejected, result, usage
from paretune.views.keys import key_effects
from paretune.views.lift import Lift, flips, lift_table, noise
from paretune.views.run_view import RunView

SQUARES = {"new": "■", "win": "▪", "miss": "·", "failed": "x", "not_run": " "}


UNFINISHED = ("running", "paused")
"""Of these a forecast is told; one that is paused is taken to go on."""
MOST_LIFTS = 4
"""Candidates in the lift table: the best and the next ones by mean."""


def show(view: RunView) -> None:
    """Status, lift, winning diff, candidates, coverage, cost, and what each key did."""
    header(view)
    lifts(view)
    winner(view)
    candidates(view)
    strips(view)
    costs(view)
    keys(view)


def header(view: RunView) -> None:
    say(f"{view.run.id}  {one_line(view.run.name, 80)}  {view.run.status}", "bold")
    reused = view.ledger.role("rollout").reused
    if reused:
        drawn = len(view.ledger.drawn)
        say(f"{reused} of {drawn} rollouts were known from earlier runs (run --fresh asks for all anew)")
    if view.run.status_detail:
        say(view.run.status_detail)
    if view.ended:
        say(f"search ended by {view.ended.reason}: {view.ended.detail}")
    if view.run.status in UNFINISHED:
        say(full(view.outlook))


def lifts(view: RunView) -> None:
    """Every figure with its interval and what it may be called."""
    table = _table("role", "split", "initial", "now", "difference", "p", "gained/lost", "this figure is")
    lifts = lift_table(view)
    shown = list(dict.fromkeys(lift.candidate for lift in lifts))[:MOST_LIFTS]
    for lift in lifts:
        if lift.candidate in shown:
            table.add_row(*_lift_row(lift))
    _print("lift against the initial prompt, paired by example", table)
    floor = noise(view)
    if floor:
        say(
            f"noise floor: repeating the initial prompt changed {floor.flips:.0%} of {floor.pairs} rewards; "
            f"differences under {floor.resolvable(floor.pairs):.3f} are within it"
        )
    if not view.splits["test"]:
        say("no test split: no figure above is untouched by a choice", "yellow")


def _lift_row(lift: Lift) -> list[str]:
    difference = lift.comparison.difference
    return [
        lift.role,
        f"{lift.split} ({difference.n}" + (f", {lift.missing} failed)" if lift.missing else ")"),
        f"{lift.before:.3f}",
        f"{lift.after:.3f}",
        interval(difference),
        f"{lift.comparison.p_value:.2g}",
        f"{lift.comparison.gained}/{lift.comparison.lost}",
        lift.claim,
    ]


def interval(value: Interval) -> str:
    """`+0.123 [+0.045, +0.201]`: a mean with its interval."""
    return f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"


def winner(view: RunView) -> None:
    """The winning candidate as a diff to the initial one."""
    best = view.best
    if best is None:
        return
    diffs = by_component(view.seed.components, best.components)
    say()
    if not diffs:
        say("the initial prompt was not improved upon", "bold")
        return
    say(f"what changed in the best candidate ({best.id}, #{best.index})", "bold")
    for diff in diffs.values():
        for line in diff.splitlines():
            say(line, {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))


def candidates(view: RunView) -> None:
    table = _table("#", "candidate", "gen", "origin", "parents", "gate", "pareto mean", "state")
    for row in view.rows.values():
        gate = f"{row.gate[0]:g} -> {row.gate[1]:g} ({row.gate[2]})" if row.gate else ""
        parents = " ".join(f"#{view.rows[p].index}" for p in row.parents)
        mean = "" if row.mean is None else f"{row.mean:.3f}"
        table.add_row(str(row.index), row.id, str(row.generation), row.origin, parents, gate, mean, row.state)
    _print("candidates", table)
    reasons = rejected(view)["by_reason"]
    if reasons:
        say("turned down: " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())))


def strips(view: RunView) -> None:
    """The coverage strip of each admitted candidate."""
    lines = coverage(view)
    if not lines or len(lines[0].squares) > 200:
        return
    say()
    say(f"coverage of the {len(lines[0].squares)} pareto examples (■ new, ▪ won, · missed, x failed)", "bold")
    for strip in lines:
        squares = "".join(SQUARES[square] for square in strip.squares)
        say(f"#{strip.index:<3} {squares} +{strip.gained} wins {strip.wins}, covered {strip.covered}")


def costs(view: RunView) -> None:
    table = _table("role", "calls", "reused", "failed", "lost", "tokens in", "tokens out", "USD")
    for role, spent in sorted(view.ledger.by_role.items()):
        money = f"{spent.usd:.4f}"
        if spent.unpriced:
            money += f" ({spent.unpriced} without a known price)"
        counts = (spent.calls, spent.reused, spent.failed, spent.lost)
        tokens = (spent.prompt_tokens, spent.completion_tokens)
        table.add_row(role, *(str(n) for n in (*counts, *tokens)), money)
    total = usage(view)
    title = f"cost: {total['distinct_rollouts']} distinct rollouts in {total['active_seconds']:.0f} s"
    _print(title, table)


def keys(view: RunView) -> None:
    """What each key of the document did."""
    effects = key_effects(view)
    if not effects:
        return
    table = _table("key", "value", "what it did")
    for effect in effects:
        table.add_row(effect.key, str(effect.value), effect.effect)
    _print("what each key did", table)


def changed(view: RunView, split: str = "test", most: int = 3) -> None:
    """A few examples that were gained and lost, with both outputs."""
    found = flips(view, split)
    gained = [flip for flip in found if flip.after.reward > flip.before.reward]
    lost = [flip for flip in found if flip.after.reward < flip.before.reward]
    for title, group in (("gained", gained), ("lost", lost)):
        if not group:
            continue
        say()
        say(f"{title} on {split}: {len(group)}, for example", "bold")
        for flip in group[:most]:
            say(f"  {one_line(flip.after.answer.input, 90)}")
            before, after = one_line(flip.before.answer.output, 40), one_line(flip.after.answer.output, 40)
            say(f"    before: {before}   after: {after}   expected: {flip.after.answer.expected}")


class _Plain(Table):
    """A table whose cells are text, never markup."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(Text(clean(str(cell))) for cell in cells), **options)


def _table(*columns: str) -> Table:
    table = _Plain(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column, overflow="fold", no_wrap=column in ("candidate", "role", "split", "difference")
        )
    return table


def _print(title: str, table: Table) -> None:
    if not table.row_count:
        return
    say()
    say(title, "bold")
    out.print(table)


def as_data(view: RunView) -> dict[str, Any]:
    """The same for `--json`."""
    return {
        "result": result(view),
        "usage": usage(view),
        "forecast": dataclasses.asdict(view.outlook) if view.run.status in UNFINISHED else None,
        "lift": [dataclasses.asdict(lift) for lift in lift_table(view)],
        "candidates": [dataclasses.asdict(row) for row in view.rows.values()],
        "rejected": rejected(view)["by_reason"],
        "keys": [dataclasses.asdict(effect) for effect in key_effects(view)],
    }
