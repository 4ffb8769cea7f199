"""What judges said in a run: how far they agree with the environment, and with themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretune.core.errors import FailureKind
from paretune.core.rollout import Answer
from paretune.evaluate.rollouts import Cell
from paretune.evaluate.verifier.fusion import ENVIRONMENT
from paretune.evaluate.verifier.judge import Mark
from paretune.evaluate.verifier.rubric import PARTS
from paretune.views.run_view import RunView

APART = 20
"""So many rollouts are listed on which judges and environment are furthest apart."""
LEAST = 3
"""Of fewer pairs nothing is said."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a verdict with the environment's reward, over `n` rollouts; None where it cannot be said.

    `pearson` of the values, `spearman` of their ranks. Where the environment says 0 or 1 only: `auc` is the
    chance that a right rollout is judged better than a wrong one, `kappa` the agreement beyond chance when
    0.5 and more is taken as right.
    """

    n: int
    pearson: float | None
    spearman: float | None
    auc: float | None
    kappa: float | None


@dataclass(frozen=True, slots=True)
class JudgeNoise:
    """From `n` verdicts that were asked twice: the deviation of a single one, the mean difference of two,
    and the share of all differences between verdicts that is noise."""

    n: int
    deviation: float
    difference: float
    share: float | None


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of the verdicts: `events` or `outcome`."""

    name: str
    mean: float
    agreement: Agreement
    noise: JudgeNoise | None


@dataclass(frozen=True, slots=True)
class Apart:
    """A rollout on which the verdict (its parts' mean) and the environment differ."""

    cell: Cell
    environment: float
    verdict: float


@dataclass(frozen=True, slots=True)
class VerdictView:
    """Of a run with a verifier. `rollouts` were judged, `failed` have no verdict and so no result."""

    source: str
    weights: Mapping[str, float]
    verifier: str
    model: str
    rollouts: int
    failed: int
    parts: tuple[PartView, ...]
    apart: tuple[Apart, ...]


def verdicts(view: RunView) -> VerdictView | None:
    """None for a run without a verifier, or before the first verdict."""
    section = judge_section(view)
    failed = sum(failure.kind is FailureKind.VERIFIER for failure in view.failures)
    cells, environment, judged = _judged(view)
    if not cells and not failed:
        return None
    parts = []
    for name in PARTS:
        values = judged[name]
        there = ~np.isnan(values)
        if there.any():
            found = agreement(environment[there], values[there])
            parts.append(
                PartView(name, float(values[there].mean()), found, noise(view.verdicts.pairs(name), values))
            )
    return VerdictView(
        source=str(section.get("reward_source", "task_app")),
        weights={
            name: float(section.get(key, default))
            for name, key, default in (
                (ENVIRONMENT, "weight_env", 1.0),
                ("events", "weight_event", 0.0),
                ("outcome", "weight_outcome", 0.0),
            )
        },
        verifier=str(section.get("synth_verifier_id") or ""),
        model=str(section.get("backend_model") or ""),
        rollouts=len(cells),
        failed=failed,
        parts=tuple(parts),
        apart=_apart(cells, environment, judged),
    )


def judge_section(view: RunView) -> Mapping[str, Any]:
    """The document's section about judges, as it was written; empty where there is none."""
    inner = view.run.job.get("document", {}).get("prompt_learning", {})
    for table in (inner.get("gepa") or {}, inner.get("mipro") or {}, inner):
        for name in ("verifier", "judge"):
            found = table.get(name)
            if isinstance(found, Mapping) and found.get("enabled"):
                return found
    return {}


def _judged(view: RunView) -> tuple[list[Cell], np.ndarray, Mapping[str, np.ndarray]]:
    """Rollouts that were judged, the environment's rewards, and those of each part (NaN where there is
    none)."""
    cells, rows = [], []
    for cell in view.rollouts:
        found = view.rollouts.objectives(cell)
        if ENVIRONMENT in found and any(part in found for part in PARTS):
            cells.append(cell)
            rows.append([found[ENVIRONMENT], *(found.get(part, math.nan) for part in PARTS)])
    table = np.array(rows, float).reshape(len(rows), 1 + len(PARTS))
    return cells, table[:, 0], {part: table[:, at] for at, part in enumerate(PARTS, 1)}


