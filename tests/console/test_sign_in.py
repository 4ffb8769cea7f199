"""The console of a server that has keys: a key is asked for once, and is shown nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.programs import paretune
from support.served import ANY, Server, serving, until

PAGE = {"Accept": "text/html"}
Keys = tuple[Server, dict[str, str]]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """A server and the tokens of its keys, by scope."""
    folder = tmp_path_factory.mktemp("keyed")
    server, tokens = Server(folder), {}
    for scope in ("read", "submit"):
        arguments = ("keys", "create", "--name", scope, "--scope", scope, "--store", str(server.store))
        tokens[scope] = paretune(*arguments, cwd=folder).stdout.strip()
    with serving(folder) as served:
        yield served, tokens


@pytest.fixture
def client(keyed: Keys) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=keyed[0].url, headers=PAGE) as client:
        yield client


def sign_in(client: httpx.Client, key: str, **more: str) -> httpx.Response:
    origin = str(client.base_url).rstrip("/")
    return client.post("/console/sign-in", data={"key": key, **more}, headers={"Origin": origin})


def test_who_has_no_key_is_asked_for_one(client: httpx.Client) -> None:
    answer = client.get("/console/?state=failed")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in?next=/console/%3Fstate%3Dfailed"
    assert 'type="password"' in client.get(answer.headers["location"]).text
    assert client.get("/console/static/console.css").status_code == 200
    assert client.get("/console/", headers={"Accept": "*/*"}).status_code == 401
    assert client.get("/console", follow_redirects=True).status_code == 200
    root = client.get("/")
    assert (root.status_code, root.headers["location"]) == (303, "/console/")
    assert client.get("/", headers={"Accept": "*/*"}).json()["service"] == "paretune"


def test_a_key_becomes_a_cookie_for_the_console_and_nothing_else(client: httpx.Client, keyed: Keys) -> None:
    key = keyed[1]["submit"]
    answer = sign_in(client, key, next="/console/?state=failed")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/?state=failed")
    said = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/console"):
        assert part in said
    assert "secure" not in said
    listed = client.get("/console/")
    assert listed.status_code == 200
    assert "Sign out" in listed.text
    assert key not in listed.text
    assert client.get(ANY).status_code == 401
    session = client.cookies["paretune_session"]
    assert key not in session
    jar = {"Cookie": f"paretune_session={session}"}
    assert client.get(ANY, headers=jar).status_code == 401
    assert client.get("/consoles", headers=jar).status_code == 401
    assert client.get(ANY, headers={"X-API-Key": session}).status_code == 401

    here = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/console/sign-out").status_code == 403
    assert client.post("/console/sign-out", headers=here).status_code == 303
    assert client.get("/console/").status_code == 303
    assert client.get("/console/", headers=jar).status_code == 303
    said = keyed[0].said()
    assert key not in said
    assert session not in said


def test_a_session_ends_with_its_key_and_with_the_next_one_of_its_browser(
    client: httpx.Client, keyed: Keys
) -> None:
    server, tokens = keyed
    place = ("--store", str(server.store))
    made = paretune("keys", "create", "--name", "lent", "--scope", "read", *place, cwd=server.folder)
    sign_in(client, tokens["read"])
    first = client.cookies["paretune_session"]
    sign_in(client, made.stdout.strip())
    second = client.cookies["paretune_session"]
    client.cookies.clear()

    def comes_in(cookie: str) -> bool:
        jar = {"Cookie": f"paretune_session={cookie}"}
        return client.get("/console/", headers=jar).status_code == 200

    assert comes_in(second)
    assert not any(map(comes_in, (first, tokens["read"], "x" * 10_000)))
    listed = json.loads(paretune("keys", "list", "--json", *place, cwd=server.folder).stdout)
    (lent,) = (key["id"] for key in listed if key["name"] == "lent")
    paretune("keys", "revoke", lent, *place, cwd=server.folder)
    until(lambda: not comes_in(second), "the session to end", patience=5)


def test_the_cookie_is_kept_to_https_where_the_page_came_so(client: httpx.Client, keyed: Keys) -> None:
    headers = {"Origin": str(client.base_url).rstrip("/").replace("http:", "https:")}
    answer = client.post("/console/sign-in", data={"key": keyed[1]["read"]}, headers=headers)
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("key", ["", "pt_wrong", "\x00", "x" * 10_000])
def test_a_wrong_key_is_told_and_not_repeated(client: httpx.Client, key: str) -> None:
    answer = sign_in(client, key)
    assert answer.status_code == 401
    assert "This key is wrong" in answer.text
    assert "set-cookie" not in answer.headers
    assert not key or key not in answer.text


@pytest.mark.parametrize(
    "there",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/console/\\elsewhere",
        "/other",
        "/console/\r\nX: y",
    ],
)
def test_signing_in_leads_to_pages_of_the_console_only(client: httpx.Client, keyed: Keys, there: str) -> None:
    answer = sign_in(client, keyed[1]["read"], next=there)
    assert answer.headers["location"] == "/console/"


def test_signing_in_is_for_pages_of_this_server(client: httpx.Client, keyed: Keys) -> None:
    form = {"key": keyed[1]["read"]}
    for headers in ({}, {"Origin": "http://127.0.0.1:9"}):
        assert client.post("/console/sign-in", data=form, headers=headers).status_code == 403


def test_a_key_that_may_read_does_nothing(client: httpx.Client, keyed: Keys) -> None:
    sign_in(client, keyed[1]["read"])
    headers = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post("/console/runs/pl_1/do/cancel", headers=headers)
    assert answer.status_code == 403
    assert "scope read" in answer.text
    sign_in(client, keyed[1]["submit"])
    assert client.post("/console/runs/pl_1/do/cancel", headers=headers).status_code == 404


def test_without_keys_nobody_is_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        answer = httpx.get(f"{server.url}/console/sign-in", headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
        assert "Sign out" not in httpx.get(f"{server.url}/console/", headers=PAGE).text
