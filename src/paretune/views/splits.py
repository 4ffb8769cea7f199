"""What people call the splits: on pages, in tables, in warnings."""

from __future__ import annotations

WORDS = {"reflect": "minibatch", "pareto": "train", "select": "selection", "test": "held-out"}


def called(split: str) -> str:
    """`train` for `pareto`, `train and panel` for `pareto+panel`; a name that is no split's stays."""
    return " and ".join(WORDS.get(name, name) for name in split.split("+"))
