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
from paretune.views.headline import Headline, headline
from paretune.views.keys import key_effects
from paretune.views.lift import Lift, flips, lift_table, noise
from paretune.views.pool import pool_course
from paretune.views.proxy import proxy, told
from paretune.views.run_view import RunView
from paretune.views.splits import called
from paretune.views.trials import has_trials, trials
from paretune.views.verdicts import verdicts

SQUARES = {"new": "■", "win": "▪", "miss": "·", "failed": "x", "not_run": " "}


UNFINISHED = ("running", "paused")
"""Of these a forecast is told; one that is paused is taken to go on."""
MOST_ERRORS = 5
MOST_COMBINATIONS = 8
"""Lines in the table of combinations: the best by their estimates."""
MOST_LIFTS = 4
"""Candidates in the lift table: the best and the next ones by mean."""


def show(view: RunView) -> None:
    """Status, lift, winning diff, candidates, coverage, cost, and what each key did."""
    header(view)
    lifts(view)
    winner(view)
    if has_trials(view):
        combinations(view)
    candidates(view)
    strips(view)
    judges(view)
    costs(view)
    savings(view)
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
        say("nothing is held out: no figure above is untouched by a choice", "yellow")


def _lift_row(lift: Lift) -> list[str]:
    difference = lift.comparison.difference
    return [
        lift.role,
        f"{called(lift.split)} ({difference.n}" + (f", {lift.missing} failed)" if lift.missing else ")"),
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
    table = _table("#", "candidate", "gen", "origin", "parents", "gate", "train mean", "state")
    for row in view.rows.values():
        gate = f"{row.gate[0]:g} -> {row.gate[1]:g} ({row.gate[2]})" if row.gate else ""
        parents = " ".join(f"#{view.rows[p].index}" for p in row.parents)
        mean = "" if row.mean is None else f"~{row.mean:.3f} ({row.pool})" if row.pool else f"{row.mean:.3f}"
        table.add_row(str(row.index), row.id, str(row.generation), row.origin, parents, gate, mean, row.state)
    _print("candidates", table)
    if any(row.pool for row in view.rows.values()):
        say("~: an estimate for all pareto examples, by as many of the pool")
    reasons = rejected(view)["by_reason"]
    if reasons:
        say("turned down: " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())))


def combinations(view: RunView) -> None:
    """The best combinations of a MIPRO search, and what mattered."""
    found = trials(view)
    table = _table("candidate", "combination", "trials", "estimate", "examples", "in full")
    known = sorted(found.combinations, key=lambda one: -(one.estimate or 0.0))
    for one in known[:MOST_COMBINATIONS]:
        named = zip(found.dimensions, one.choice, strict=True)
        choice = ", ".join(f"{d.name} {d.options[number].label}" for d, number in named)
        figures = ("" if value is None else f"{value:.3f}" for value in (one.estimate, one.full))
        estimate, full = figures
        table.add_row(one.candidate, choice, str(len(one.trials)), estimate, str(one.examples), full)
    _print(f"combinations: {len(found.combinations)} tried in {len(found.trials)} trials", table)
    shares = [(one.name, one.importance) for one in found.dimensions if one.importance is not None]
    if shares and found.rest is not None:
        told = [f"{name} {share:.0%}" for name, share in shares]
        say(f"of their estimates' variance: {', '.join(told)} by itself, {found.rest:.0%} left over")


def strips(view: RunView) -> None:
    """The coverage strip of each candidate that was asked a train example."""
    lines = coverage(view)
    if not lines or len(lines[0].squares) > 200:
        return
    say()
    examples = len(lines[0].squares)
    say(f"coverage of the {examples} train examples (■ first to win, ▪ wins, · does not, x failed)", "bold")
    for strip in lines:
        squares = "".join(SQUARES[square] for square in strip.squares)
        asked = f" of {strip.measured}" if strip.measured < examples else ""
        say(f"#{strip.index:<3} {squares} +{strip.gained} wins {strip.wins}{asked}, covered {strip.covered}")


