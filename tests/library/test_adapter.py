"""Adapters and loaders: what plugs a user's system and a user's examples in."""

from collections.abc import Sequence
from typing import Any

import pytest

from paretune.library.adapter import EvaluationBatch, GEPAAdapter, default_batch_evaluate
from paretune.library.loaders import ListDataLoader, ensure_loader


class Lengths(GEPAAdapter[str, dict[str, str], int]):
    """Scores an example by its length; traces only when asked."""

    def evaluate(
        self, batch: list[str], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[dict[str, str], int]:
        traces = [dict(candidate) for _ in batch] if capture_traces else None
        return EvaluationBatch([len(e) for e in batch], [float(len(e)) for e in batch], traces)

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[dict[str, str], int],
        components_to_update: list[str],
    ) -> dict[str, list[dict[str, Any]]]:
        return {name: [] for name in components_to_update}


def test_an_adapter_may_inherit_from_the_protocol_and_has_no_proposer_of_its_own() -> None:
    assert Lengths().propose_new_texts is None


def test_batches_are_evaluated_in_order_with_traces() -> None:
    items = [({"p": "one"}, ["a", "bb"]), ({"p": "two"}, ["ccc"])]
    first, second = default_batch_evaluate(Lengths(), items)
    assert (first.scores, second.scores) == ([1.0, 2.0], [3.0])
    assert second.trajectories == [{"p": "two"}]


def test_a_list_is_loaded_by_position_and_kept_apart_from_its_owner() -> None:
    mine = ["a", "b"]
    loader = ensure_loader(mine)
    assert isinstance(loader, ListDataLoader)
    loader.add_items(["c"])
    assert (mine, list(loader.all_ids()), loader.fetch([2, 0])) == (["a", "b"], [0, 1, 2], ["c", "a"])


class ByName:
    """A loader of a user's own, which inherits from nothing."""

    def all_ids(self) -> Sequence[str]:
        return ["x", "y"]

    def fetch(self, ids: Sequence[str]) -> list[str]:
        return [f"example {name}" for name in ids]

    def __len__(self) -> int:
        return 2


def test_a_loader_is_taken_as_it_is() -> None:
    mine = ByName()
    assert ensure_loader(mine) is mine


@pytest.mark.parametrize("given", [None, {"a": 1}, iter([1])])
def test_what_is_neither_list_nor_loader_is_refused_with_the_way_out(given: Any) -> None:
    with pytest.raises(TypeError, match="all_ids, fetch and __len__"):
        ensure_loader(given)
