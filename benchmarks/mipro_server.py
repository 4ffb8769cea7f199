# ruff: noqa: E501
"""`python -m benchmarks.mipro_server SECONDS`: the scripted models of `mipro_world` as an OpenAI-compatible server.

An answer of the model `task` takes so many seconds, one of `writer` none. `PUT /world/SEED` begins with a world and
counts anew, `GET /seen` tells how many tickets were answered and instructions written.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from benchmarks.mipro_world import World


def application(pause: float) -> web.Application:
    worlds = [World(0)]

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        is_task = body["model"] == "task"
        text = (worlds[-1].answer if is_task else worlds[-1].write)(body["messages"])
        if is_task and pause:
            await asyncio.sleep(pause)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response({**answer, "choices": [choice], "usage": usage})

    async def begin(request: web.Request) -> web.Response:
        worlds[:] = [World(int(request.match_info["seed"]))]
        return web.json_response({})

    async def seen(request: web.Request) -> web.Response:
        return web.json_response({"calls": worlds[-1].calls, "written": worlds[-1].written})

    app = web.Application()
    app.add_routes(
        [
            web.post("/v1/chat/completions", complete),
            web.put("/world/{seed}", begin),
            web.get("/seen", seen),
        ]
    )
    return app


async def main(pause: float) -> None:
    runner = web.AppRunner(application(pause), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
