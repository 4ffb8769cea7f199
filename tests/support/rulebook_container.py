"""`python -m support.rulebook_container CASE SEED`: the world of `mortal.case(CASE, SEED)` behind HTTP.

A process of its own: it prints its address, then serves until it is killed. It counts how often each
rollout id was asked, and outlives the clients that die in the middle of a call. `GET /asks` gives the counts.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict

from aiohttp import web

from support import mortal
from support.rulebook import Rulebook

PACE = 0.004
"""Seconds that a rollout takes."""


def application(book: Rulebook) -> web.Application:
    asks: Counter[str] = Counter()

    async def rollout(request: web.Request) -> web.Response:
        body = await request.json()
        asks[body["rollout_id"]] += 1
        await asyncio.sleep(PACE)
        answer = book.answer(body["candidate"], body["task"])
        shown = {
            "feedback": answer.feedback,
            "input": answer.input,
            "output": answer.output,
            "expected": answer.expected,
        }
        return web.json_response(
            {
                "rollout_id": body["rollout_id"],
                "reward_info": {
                    "outcome_reward": answer.reward,
                    "outcome_objectives": dict(answer.objectives),
                },
                "actionable_side_info": shown,
                "trace": answer.trace,
                "usage": asdict(answer.usage),
            }
        )

    async def counts(request: web.Request) -> web.Response:
        return web.json_response(asks)

    app = web.Application()
    app.add_routes([web.post("/rollout", rollout), web.get("/asks", counts)])
    return app


async def main(name: str, seed: int) -> None:
    runner = web.AppRunner(application(mortal.case(name, seed).book), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
