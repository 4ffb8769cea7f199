"""Which ends a document asks for: a budget is there to be used, what is written in the file holds."""

from dataclasses import replace
from typing import Any

import pytest

from paretune.config import PromptLearningConfig
from paretune.core.budget import Limits
from paretune.engine.resolve.gepa import fitted_settings, settings_of
from paretune.views.run_view import read
from support.rulebook import Rulebook
from support.runs import Case, carry

SMALL: dict[str, Any] = {"rollout": {"minibatch_size": 4}, "pipeline": {"lanes": 2, "validate_every": 2}}


def _config(gepa: dict[str, Any], **end: Any) -> PromptLearningConfig:
    document = {"algorithm": "gepa", "task_app_url": "http://127.0.0.1:8001", "gepa": gepa}
    return PromptLearningConfig.model_validate({**document, "termination_config": end})


@pytest.mark.parametrize(
    ("written", "generations", "patience"),
    [
        ({}, None, 0),
        ({"population": {"num_generations": 10}}, 10, 0),
        ({"population": {"patience_generations": 3}}, None, 3),
        ({"population": {"num_generations": 2, "patience_generations": 1}}, 2, 1),
    ],
)
def test_with_a_budget_lanes_end_by_generations_or_patience_only_where_the_file_says_so(
    written: dict[str, Any], generations: int | None, patience: int
) -> None:
    config = _config({**SMALL, **written}).gepa
    capped, plain = settings_of(config, None, capped=True), settings_of(config, None)
    assert capped.generations == generations or (generations is None and capped.generations > 100_000)
    assert capped.patience == patience
    assert replace(capped, generations=plain.generations, patience=plain.patience) == plain


@pytest.mark.parametrize("other", [{"pipeline": {"mode": "sync"}}, {"preset": "classic"}])
def test_other_searches_end_as_before(other: dict[str, Any]) -> None:
    config = _config(other).gepa
    assert settings_of(config, None, capped=True) == settings_of(config, None)


@pytest.mark.parametrize(
    ("written", "known", "rollouts"),
    [
        ({}, 4, 12),
        ({"rollout": {"minibatch_size": 8}}, 8, 24),
        ({"pipeline": {"mode": "sync"}}, 0, 16),
        ({"preset": "classic"}, 0, 6),
    ],
)
def test_known_failures_join_minibatches_in_lanes_only(
    written: dict[str, Any], known: int, rollouts: int
) -> None:
    settings = settings_of(_config(written).gepa, None)
    assert (settings.known_failures, settings.step_rollouts) == (known, rollouts)


@pytest.mark.parametrize(
    ("end", "endless"), [({}, False), ({"max_rollouts": 500}, True), ({"max_cost_usd": 2.0}, True)]
)
def test_any_cap_in_the_document_is_a_budget(end: dict[str, Any], endless: bool) -> None:
    settings = fitted_settings(_config(SMALL, **end), Rulebook().splits())
    assert (settings.generations > 100_000, settings.patience == 0) == (endless, endless)


@pytest.mark.parametrize(
    ("written", "rules", "reason"),
    [
        ({}, 18, "rollouts"),
        ({"num_generations": 2}, 18, "generations"),
        ({}, 2, "stalled"),
        ({"patience_generations": 1}, 2, "patience"),
    ],
)
async def test_a_run_of_lanes_ends_as_its_file_says(written: dict[str, Any], rules: int, reason: str) -> None:
    """Two rules are soon learned, and then there is nothing better to be found."""
    book = Rulebook(1, rules=rules, most=2, flaky=0.0)
    splits = book.splits(reflect=24, pareto=8)
    settings = fitted_settings(_config({**SMALL, "population": written}, max_rollouts=220), splits)
    run = await carry(Case(book, splits, settings, Limits(rollouts=220)))
    ended = read(run.store, run.run_id).ended
    assert ended is not None
    assert ended.reason == reason
