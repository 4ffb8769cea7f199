"""What a cheap policy (`proxy_models`) was asked, what it decided, and what that saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paretune.core import events
from paretune.core.candidate import CandidateId
from paretune.evaluate.rollouts import Rollouts
from paretune.views.run_view import RunView

STATES: Mapping[str, str] = {
    "calibrating": "not known well enough yet",
    "on": "screens candidates",
    "off": "switched off",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """The cheap policy (LO) beside the job's own (HI), as the record stands.

    `correlation` with its bounds is of `pairs`; `price` is that of a LO rollout as a part of HI's. `asked` LO
    rollouts cost `paid_usd`. Of `screened` candidates `stopped` went no further, `verified` would have been;
    `spared` HI rollouts of their full evaluations were not made, worth `spared_usd`. Money is None where
    nobody knows a price.
    """

    rule: str
    state: str
    reason: str
    correlation: float
    low: float
    high: float
    pairs: int
    price: float
    asked: int
    paid_usd: float | None
    screened: int
    stopped: int
    verified: int
    spared: int
    spared_usd: float | None

    @property
    def net_rollouts(self) -> int:
        """All rollouts are counted alike here, as a cap on them does."""
        return self.spared - self.asked

    @property
    def net_usd(self) -> float | None:
        if self.spared_usd is None or self.paid_usd is None:
            return None
        return self.spared_usd - self.paid_usd


@dataclass(frozen=True, slots=True)
class Screened:
    """One candidate's last look."""

    candidate: CandidateId
    decided: events.ProxyDecided


def proxy(view: RunView) -> Proxy | None:
    """None for a run without a cheap policy."""
    if "lo" not in view.run.job:
        return None
    settings = view.run.job["settings"]["proxy"]
    known = [d for d in view.decisions if isinstance(d, events.ProxyCalibrated)]
    looks = [d for d in view.decisions if isinstance(d, events.ProxyDecided)]
    last = known[-1] if known else None
    spared = sum(look.spared for look in looks)
    hi = _each(view.rollouts, settings["hi_usd"], settings["verdict_usd"])
    lo = _each(view.cheap, settings["lo_usd"], settings["verdict_usd"])
    return Proxy(
        rule=settings["rule"],
        state=last.state if last else "calibrating",
        reason=last.reason if last else "no candidate was evaluated in full yet",
        correlation=last.correlation if last else 0.0,
        low=last.low if last else -1.0,
        high=last.high if last else 1.0,
        pairs=last.pairs if last else 0,
        price=last.price if last else 0.0,
        asked=len(view.cheap),
        paid_usd=None if lo is None else len(view.cheap) * lo,
        screened=len({look.candidate for look in looks}),
        stopped=sum(look.stopped for look in looks),
        verified=sum(look.verified for look in looks),
        spared=spared,
        spared_usd=None if hi is None else spared * hi,
    )


def screened(view: RunView) -> list[Screened]:
    """The last look at each candidate that was looked at, in the order of the record."""
    last = {d.candidate: d for d in view.decisions if isinstance(d, events.ProxyDecided)}
    return [Screened(candidate, decided) for candidate, decided in last.items()]


def told(found: Proxy) -> list[str]:
    """The report in lines of text."""
    known = f"correlation {found.correlation:.2f} [{found.low:.2f}, {found.high:.2f}], {found.pairs} pairs"
    done = f"screened {found.screened} candidates: {found.stopped} stopped"
    lines = [
        f"{found.rule}: {STATES[found.state]} ({found.reason}); {known}, at {found.price:.0%} of the price",
        f"{found.asked} cheap rollouts {done}, {found.spared} rollouts of the policy not made",
    ]
    if found.net_usd is not None:
        lines.append(
            f"saved against full evaluations: ${found.spared_usd:.4f}, less ${found.paid_usd:.4f} for the "
            f"cheap policy = ${found.net_usd:.4f}"
        )
    return lines


def _each(rollouts: Rollouts, otherwise: float | None, verdict: float) -> float | None:
    """USD of one and its verdict, on average; None where nobody knows."""
    usd = [cost for _, _, cost in map(rollouts.usage, rollouts) if cost is not None]
    mean = sum(usd) / len(usd) if usd else otherwise
    return None if mean is None else mean + verdict
