"""Sessions of browsers: how they end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.server import sessions
from paretune.server.keys import KeyRing
from paretune.server.sessions import SECONDS, Sessions
from paretune.store import SqlJobs


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    jobs = SqlJobs(tmp_path / "workspace.sqlite")
    yield KeyRing(jobs)
    jobs.close()


def test_a_session_stands_for_its_key_until_one_of_them_ends(ring: KeyRing) -> None:
    clock = Clock()
    kept, (key, token) = Sessions(ring, clock), ring.make("ci", "read")
    first, second = kept.begin(token), kept.begin(token)
    assert first != second
    assert kept.check(first) == kept.check(second) == key
    assert kept.check(token) is kept.check("") is None
    assert kept.begin("pt_wrong") == ""

    kept.end(first)
    kept.end("nobody's")
    assert kept.check(first) is None
    assert kept.check(second) == key
    clock.now = SECONDS
    assert kept.check(second) is None

    third = kept.begin(token)
    assert kept.check(third) == key
    ring.revoke(key.id)
    assert kept.check(third) is None
    assert kept.begin(token) == ""


def test_of_too_many_sessions_the_oldest_end(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 2)
    kept, (key, token) = Sessions(ring), ring.make("ci", "read")
    made = [kept.begin(token) for _ in range(3)]
    assert [kept.check(each) for each in made] == [None, key, key]
