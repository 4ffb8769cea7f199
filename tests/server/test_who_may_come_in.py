"""Keys and their scopes, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.programs import paretune
from support.served import ANY, OFFLINE, Server, serving

ENV_KEYS = "/api/v1/env-keys"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server and the tokens of its keys, by scope; and one that is revoked."""
    folder = tmp_path_factory.mktemp("keys")
    server = Server(folder)
    tokens = {}
    for name in ("read", "submit", "admin", "revoked"):
        scope = "admin" if name == "revoked" else name
        made = paretune(
            "keys", "create", "--name", name, "--scope", scope, "--store", str(server.store), cwd=folder
        )
        tokens[name] = made.stdout.strip()
    listed = paretune("keys", "list", "--json", "--store", str(server.store), cwd=folder).stdout
    (revoked,) = (key["id"] for key in json.loads(listed) if key["name"] == "revoked")
    paretune("keys", "revoke", revoked, "--store", str(server.store), cwd=folder)
    with serving(folder) as served:
        yield served, tokens


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("", "GET", "/health", 200),
        ("", "GET", ANY, 401),
        ("", "GET", "/openapi.json", 401),
        ("", "GET", "/nowhere", 401),
        ("", "POST", OFFLINE, 401),
        ("wrong", "GET", ANY, 401),
        ("wrong", "GET", "/health", 401),
        ("revoked", "GET", ANY, 401),
        ("read", "GET", ANY, 200),
        ("read", "POST", OFFLINE, 403),
        ("read", "POST", f"{ANY}/pl_1/cancel", 403),
        ("read", "PATCH", f"{ANY}/pl_1", 403),
        ("submit", "POST", OFFLINE, 422),
        ("submit", "POST", ENV_KEYS, 403),
        ("submit", "POST", f"{ENV_KEYS}/", 307),
        ("admin", "POST", ENV_KEYS, 422),
    ],
)
def test_a_key_may_do_what_its_scope_says(
    keys: tuple[Server, dict[str, str]], who: str, method: str, path: str, status: int
) -> None:
    server, tokens = keys
    token = tokens.get(who, "pt_wrong")
    for header in ({"X-API-Key": token}, {"Authorization": f"Bearer {token}"}):
        answer = httpx.request(method, f"{server.url}{path}", headers=header if who else {})
        assert answer.status_code == status, answer.text
        assert token not in answer.text


def test_keys_are_kept_as_digests(keys: tuple[Server, dict[str, str]]) -> None:
    server, tokens = keys
    for path in server.folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not [name for name, token in tokens.items() if token.encode() in data]


def test_other_machines_are_not_let_in_without_a_key(tmp_path: Path) -> None:
    done = paretune("serve", "--host", "0.0.0.0", "--port", "0", "--store", "s.sqlite", cwd=tmp_path)
    assert done.returncode == 2
    assert "keys create" in done.stderr
