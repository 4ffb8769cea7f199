"""SIGKILL, for real: the run dies in its process, the task lives on in another; nothing is lost or repaid.

`make test` kills a few times, `make test-all` (marker `slow`) fifty times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import paretune
from paretune.core.canonical import digest
from paretune.engine.verify import check_record, replay_record
from paretune.store import SqlStore
from paretune.views.run_view import read
from support import mortal
from support.runs import begin, canonical, first_difference, plain_result

SEED = 1


def _python(*arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(paretune.__path__[0]).parent), str(Path(__file__).parent.parent)])
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


@dataclass(slots=True)
class Task:
    """The container in its process."""

    url: str
    name: str

    def asks(self) -> Counter[str]:
        with urllib.request.urlopen(f"{self.url}/asks", timeout=10) as answer:
            return Counter(json.load(answer))


@pytest.fixture(scope="module", params=["merging", "lanes"])
def task(request: pytest.FixtureRequest) -> Iterator[Task]:
    """A case behind HTTP: one thing at a time, and in lanes."""
    process = _python("support.rulebook_container", request.param, str(SEED))
    assert process.stdout is not None
    yield Task(process.stdout.readline().strip(), request.param)
    process.kill()
    process.wait()
    process.stdout.close()


@dataclass(slots=True)
class Life:
    """One run on a store of its own, carried by one process after another."""

    place: Path
    task: Task
    run_id: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, int] = field(default_factory=dict)
    _store: SqlStore | None = None

    def __post_init__(self) -> None:
        case = mortal.case(self.task.name, SEED)
        self.run_id = begin(self.store, mortal.tasks(case.job()), case.proposer())

    @property
    def store(self) -> SqlStore:
        if self._store is None:
            self._store = SqlStore(self.place)
        return self._store

    def carry(self, plan: str, number: int = 0, *, seconds: float | None = None) -> bool:
        """One process. True if it was killed, False if it came to the end."""
        self.close()
        process = _python(
            *("support.mortal", str(self.place), self.run_id, self.task.url, self.task.name, str(SEED)),
            *(plan, str(number)),
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == "ready\n"
            if seconds is not None:
                time.sleep(seconds)
                process.send_signal(signal.SIGKILL)
            code = process.wait(timeout=60)
        assert code in (0, -signal.SIGKILL)
        if code:
            self._note(plan == "fact" or (plan == "full" and number % 2 == 1))
        return bool(code)

    def _note(self, uncommitted: bool) -> None:
        """What the dead process left: where it was, and what must never be asked again."""
        plan = mortal.Plan("")
        plan.after(self.store.decisions(self.run_id))
        full = plan.inside
        self.kills["all"] += 1
        self.kills["inside a full evaluation"] += full
        self.kills["between a result and its commit"] += uncommitted
        asks = self.task.asks()
        for key in self.rollouts():
            self.acknowledged.setdefault(self.rollout_id(key), asks[self.rollout_id(key)])

    def rollouts(self) -> list[str]:
        return [key for key in self.store.drawn(self.run_id) if key.startswith("r_")]

    def rollout_id(self, key: str) -> str:
        return "ro_" + digest([self.run_id, key], 32)

    def lost(self) -> Counter[str]:
        ended = [a for a in self.store.attempts(self.run_id) if a.ended and a.ended.outcome == "lost"]
        return Counter(attempt.begun.key for attempt in ended)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


@pytest.fixture(scope="module")
def whole(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """The uninterrupted run."""
    life = Life(tmp_path_factory.mktemp("whole") / "workspace.sqlite", task)
    began = time.monotonic()
    assert not life.carry("live")
    assert time.monotonic() - began < 60
    yield life
    life.close()


def _equal_to_the_uninterrupted(life: Life, whole: Life) -> None:
    difference = first_difference(canonical(whole.store, whole.run_id), canonical(life.store, life.run_id))
    assert difference == ""
    assert plain_result(life.store, life.run_id) == plain_result(whole.store, whole.run_id)
    assert check_record(life.store, life.run_id) == []


def _nothing_asked_in_vain(life: Life, whole: Life) -> None:
    asks, lost = life.task.asks(), life.lost()
    mine = {key: asks[life.rollout_id(key)] for key in life.rollouts()}
    assert {rollout: asks[rollout] for rollout in life.acknowledged} == life.acknowledged
    assert all(1 <= count <= 1 + lost[key] for key, count in mine.items())
    ledger = read(life.store, life.run_id).ledger
    assert len(mine) == len(ledger.drawn) == len(whole.rollouts()) <= mortal.BUDGET
    assert ledger.role("rollout").calls == len(mine)
    assert sum(spent.lost for spent in ledger.by_role.values()) == lost.total()
    assert ledger.role("rollout").cost_usd == pytest.approx(
        read(whole.store, whole.run_id).ledger.role("rollout").cost_usd
    )


PLANS = ("clock", "fact", "full")


def _die(life: Life, plan: str, rng: random.Random) -> bool:
    """One more process, killed somewhere if it lives long enough."""
    if plan == "clock":
        return life.carry("live", seconds=rng.uniform(0.0, 0.7))
    return life.carry(plan, rng.randint(1, 25 if plan == "fact" else 10))


def _kill(times: int, task: Task, whole: Life, folder: Path, rng: random.Random) -> Counter[str]:
    """Runs that are killed up to four times each, until so many kills; each then goes on to its end."""
    kills: Counter[str] = Counter()
    run = 0
    while kills["all"] < times:
        run += 1
        life = Life(folder / f"run-{run}" / "workspace.sqlite", task)
        wanted = min(4, times - kills["all"])
        for turn in range(wanted):
            plan = PLANS[(kills["all"] + turn) % len(PLANS)]
            if not _die(life, plan, rng):
                break
        assert not life.carry("live")
        _equal_to_the_uninterrupted(life, whole)
        _nothing_asked_in_vain(life, whole)
        kills += life.kills
        life.close()
    print(dict(kills), "in", run, "runs")
    return kills


def test_the_uninterrupted_run_asks_everything_once(task: Task, whole: Life) -> None:
    asks = task.asks()
    assert {asks[whole.rollout_id(key)] for key in whole.rollouts()} == {1}
    assert whole.lost().total() == 0
    view = read(whole.store, whole.run_id)
    assert view.finished is not None
    kinds = {"seed", "mutation", "merge" if task.name == "merging" else "join"}
    assert kinds <= {row.origin for row in view.rows.values()}
    assert len(whole.rollouts()) > mortal.BUDGET * 0.8
    assert replay_record(whole.store, whole.run_id) == len(whole.store.decisions(whole.run_id))


def test_a_few_kills(task: Task, whole: Life, tmp_path: Path) -> None:
    kills = _kill(4, task, whole, tmp_path, random.Random(6))
    assert kills["all"] == 4
    assert kills["between a result and its commit"] >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills(task: Task, whole: Life, tmp_path: Path) -> None:
    kills = _kill(50, task, whole, tmp_path, random.Random(50))
    assert kills["all"] >= 50
    assert kills["inside a full evaluation"] >= 10
    assert kills["between a result and its commit"] >= 10
