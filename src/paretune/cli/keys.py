"""`paretune keys`: who may ask the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager

from paretune.cli.console import as_json, note, one_line, say
from paretune.engine.workspace import Workspace
from paretune.server.keys import KeyRing
from paretune.store import Jobs, StoredKey, open_jobs


def create(name: str, scope: str, store: str | None) -> None:
    with _jobs(store, new=True) as jobs:
        key, token = KeyRing(jobs).make(name, scope)
    note(f"{key.id} ({key.scope}): this is its token, which is not shown again")
    say(token)


def print_keys(store: str | None, *, json: bool) -> None:
    with _jobs(store) as jobs:
        keys = jobs.keys()
    if json:
        as_json([_public(key) for key in keys])
    for key in [] if json else keys:
        revoked = f"  revoked {key.revoked_at[:19]}" if key.revoked_at else ""
        say(f"{key.id}  {key.created_at[:19]}  {key.scope:<6}  {one_line(key.name, 60)}{revoked}")


def revoke(key_id: str, store: str | None) -> None:
    with _jobs(store) as jobs:
        revoked = jobs.revoke_key(key_id)
        keys = jobs.keys()
    say(f"{revoked.id} is revoked")
    if all(key.revoked_at for key in keys):
        note("no key is left: the server lets nobody in until there is a new one")


@contextmanager
def _jobs(store: str | None, *, new: bool = False) -> Iterator[Jobs]:
    # The workspace says what is wrong with an address, and makes no file where one is misspelled.
    with Workspace.open(store, new=new), closing(open_jobs(store)) as jobs:
        yield jobs


def _public(key: StoredKey) -> dict[str, str]:
    shown: dict[str, str] = dataclasses.asdict(key)
    del shown["digest"]
    return shown
