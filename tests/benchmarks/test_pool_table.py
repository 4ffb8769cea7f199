"""The table of adaptive pools: differences are paired by world, and a goal is reached when the mean is."""

import pytest

from benchmarks import pool


def run(level: str, world: int, held_out: float, accepted: int, marks: list[tuple[int, float]]) -> pool.Run:
    return pool.Run("classic8", level, world, held_out, held_out, 100, accepted, 3, 40, 30, marks)


def test_a_level_is_compared_with_none_on_the_same_worlds() -> None:
    runs = [
        run("none", 0, 0.5, 10, [(0, 0.1), (80, 0.5)]),
        run("none", 1, 0.7, 10, [(0, 0.1), (100, 0.7)]),
        run("none", 2, 0.9, 10, [(0, 0.9)]),
        run("pool:LOW", 0, 0.6, 20, [(0, 0.1), (40, 0.6)]),
        run("pool:LOW", 1, 0.8, 20, [(0, 0.1), (50, 0.8)]),
    ]
    *_, row = pool.table(runs, ["classic8"], ["pool:LOW", "pool:HIGH"]).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["classic8", "pool:LOW", "2", "0.700"]
    assert cells[4].startswith("+0.100 (")
    assert cells[6:] == ["20", "+50%", "+50%", "40"]


@pytest.mark.parametrize("level", ["none", "pool:HIGH", "batch:HIGH"])
def test_a_level_is_what_a_document_asks_for(level: str) -> None:
    settings = pool.settings("classic8", level, 300)
    assert (settings.pool is None) == (level == "none")
    assert settings.minibatch_size == (2 if level == "batch:HIGH" else 8)
