"""Caps that a run may be given anew when it is resumed: those that are no part of what names its job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, Self

from paretune.core.budget import Ledger, Limits
from paretune.core.errors import Misconfigured
from paretune.engine.job import Job
from paretune.engine.run import restore
from paretune.store import Run, Store

LIMIT = {
    "max_cost_usd": "cost_usd",
    "max_total_tokens": "tokens",
    "max_policy_tokens": "rollout_tokens",
    "max_proposer_tokens": "proposal_tokens",
    "max_verifier_tokens": "verdict_tokens",
    "max_seconds": "seconds",
}
"""The document's name of a cap, and the ledger's."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Under the names of `[prompt_learning.termination_config]`; None leaves a cap as it is."""

    max_cost_usd: float | None = None
    max_total_tokens: int | None = None
    max_policy_tokens: int | None = None
    max_proposer_tokens: int | None = None
    max_verifier_tokens: int | None = None
    max_seconds: float | None = None

    @property
    def given(self) -> dict[str, float]:
        return {name: cap for name, cap in asdict(self).items() if cap is not None}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """As a form sends them; what is empty is left as it is. Raises Misconfigured on what is no cap."""
        return cls(
            _number(texts, "max_cost_usd"),
            _whole(texts, "max_total_tokens"),
            _whole(texts, "max_policy_tokens"),
            _whole(texts, "max_proposer_tokens"),
            _whole(texts, "max_verifier_tokens"),
            _number(texts, "max_seconds"),
        )

    def refuse_for(self, run: Run) -> None:
        """Raises Misconfigured if the run is over, and a cap was given that it has no use for."""
        if self.given:
            raise Misconfigured(
                option(min(self.given)),
                f"{run.id} has {run.status} and asks for nothing more; "
                "a new run with a larger cap finds its results",
            )


MOST_TOKENS = 2**53
NO_CAPS = Caps()


def _number(texts: Mapping[str, str], name: str) -> float | None:
    text = texts.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not isfinite(number) or number < 0:
        raise Misconfigured(name, f"{text[:40]!r} is no cap: a number, 0 or more")
    return number


def _whole(texts: Mapping[str, str], name: str) -> int | None:
    number = _number(texts, name)
    if number is not None and (not 1 <= number <= MOST_TOKENS or number != int(number)):
        raise Misconfigured(
            name, f"{texts[name][:40]!r} is no cap: a whole number of tokens, from 1 to {MOST_TOKENS}"
        )
    return None if number is None else int(number)


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def capped(job: Job, run: Run, store: Store, caps: Caps) -> Job:
    """The job under the caps of the run's record, or those that are given instead.

    Raises Misconfigured if one of these is below what is spent already.
    """
    return replace(job, limits=Limits(**_limits(run, store, caps)))


def extend(run: Run, store: Store, caps: Caps) -> None:
    """The run's next process goes on under these caps. For a run nobody works on.

    Raises Misconfigured if none is given, or one is below what is spent already.
    """
    if not caps.given:
        raise Misconfigured("caps", f"give one of {', '.join(LIMIT)}")
    store.set_limits(run.id, _limits(run, store, caps))


def _limits(run: Run, store: Store, caps: Caps) -> dict[str, Any]:
    limits: dict[str, Any] = dict(run.job["limits"])
    spent = spent_by(store, run.id) if caps.given else {}
    for name, cap in caps.given.items():
        if cap < spent[LIMIT[name]]:
            raise Misconfigured(
                option(name), f"{cap:g} is below what {run.id} has spent already: {spent[LIMIT[name]]:g}"
            )
        limits[LIMIT[name]] = cap
    return limits


def spent_by(store: Store, run_id: str) -> Mapping[str, float]:
    """By the ledger's names of the caps. What a killed session left open counts as lost, as it will."""
    ledger, log = Ledger(), store.decisions(run_id)
    restore(ledger, store.attempts(run_id))
    return {
        "cost_usd": ledger.cost_usd,
        "tokens": ledger.tokens,
        "rollout_tokens": ledger.tokens_of("rollout"),
        "proposal_tokens": ledger.role("proposal").tokens,
        "verdict_tokens": ledger.role("verdict").tokens,
        "seconds": log[-1].elapsed if log else 0.0,
    }


def keep(store: Store, run_id: str, job: Job) -> None:
    """Have the job's caps on record, so that a later `resume` goes on under them."""
    limits = asdict(job.limits)
    if store.run(run_id).job["limits"] != limits:
        store.set_limits(run_id, limits)