def _apart(
    cells: Sequence[Cell], environment: np.ndarray, judged: Mapping[str, np.ndarray]
) -> tuple[Apart, ...]:
    if not cells:
        return ()
    values = np.nanmean(np.array([judged[part] for part in PARTS]), axis=0)
    gaps = np.abs(values - environment)
    order = np.argsort(-gaps, kind="stable")[:APART]
    return tuple(Apart(cells[at], float(environment[at]), float(values[at])) for at in order if gaps[at] > 0)


# -- figures ---------------------------------------------------------------------------------------------


def agreement(environment: np.ndarray, verdict: np.ndarray) -> Agreement:
    """Both have one value for each rollout."""
    n = len(environment)
    if n < LEAST:
        return Agreement(n, None, None, None, None)
    auc = kappa = None
    if set(np.unique(environment)) <= {0.0, 1.0}:
        right = environment == 1.0
        auc, kappa = _auc(right, verdict), _kappa(right, verdict >= 0.5)
    return Agreement(
        n, _correlation(environment, verdict), _correlation(_ranks(environment), _ranks(verdict)), auc, kappa
    )


def noise(pairs: Sequence[tuple[float, float]], all_values: np.ndarray) -> JudgeNoise | None:
    """`all_values`: those of all verdicts, which vary by their rollouts too. None of too few pairs."""
    if len(pairs) < LEAST:
        return None
    differences = np.array([one - other for one, other in pairs])
    variance = float((differences**2).mean()) / 2
    spread = float(np.nanvar(all_values))
    share = min(1.0, variance / spread) if spread > 0 else None
    return JudgeNoise(len(pairs), math.sqrt(variance), float(np.abs(differences).mean()), share)


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    if one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of their places."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], float)


def _auc(right: np.ndarray, verdict: np.ndarray) -> float | None:
    good, bad = int(right.sum()), int((~right).sum())
    if not good or not bad:
        return None
    above = float(_ranks(verdict)[right].sum()) - good * (good + 1) / 2
    return above / (good * bad)


def _kappa(right: np.ndarray, taken: np.ndarray) -> float | None:
    """Cohen's."""
    same = float((right == taken).mean())
    p, q = float(right.mean()), float(taken.mean())
    chance = p * q + (1 - p) * (1 - q)
    return None if chance == 1 else (same - chance) / (1 - chance)


# -- one verdict -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OneVerdict:
    """What judges said about one rollout; `failed` are nodes that had no answer of their own, and why."""

    events: float | None
    outcome: float | None
    marks: tuple[Mark, ...]
    failed: Mapping[str, str]


def verdict_on(answer: Answer) -> OneVerdict | None:
    """From its trace; None where there is none, or something else by that name."""
    found = answer.trace.get("verdict") if isinstance(answer.trace, Mapping) else None
    if not isinstance(found, Mapping) or ENVIRONMENT not in answer.objectives:
        return None
    try:
        marks = tuple(_mark(given) for given in found.get("marks", []))
        failed = {str(node): str(why) for node, why in found.get("failed", {}).items()}
    except (TypeError, AttributeError, ValueError, LookupError):
        return None
    parts = (found.get(part) for part in PARTS)
    events, outcome = (float(value) if isinstance(value, int | float) else None for value in parts)
    return OneVerdict(events, outcome, marks, failed)


def _mark(given: Mapping[str, Any]) -> Mark:
    part = PARTS[PARTS.index(given["part"])]
    words = (str(given[name]) for name in ("node", "criterion", "explanation"))
    node, criterion, explanation = words
    return Mark(node, part, criterion, int(given["event"]), float(given["score"]), explanation)
