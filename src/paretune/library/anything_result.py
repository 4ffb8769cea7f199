"""What `optimize_anything` came to: a GEPAResult, and the best candidate on a test set."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field, fields
from typing import Any

from paretune.core.statistics import Interval, bootstrap_mean
from paretune.library.lossless import read, write
from paretune.library.result import GEPAResult

TEST = "test"


@dataclass(frozen=True)
class TestReport:
    """The best candidate, once, on the test set: `scores` by id, and why those in `failures` have none."""

    __test__ = False  # pytest: a report of tests, not tests

    scores: dict[Hashable, float]
    failures: dict[Hashable, str] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Over what has a score; minus infinity if nothing has."""
        return math.fsum(self.scores.values()) / len(self.scores) if self.scores else -math.inf

    def interval(self, *, level: float = 0.95) -> Interval | None:
        """The mean with its interval; None without a score."""
        finite = [score for score in self.scores.values() if math.isfinite(score)]
        return bootstrap_mean(finite, level=level) if finite else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; ids as pairs, for they need not be strings."""
        return {
            "mean": self.mean if self.scores else None,
            "scores": [[write(id), score] for id, score in self.scores.items()],
            "failures": [[write(id), why] for id, why in self.failures.items()],
        }

    @staticmethod
    def from_dict(d: dict[str, Any]) -> TestReport:
        return TestReport(
            {read(id): score for id, score in d["scores"]}, {read(id): why for id, why in d["failures"]}
        )


@dataclass(frozen=True)
class AnythingResult(GEPAResult[Any, Any]):
    """`test` is None without a `test_set`. Unlike `best_score`, which the best candidate was chosen for, it
    carries a claim: no choice has looked at it."""

    test: TestReport | None = None

    @staticmethod
    def of(result: GEPAResult[Any, Any], test: TestReport | None, key: str | None) -> AnythingResult:
        """`key`: the component that `best_candidate` is, alone."""
        known = {f.name: getattr(result, f.name) for f in fields(GEPAResult)}
        return AnythingResult(**{**known, "_str_candidate_key": key}, test=test)

    def to_dict(self) -> dict[str, Any]:
        """As GEPAResult's, with `test`."""
        document = super().to_dict()
        return document if self.test is None else {**document, TEST: self.test.to_dict()}

    @staticmethod
    def from_dict(d: dict[str, Any]) -> AnythingResult:
        """From `to_dict`, also after JSON."""
        result, test = GEPAResult.from_dict(d), d.get(TEST)
        found = TestReport.from_dict(test) if test is not None else None
        return AnythingResult.of(result, found, result._str_candidate_key)
