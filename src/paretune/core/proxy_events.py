"""Decisions about a cheap policy (LO) beside the job's own (HI); `core.events` has them in its union."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyCalibrated:
    """What is known of the cheap policy (LO) after this candidate, and whether it is used from now on.

    `state`: calibrating, on or off. `correlation` with its one-sided bounds `low` and `high`, of `pairs`, is
    that of differences to a rival (`control_variate`) or of rewards (`r2`); `sigma` is the variance that the
    regression leaves. A LO rollout costs `price` of one by the job's own policy (HI).
    """

    kind: ClassVar[str] = "proxy_calibrated"
    step: int
    candidate: str
    rule: str
    state: str
    reason: str
    correlation: float
    low: float
    high: float
    sigma: float
    pairs: int
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyDecided:
    """Whether HI goes on with a candidate that LO has seen on all `wanted` examples, and HI on `measured`.

    `difference` is the estimate of what HI's mean would be above the rival's, `error` one standard error of
    it; `chance` and `cells` as in a rung. If `stopped`, it is measured no further, and no member of the pool;
    `spared` HI rollouts of a full evaluation were not made. If `verified`, it would have been stopped, and
    goes on so that the rule is checked.
    """

    kind: ClassVar[str] = "proxy_decided"
    step: int
    candidate: str
    rival: str
    rule: str
    measured: int
    wanted: int
    difference: float
    error: float
    slope: float
    chance: float
    cells: int
    stopped: bool
    verified: bool
    spared: int
