"""What the process of one job does.

It is told on a socket what to do: one JSON line of orders, then lines that change its share of the rollouts.
It says there how things stand, one JSON line each: `{"at": "work"}` once the task container was asked and the
run exists, `{"at": "meter", ...}` about once a second, and at the end
`{"at": "rest", "status": ..., "detail": ...}`. When nothing more can come, as when the server dies, the run
comes to rest; another process goes on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from paretune.config import PromptLearningConfig
from paretune.core.errors import Cancelled, ParetuneError, Paused, RunFailed
from paretune.engine.caps import NO_CAPS, capped, keep
from paretune.engine.launch import Launch, launched, new_run, refuse_other_job
from paretune.engine.lock import Busy
from paretune.engine.run import Live, Runner, Watch
from paretune.engine.workspace import Workspace
from paretune.store import Run, UnknownRun
from paretune.views.evidence import write_packet
from paretune.views.run_view import read

METER_SECONDS = 1.0
LONGEST = 2**26
"""Bytes of a line between a server and a worker."""
STDOUT, STDERR = 1, 2
NICE = 10
"""Jobs compute behind the server, which answers somebody."""


@dataclass(frozen=True, slots=True)
class Orders:
    """`document` names keys only; `variables` are all of the environment that it is told of. `share`: so many
    rollouts may be out."""

    store: str
    run_id: str
    job_id: str
    document: Mapping[str, Any]
    variables: Mapping[str, str]
    share: int
    fresh: bool = False

    @classmethod
    def read(cls, line: str) -> Self:
        return cls(**json.loads(line))

    def line(self) -> str:
        return json.dumps(asdict(self))


class Control:
    """What is between a server and a run that may not be there yet: its share, and what it has taken."""

    def __init__(self, share: int, server: asyncio.StreamWriter) -> None:
        self._share, self._server = share, server
        self._live: Live | None = None

    def attach(self, live: Live) -> None:
        self._live = live
        live.evaluator.allow(self._share)

    def change(self, share: int) -> None:
        self._share = share
        if self._live is not None:
            self._live.evaluator.allow(share)

    def say(self, **words: str | float | None) -> None:
        self._server.write((json.dumps(words) + "\n").encode())

    async def measure(self) -> None:
        """Say now and then what the run has taken, until cancelled."""
        while True:
            if (live := self._live) is not None and not live.record.replaying:
                left = live.outlook().seconds_left
                self.say(
                    at="meter",
                    rollouts=len(live.ledger.drawn),
                    tokens=live.ledger.tokens,
                    cost_usd=live.ledger.cost_usd,
                    eta_seconds=round(left.likely, 1) if left else None,
                )
            await asyncio.sleep(METER_SECONDS)


async def work(orders: Orders, lines: asyncio.StreamReader, control: Control) -> tuple[str, str]:
    """Carry the run as far as it goes. Its status at the end, and why; `failed` also where it could not
    begin."""
    rest = asyncio.Event()
    listening = asyncio.create_task(_listen(lines, rest, control))
    try:
        with Workspace.open(orders.store, new=True) as workspace:
            return await _carry(orders, workspace, rest, control)
    except ParetuneError as error:
        return "failed", str(error)
    finally:
        listening.cancel()


async def _carry(
    orders: Orders, workspace: Workspace, rest: asyncio.Event, control: Control
) -> tuple[str, str]:
    config = PromptLearningConfig.from_mapping(orders.document)
    async with launched(config, orders.variables, fresh=orders.run_id if orders.fresh else "") as launch:
        launch = _recorded(orders, workspace, launch)
        control.say(at="work")
        while True:
            try:
                with workspace.exclusive(orders.run_id):
                    return await _run(orders, workspace, launch, rest, control)
            except Busy:
                await _wait_for_other(rest)


def _recorded(orders: Orders, workspace: Workspace, launch: Launch) -> Launch:
    """The run is in the store; if it was before, its caps hold. Raises Misconfigured if it is another's."""
    run = _known(workspace, orders.run_id)
    if run is None:
        source = {"kind": "server", "job": orders.job_id, "fresh": orders.fresh}
        workspace.store.create_run(new_run(orders.run_id, launch.ready.job, launch.proposer, source=source))
        return launch
    refuse_other_job(run, launch.ready.job, launch.proposer)
    job = capped(launch.ready.job, run, workspace.store, NO_CAPS)
    keep(workspace.store, run.id, job)
    return replace(launch, ready=replace(launch.ready, job=job))


def _known(workspace: Workspace, run_id: str) -> Run | None:
    try:
        return workspace.store.run(run_id)
    except UnknownRun:
        return None


async def _wait_for_other(rest: asyncio.Event) -> None:
    """An earlier process of this job may still be bringing its calls home."""
    try:
        await asyncio.wait_for(rest.wait(), 0.5)
    except TimeoutError:
        return
    raise Paused("interrupted")


async def _run(
    orders: Orders, workspace: Workspace, launch: Launch, rest: asyncio.Event, control: Control
) -> tuple[str, str]:
    ready = launch.ready
    watch = Watch(live=control.attach)
    store, proposer = workspace.store, launch.proposer
    runner = Runner(store, orders.run_id, ready.job, ready.executor, proposer, watch, stop=rest)
    measuring = asyncio.create_task(control.measure())
    try:
        await runner.run()
    except (Paused, Cancelled, RunFailed):
        pass  # on record as the run's status
    finally:
        measuring.cancel()
        write_packet(read(workspace.store, orders.run_id), workspace.run_folder(orders.run_id))
    run = workspace.store.run(orders.run_id)
    return run.status, run.status_detail


async def _listen(lines: asyncio.StreamReader, rest: asyncio.Event, control: Control) -> None:
    while line := await lines.readline():
        order = json.loads(line)
        if "share" in order:
            control.change(order["share"])
    rest.set()


async def _begin(server: socket.socket) -> None:
    lines, writer = await asyncio.open_connection(sock=server, limit=LONGEST)
    orders = Orders.read((await lines.readline()).decode())
    control = Control(orders.share, writer)
    status, detail = await work(orders, lines, control)
    control.say(at="rest", status=status, detail=detail)
    with contextlib.suppress(ConnectionError):  # the server is gone, and will see for itself
        await writer.drain()
    writer.close()


def begin(server: socket.socket, output: socket.socket) -> None:
    """A process that was just forked becomes one of a job; what it prints goes to `output`."""
    os.setpgrp()  # not a session of its own: where a kernel shares out by sessions, nice would mean nothing
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server is interrupted, and tells its workers
    os.nice(NICE)
    for stream in (STDOUT, STDERR):
        os.dup2(output.fileno(), stream)
    asyncio.run(_begin(server))
