"""Who may ask the server: keys as the server checks them, and as the command line makes them."""

import hashlib
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from paretune.core.errors import Misconfigured
from paretune.server.keys import SCOPES, KeyRing, allows
from paretune.store import SqlJobs, StoredKey
from support.programs import paretune


class Reads(SqlJobs):
    """Counts how often the keys are read."""

    count = 0

    def keys(self) -> list[StoredKey]:
        self.count += 1
        return super().keys()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Reads]:
    made = Reads(tmp_path / "workspace.sqlite")
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ring(jobs: Reads, clock: Clock) -> KeyRing:
    return KeyRing(jobs, clock)


def test_a_token_passes_and_only_its_digest_is_kept(ring: KeyRing, jobs: Reads, tmp_path: Path) -> None:
    assert not ring.any()
    key, token = ring.make("ci", "submit")
    assert ring.any()
    assert ring.check(token) == key == jobs.keys()[0]
    assert (token[:3], len(token), key.digest) == ("pt_", 46, hashlib.sha256(token.encode()).hexdigest())
    assert not [file for file in tmp_path.iterdir() if token.encode() in file.read_bytes()]


def test_other_tokens_do_not_pass(ring: KeyRing) -> None:
    key, token = ring.make("ci", "submit")
    _, other = ring.make("ci", "submit")
    assert token != other
    for wrong in (
        "",
        "pt_",
        token[:-1],
        token + " ",
        token.upper(),
        key.digest,
        key.id,
        "é\ud800\x00",
        "x" * 10**6,
    ):
        assert ring.check(wrong) is None


def test_a_scope_includes_those_below_it(ring: KeyRing) -> None:
    keys = {scope: ring.make("ci", scope)[0] for scope in ("read", "submit", "admin")}
    allowed = {(has, needs) for has, needs in product(keys, SCOPES) if allows(keys[has], needs)}
    assert allowed == {
        ("read", "read"),
        ("submit", "read"),
        ("submit", "submit"),
        ("admin", "read"),
        ("admin", "submit"),
        ("admin", "admin"),
    }
    with pytest.raises(Misconfigured, match="scope: one of read, submit, admin, not 'root'"):
        ring.make("ci", "root")


def test_a_revoked_key_never_passes_and_opens_nothing_to_everybody(ring: KeyRing) -> None:
    key, token = ring.make("ci", "admin")
    assert ring.check(token)
    ring.revoke(key.id)
    assert ring.check(token) is None
    assert ring.any()


def test_keys_are_read_once_a_second_and_changes_elsewhere_are_seen(
    ring: KeyRing, jobs: Reads, clock: Clock
) -> None:
    key, token = ring.make("ci", "read")
    for _ in range(100):
        assert ring.check(token)
        assert ring.any()
    assert jobs.count == 1

    elsewhere = KeyRing(jobs)
    new, its_token = elsewhere.make("new", "read")
    assert ring.check(its_token) == new
    elsewhere.revoke(key.id)
    clock.now += 1.0
    assert ring.check(token) is None
    assert ring.check(its_token) == new


def test_the_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    made = paretune("keys", "create", "--name", "ci \x1b[31m", cwd=tmp_path)
    token = made.stdout.strip()
    assert made.stdout == f"{token}\n"
    assert "not shown again" in made.stderr
    assert token not in made.stderr
    jobs = SqlJobs(tmp_path / ".paretune" / "workspace.sqlite")
    found = KeyRing(jobs).check(token)
    assert found is not None
    assert found.scope == "submit"

    listed = paretune("keys", "list", cwd=tmp_path).stdout
    assert found.id in listed
    assert "\x1b" not in listed
    told = paretune("keys", "list", "--json", cwd=tmp_path).stdout
    assert [each["id"] for each in json.loads(told)] == [found.id]
    assert found.digest not in listed + told

    revoked = paretune("keys", "revoke", found.id, cwd=tmp_path)
    assert (revoked.returncode, revoked.stdout) == (0, f"{found.id} is revoked\n")
    assert "lets nobody in" in revoked.stderr
    assert KeyRing(jobs).check(token) is None
    jobs.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "--name", "x", "--scope", "root"], "scope: one of read, submit, admin"),
        (["revoke", "key_0"], "no key key_0"),
        (["list", "--store", "elsewhere.sqlite"], "there is no store at elsewhere.sqlite"),
        (["create", "--name", "x", "--store", "postgresql:/u:p@h/db"], "a database's address reads"),
    ],
)
def test_what_the_command_line_cannot_do_it_says(tmp_path: Path, arguments: list[str], told: str) -> None:
    SqlJobs(tmp_path / ".paretune" / "workspace.sqlite").close()
    done = paretune("keys", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert not (tmp_path / "elsewhere.sqlite").exists()