def judges(view: RunView) -> None:
    """How far verdicts agree with the environment, and with themselves."""
    found = verdicts(view)
    if found is None:
        return
    table = _table("part", "mean", "rollouts", "correlation", "of ranks", "AUC", "kappa", "noise")
    for part in found.parts:
        agreed, noisy = part.agreement, part.noise
        figures = (agreed.pearson, agreed.spearman, agreed.auc, agreed.kappa)
        told = f"{noisy.deviation:.3f} ({noisy.n} asked twice)" if noisy else "-"
        shown = ("-" if value is None else f"{value:.2f}" for value in figures)
        table.add_row(part.name, f"{part.mean:.3f}", str(agreed.n), *shown, told)
    failed = f", {found.failed} rollouts without one" if found.failed else ""
    _print(f"verdicts beside the environment's reward (reward_source {found.source}){failed}", table)


def costs(view: RunView) -> None:
    table = _table("role", "calls", "reused", "failed", "lost", "tokens in", "tokens out", "USD")
    for role, spent in sorted(view.ledger.by_role.items()):
        money = f"{spent.usd:.4f}"
        if spent.unpriced:
            money += f" ({spent.unpriced} without a known price)"
        counts = (spent.calls, spent.reused, spent.failed, spent.lost)
        tokens = (spent.prompt_tokens, spent.completion_tokens)
        table.add_row(role, *(str(n) for n in (*counts, *tokens)), money)
    if pooled := pool_course(view):
        say(pooled.told)
    total = usage(view)
    title = f"cost: {total['distinct_rollouts']} distinct rollouts in {total['active_seconds']:.0f} s"
    _print(title, table)


def savings(view: RunView) -> None:
    """What the cheap policy was good for."""
    found = proxy(view)
    if found is None:
        return
    say()
    say("cheap policy (proxy_models)", "bold")
    for line in told(found):
        say(line)


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
        say(f"{title} on {called(split)}: {len(group)}, for example", "bold")
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
    cheap = proxy(view)
    return {
        "result": result(view),
        "figures": figures(headline(view)),
        "proxy": dataclasses.asdict(cheap) if cheap else None,
        "usage": usage(view),
        "forecast": dataclasses.asdict(view.outlook) if view.run.status in UNFINISHED else None,
        "lift": [dataclasses.asdict(lift) for lift in lift_table(view)],
        "candidates": [dataclasses.asdict(row) for row in view.rows.values()],
        "rejected": rejected(view)["by_reason"],
        "verdicts": dataclasses.asdict(found) if (found := verdicts(view)) else None,
        "keys": [dataclasses.asdict(effect) for effect in key_effects(view)],
    }


def figures(told: Headline) -> dict[str, Any]:
    """How a run stands, for programs: docs/command-line.md says what each of them is."""
    best, left = told.best, told.outlook.seconds_left
    return {
        "state": told.state,
        "now": list(told.now),
        "step": told.step,
        "generation": told.generation,
        "best": {"candidate": best.id, "index": best.index} if best else None,
        "train": dataclasses.asdict(told.train) if told.train else None,
        "heldout": dataclasses.asdict(told.heldout) if told.heldout else None,
        "covered": told.covered,
        "examples": told.examples,
        "candidates": told.candidates,
        "rollouts": told.rollouts,
        "given_up": told.given_up,
        "in_flight": dict(told.in_flight),
        "tokens": told.tokens,
        "cost_usd": told.usd,
        "priced": told.priced,
        "active_seconds": round(told.seconds, 3),
        "seconds_left": dataclasses.asdict(left) if left and told.state in UNFINISHED else None,
        "caps": dataclasses.asdict(told.limits),
        "turned_down": dict(told.reasons),
        "errors": [
            {
                "role": each.role,
                "kind": each.kind,
                "message": each.message,
                "attempts": each.attempts,
                "given_up": each.given_up,
            }
            for each in told.errors[:MOST_ERRORS]
        ],
    }
