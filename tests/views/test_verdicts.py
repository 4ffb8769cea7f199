"""Verdicts as people see them: agreement with the environment, the judge's noise, and single verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from paretune.cli.show import as_data
from paretune.console.pages import BY_NAME, Paths, page
from paretune.console.view import Asked
from paretune.core.rollout import Answer
from paretune.store import MemoryStore
from paretune.views.repeats import Repeats
from paretune.views.run_view import read
from paretune.views.verdicts import Agreement, agreement, noise, verdict_on, verdicts
from support.judges import OUTCOME, ScriptedJudge, judged_run, verifier
from support.runs import CASES, begin


def test_agreement_by_hand() -> None:
    environment, verdict = np.array([0.0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.5, 0.6, 0.9])
    found = agreement(environment, verdict)
    assert found.n == 5
    assert found.auc == pytest.approx((1 + 0 + 1 + 0.5 + 1 + 1) / 6)
    # Right and taken as right: 3 of 5 and 4 of 5, the same in 4 of 5.
    chance = 0.6 * 0.8 + 0.4 * 0.2
    assert found.kappa == pytest.approx((0.8 - chance) / (1 - chance))
    assert found.pearson == pytest.approx(np.corrcoef(environment, verdict)[0, 1])
    assert found.spearman == pytest.approx(np.corrcoef([1.5, 1.5, 4, 4, 4], [1, 3.5, 2, 3.5, 5])[0, 1])


def test_nothing_is_said_of_what_does_not_vary() -> None:
    flat, varied = np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.2, 0.3])
    assert agreement(flat, varied) == Agreement(3, None, None, None, None)
    assert agreement(np.ones(3), varied).auc is None
    assert agreement(varied[:2], varied[:2]) == Agreement(2, None, None, None, None)


def test_noise_is_that_of_a_single_verdict() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 1, 4000)
    one, other = (truth + rng.normal(0, 0.1, 4000) for _ in range(2))
    found = noise(list(zip(one, other, strict=True)), one)
    assert found is not None
    assert found.deviation == pytest.approx(0.1, rel=0.05)
    assert found.share == pytest.approx(0.01 / (0.01 + 1 / 12), rel=0.1)
    assert noise([(0.1, 0.2)], one) is None


async def test_a_judged_run_shows_its_verdicts() -> None:
    def score(judged: Mapping[str, Any], criterion: str) -> float:
        return 0.9 if " 0 gaps" in judged["output"] else 0.2

    store = MemoryStore()
    model = ScriptedJudge(OUTCOME, score)
    run_id = await judged_run(store, verifier(model, repeat=0.5))
    view = read(store, run_id)
    found = verdicts(view)
    assert found is not None
    (part,) = found.parts
    assert part.name == "outcome"
    assert part.agreement.n == found.rollouts == len(view.rollouts)
    assert part.agreement.pearson is not None
    assert part.agreement.pearson > 0.5
    assert part.noise is not None
    assert part.noise.deviation == 0.0
    assert as_data(view)["verdicts"]["parts"][0]["agreement"]["n"] == found.rollouts

    def body(name: str, **params: str) -> str:
        return page(BY_NAME[name], Asked(view, "succeeded", store, Paths("", run_id), params))

    assert "Furthest apart" in body("verdicts")
    cell = found.apart[0].cell
    text = body("rollout", candidate=cell[0], example=cell[1], replicate=str(cell[2]))
    assert "as to right" in text
    assert "<h2>Verdict</h2>" in text


def test_a_run_without_a_verifier_says_so() -> None:
    case, store = CASES["classic"](1), MemoryStore()
    run_id = begin(store, case.job(), case.proposer())
    view = read(store, run_id)
    assert verdicts(view) is None
    assert view.verdicts == Repeats()
    told = page(BY_NAME["verdicts"], Asked(view, "queued", store, Paths("", run_id)))
    assert "No verifier has judged" in told


@pytest.mark.parametrize(
    "trace",
    [None, [], {"verdict": "good"}, {"verdict": {"marks": 3}}, {"verdict": {"marks": [{"score": "<b>"}]}}],
)
def test_what_a_task_calls_a_verdict_is_not_taken_for_one(trace: object) -> None:
    assert verdict_on(Answer(1.0, {"environment": 1.0}, trace=trace)) is None
    real: Any = {"verdict": {"events": None, "outcome": 1.0, "marks": []}}
    assert verdict_on(Answer(1.0, trace=real)) is None
