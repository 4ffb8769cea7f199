"""`python -m benchmarks.speed_container SECONDS`: a task container with nothing in it.

A rollout takes so many seconds. Its reward follows from its seed and is never perfect; a text that says
"better" gets half a point more. `GET /seen` tells how many rollouts there were, the time from the first
request to the last answer and this process's CPU seconds; `DELETE /seen` forgets them.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp import web


def application(pause: float) -> web.Application:
    seen: list[float] = []
    cpu = time.process_time()

    async def rollout(request: web.Request) -> web.Response:
        began = time.perf_counter()
        body = await request.json()
        if pause:
            await asyncio.sleep(pause)
        reward = body["env"]["seed"] % 4 / 8 + ("better" in body["candidate"]["text"]) / 2
        seen.extend((began, time.perf_counter()))
        return web.json_response(
            {"rollout_id": body["rollout_id"], "reward_info": {"outcome_reward": reward}}
        )

    async def told(request: web.Request) -> web.Response:
        nonlocal cpu
        span = max(seen) - min(seen) if seen else 0.0
        answer = {"rollouts": len(seen) // 2, "seconds": span, "cpu": time.process_time() - cpu}
        if request.method == "DELETE":
            seen.clear()
            cpu = time.process_time()
        return web.json_response(answer)

    app = web.Application()
    app.add_routes([web.post("/rollout", rollout), web.get("/seen", told), web.delete("/seen", told)])
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
