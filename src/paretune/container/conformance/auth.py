"""Checks that a container's key really locks the door."""

from __future__ import annotations

from urllib.parse import urlsplit

from paretune.container.client import ContainerClient
from paretune.container.conformance.bench import Bench
from paretune.container.messages import build_request
from paretune.container.wire import is_loopback
from paretune.core.errors import AttemptFailed

OPEN = "the rollout route does not check the key"


async def check_auth(bench: Bench) -> None:
    """With a key: no key, a wrong one and a cut one are refused on POST /rollout, and on /info.

    Without a key: others must not be able to reach the container.
    """
    if not bench.api_key:
        host = urlsplit(bench.client.url).hostname or ""
        if not is_loopback(host):
            fix = "start it with a key (ENVIRONMENT_API_KEY) and give that key here"
            bench.bad("auth", f"anyone who reaches {host} can use this container", fix, "advice")
        return
    wrong = {"no key": None, "a wrong key": "wrong-" + bench.api_key[::-1], "a cut key": bench.api_key[:-1]}
    for what, key in wrong.items():
        if key == "" or not await _refused(bench, what, key):
            return
    bench.good("auth", "POST /rollout is refused without the right key")


async def _refused(bench: Bench, what: str, key: str | None) -> bool:
    """True if POST /rollout and GET /info refuse this key; reports what is wrong otherwise."""
    body = build_request(bench.call(bench.examples[0]))
    fix = "compare X-API-Key (or the Bearer token) with the configured key on every route, and answer 401"
    try:
        async with ContainerClient(bench.client.url, key, timeouts=bench.client.wire.timeouts) as stranger:
            posted = await stranger.wire.exchange("POST", "/rollout", body, total=bench.deadline)
            read = await stranger.wire.exchange("GET", "/info", total=bench.deadline)
    except AttemptFailed as error:
        bench.bad("auth", f"{what} on POST /rollout: {error.message}", fix)
        return False
    if posted.status < 300:
        bench.bad("auth", f"{what} was accepted: {OPEN}", fix)
        return False
    if posted.status not in (400, 401, 403):
        message = f"{what} was answered {posted.status}, which does not say that the key is wrong"
        bench.bad("auth", message, fix, "error" if posted.status >= 500 else "warning")
        return False
    if read.status < 300:
        bench.bad("auth", f"{what} can read GET /info", fix, "warning")
        return False
    return True
