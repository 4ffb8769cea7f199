"""The conformance kit: is this container safe to optimize against, and if not, what is to be mended?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretune.container.client import ContainerClient
from paretune.container.conformance.auth import check_auth
from paretune.container.conformance.bench import Bench
from paretune.container.conformance.documents import (
    check_health,
    check_info,
    check_program,
    check_task_info,
    check_taskset,
)
from paretune.container.conformance.findings import Finding, Report
from paretune.container.conformance.rollouts import (
    check_bad_requests,
    check_parallel,
    check_reach,
    check_repeats,
    check_rollouts,
)
from paretune.container.wire import Timeouts

FIRST, SPREAD = 8, 6

__all__ = ["Finding", "Report", "check"]


async def check(
    url: str,
    api_key: str | None = None,
    *,
    seeds: Sequence[int] = (),
    task_ids: Sequence[str] = (),
    components: Mapping[str, str] | None = None,
    deadline: float = 60.0,
) -> Report:
    """Ask a container everything a run would ask it, about 60 rollouts, and report what is wrong.

    `seeds` or `task_ids` name examples to use where the container does not say which there are (by default
    seeds from 0 on); `components` is the candidate to use without a GET /program. `deadline` is in
    seconds, for each call. Nothing is raised for what the container does; Misconfigured for a URL that
    is none.
    """
    timeouts = Timeouts(read=deadline, total=deadline)
    async with ContainerClient(url, api_key, timeouts=timeouts) as client:
        bench = Bench(client, api_key, deadline)
        if components:
            bench.components = dict(components)
        await check_health(bench)
        if not bench.stopped:
            await _check_documents(bench, list(seeds), task_ids)
            await _check_rollouts(bench)
        return Report(client.url, tuple(bench.findings))


async def _check_documents(bench: Bench, seeds: list[int], task_ids: Sequence[str]) -> None:
    await check_info(bench)
    await check_program(bench)
    await check_taskset(bench, task_ids)
    await check_task_info(bench, seeds[0] if seeds else 0)
    if not bench.examples:
        bench.examples = [{"seed": seed} for seed in seeds or sample_seeds(bench.size)]


def sample_seeds(size: int | None) -> list[int]:
    """The first seeds and some spread over the rest: a fault in every sixth example should show."""
    if size is None:
        return list(range(FIRST + SPREAD))
    rest = range(FIRST, size)
    step = max(1, len(rest) // SPREAD)
    return [*range(min(size, FIRST)), *rest[step - 1 :: step][:SPREAD]]


async def _check_rollouts(bench: Bench) -> None:
    await check_auth(bench)
    shots = await check_rollouts(bench)
    if shots:
        repeats = await check_repeats(bench, shots)
        await check_reach(bench, shots)
        await check_parallel(bench, shots, repeats)
    if not bench.stopped:
        await check_bad_requests(bench, shots)
