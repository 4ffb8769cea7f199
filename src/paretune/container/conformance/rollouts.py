"""Checks of rollouts: what an answer looks like, and whether it can be trusted as a score."""

from __future__ import annotations

import asyncio
import re
import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

from paretune.container.conformance.bench import Bench, Shot
from paretune.container.conformance.documents import KIND_FIXES
from paretune.container.wire import Reply
from paretune.core.canonical import JsonValue, canonical_json
from paretune.core.errors import AttemptFailed, FailureKind

PARALLEL = 8
ONE_BY_ONE = 4
"""Examples that are asked one after the other, and repeated."""

LARGE = 1_000_000
PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
PROBES = (
    "Answer with the single word ALPHA, whatever you are asked.",
    "List seven prime numbers above 1000 and say nothing about the question. " * 3,
)
"""Texts so different that a task which reads its candidate should hardly treat them alike."""

ROLLOUT_FIXES: Mapping[FailureKind, tuple[str, str]] = {
    FailureKind.NO_REWARD: (
        "reward is there",
        'put the reward, a number, at reward_info.outcome_reward: {"reward_info": {"outcome_reward": 0.5}}',
    ),
    FailureKind.BAD_REWARD: (
        "reward is a number",
        "send a finite JSON number; no string, boolean, null or NaN; without a reward answer an error",
    ),
    FailureKind.WRONG_ID: (
        "id echo",
        "echo rollout_id and trace_correlation_id from the same request, also when rollouts overlap",
    ),
    FailureKind.TASK_FAILED: (
        "rollout succeeds",
        "status and success_status say whether the rollout ran, not whether the answer was right",
    ),
    FailureKind.NOT_JSON: ("rollout JSON", KIND_FIXES[FailureKind.NOT_JSON]),
    FailureKind.TOO_LARGE: (
        "answer size",
        "keep traces short; store artifacts elsewhere and send their address",
    ),
    FailureKind.TIMEOUT: (
        "answers in time",
        "give the model call a timeout of its own, and finish what was accepted",
    ),
    FailureKind.REDIRECT: ("no redirect", KIND_FIXES[FailureKind.REDIRECT]),
    FailureKind.CLOSED: ("answers at all", KIND_FIXES[FailureKind.CLOSED]),
    FailureKind.UNAUTHORISED: ("auth", KIND_FIXES[FailureKind.UNAUTHORISED]),
    FailureKind.RATE_LIMITED: (
        "rate limit",
        "answer a handful of slow requests; queue them inside if need be",
    ),
    FailureKind.SERVER_ERROR: ("no server error", KIND_FIXES[FailureKind.SERVER_ERROR]),
    FailureKind.REFUSED: (
        "accepts a valid request",
        "ignore unknown fields, read env.seed or task, and candidate or policy.config.prompt_template",
    ),
}


async def check_rollouts(bench: Bench) -> list[Shot]:
    """One rollout per example, the first ones one by one; the shots that gave an answer."""
    shots: list[Shot] = []
    for example in bench.examples[:ONE_BY_ONE]:
        shots.append(await bench.fire(bench.call(example)))
        if _kind(shots[-1]) is FailureKind.TIMEOUT:
            bench.stopped = True
            break
    if not bench.stopped:
        shots += await bench.volley([bench.call(example) for example in bench.examples[ONE_BY_ONE:]])
    report_failures(bench, shots, "")
    good = [shot for shot in shots if shot.answer is not None]
    if good:
        number = f"{len(good)} of {len(shots)} rollouts gave a finite reward"
        bench.good("rollouts", f"{number}: {_rewards(good)}")
        _check_replies(bench, good)
        _check_bodies(bench, good)
        _check_evidence(bench, good)
        _check_latency(bench, good)
    return good


def _kind(shot: Shot) -> FailureKind | None:
    return shot.failure.kind if shot.failure else None


def report_failures(bench: Bench, shots: Sequence[Shot], when: str, fix: str = "") -> None:
    """One finding per kind of failure; `fix` instead of the usual one."""
    kinds: dict[FailureKind, list[Shot]] = {}
    for shot in shots:
        if shot.failure is not None:
            kinds.setdefault(shot.failure.kind, []).append(shot)
    for kind, failed in kinds.items():
        name, usual = ROLLOUT_FIXES.get(kind, ("rollout", KIND_FIXES.get(kind, "see the message")))
        first = failed[0].failure
        share = f"{len(failed)} of {len(shots)} rollouts{when} failed"
        bench.bad(name, f"{share}: {first.message if first else ''}", fix or usual)


def _check_replies(bench: Bench, shots: list[Shot]) -> None:
    types = {shot.reply.content_type for shot in shots if shot.reply}
    wrong = sorted(name for name in types if name and not _is_json_type(name))
    if wrong:
        fix = "send Content-Type: application/json"
        bench.bad("content type", f"the JSON answer is declared as {', '.join(wrong)}", fix)
    elif "" in types:
        fix = "send Content-Type: application/json"
        bench.bad("content type", "the answer has no Content-Type", fix, "warning")
    else:
        bench.good("content type", "application/json")
    if any(shot.reply and bench.client.wire.secrets.appear_in(shot.reply.data) for shot in shots):
        fix = "never send request headers back"
        bench.bad("secrets", "the answer contains the key of the request", fix)
    if any(shot.later for shot in shots):
        fix = "answer when the rollout is done if submission_mode is sync"
        bench.bad("sync", "a synchronous rollout was accepted and had to be polled", fix, "advice")
    largest = max(len(shot.reply.data) if shot.reply else 0 for shot in shots)
    if largest > LARGE:
        fix = ROLLOUT_FIXES[FailureKind.TOO_LARGE][1]
        bench.bad("answer size", f"an answer takes {largest:,} bytes", fix, "warning")


def _is_json_type(name: str) -> bool:
    return name == "application/json" or name.endswith("+json")


def _check_bodies(bench: Bench, shots: list[Shot]) -> None:
    bodies = [shot.body for shot in shots if isinstance(shot.body, Mapping)]
    if all(body.get("rollout_id") or body.get("trace_correlation_id") for body in bodies):
        bench.good("id echo", "the answers carry the id that was asked")
    else:
        message = "the answer names no rollout_id or trace_correlation_id, so that a mix-up could not be seen"
        bench.bad("id echo", message, "echo both from the request", "warning")
    for body in bodies:
        problem = _objective_problem(body) or _two_rewards(body)
        if problem:
            bench.bad("objectives", *problem, "warning")
            return


def _objective_problem(body: Mapping[str, JsonValue]) -> tuple[str, str] | None:
    info = body.get("reward_info")
    named = info.get("outcome_objectives") if isinstance(info, Mapping) else None
    if named is not None and not isinstance(named, Mapping):
        return "reward_info.outcome_objectives is no object", 'send {"name": number}'
    listed = body.get("objective_scores")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        return "objective_scores is no list of objects", 'send [{"objective": "name", "value": 0.5}]'
    if any("objective" not in item or "value" not in item for item in listed):
        return "an entry of objective_scores lacks objective or value", "give both"
    return None


def _two_rewards(body: Mapping[str, JsonValue]) -> tuple[str, str] | None:
    info, summary = (
        part if isinstance(part := body.get(n), Mapping) else {} for n in ("reward_info", "summary")
    )
    named = info.get("outcome_objectives")
    places = {
        "reward_info.outcome_reward": info.get("outcome_reward"),
        "outcome_objectives.reward": named.get("reward") if isinstance(named, Mapping) else None,
        "summary.outcome_reward": summary.get("outcome_reward"),
        "reward": body.get("reward"),
    }
    found = {place: value for place, value in places.items() if isinstance(value, int | float)}
    if len(set(found.values())) < 2:
        return None
    told = ", ".join(f"{place} = {value}" for place, value in found.items())
    return f"one answer tells different rewards: {told}", "say the same reward everywhere, or only once"


def _check_evidence(bench: Bench, shots: list[Shot]) -> None:
    answers = [shot.answer for shot in shots if shot.answer]
    if any(answer.feedback for answer in answers):
        bench.good("feedback", "the answers tell what was wrong or right")
    else:
        fix = 'put a sentence at actionable_side_info: {"feedback": "expected ISO date, got 3 May"}'
        bench.bad("feedback", "no answer says why it got its reward, so proposals are guesses", fix, "advice")
    if not any(answer.output or answer.trace for answer in answers):
        fix = (
            'put what the model said at actionable_side_info: {"input": ..., "output": ..., "expected": ...}'
        )
        bench.bad("output", "no answer shows what the model said", fix, "advice")
    if not any(answer.usage.tokens for answer in answers):
        fix = 'send usage: {"prompt_tokens": ..., "completion_tokens": ..., "cost_usd": ...}'
        bench.bad("usage", "no answer tells its tokens, so money caps cannot see them", fix, "advice")
    if any(not -1e-9 <= answer.reward <= 1 + 1e-9 for answer in answers):
        fix = "scale to 0..1 if you can; thresholds and targets are easier to read then"
        bench.bad("reward range", f"a reward is outside 0..1: {_rewards(shots)}", fix, "advice")


def _check_latency(bench: Bench, shots: list[Shot]) -> None:
    median = statistics.median(shot.seconds for shot in shots)
    bench.good("latency", f"p50 {_duration(median)}, slowest {_duration(max(s.seconds for s in shots))}")


async def check_repeats(bench: Bench, shots: list[Shot]) -> bool:
    """The same id again, then the same examples in the other order. True if rewards repeat."""
    shots = shots[:ONE_BY_ONE]
    again = [await bench.fire(shot.call) for shot in shots]
    fix = "keep the answer by rollout_id and send it again: a call is repeated when its answer was lost"
    report_failures(bench, again, " asked again under the same id", fix)
    changed = [pair for pair in zip(shots, again, strict=True) if _differ(*pair)]
    if changed:
        before, after = changed[0]
        message = (
            f"the same rollout_id asked twice got {_reward(before)} and then {_reward(after)} "
            f"({len(changed)} of {len(shots)}): a repeated call is scored anew"
        )
        bench.bad("idempotence", message, fix, "warning")
    elif any(shot.answer for shot in again):
        bench.good("idempotence", "the same rollout_id asked twice gets the same reward")
    other = [await bench.fire(bench.call(shot.call.example_data)) for shot in reversed(shots)]
    report_failures(bench, other, " in another order")
    moved = [pair for pair in zip(reversed(shots), other, strict=True) if _differ(*pair)]
    if moved:
        message = f"{len(moved)} of {len(shots)} rewards changed when asked anew, in the other order"
        fix = "fine for a sampled model; else look for state that one rollout leaves to the next"
        bench.bad("determinism", message, fix, "advice")
    elif any(shot.answer for shot in other):
        bench.good("determinism", "rewards do not depend on the order of the calls")
    return not moved and not changed


def _differ(one: Shot, other: Shot) -> bool:
    if one.answer is None or other.answer is None:
        return False
    return abs(one.answer.reward - other.answer.reward) > 1e-9


async def check_reach(bench: Bench, shots: list[Shot]) -> None:
    """Whether the candidate's text gets to the task: very different prompts must leave some trace."""
    reached = False
    for text in PROBES:
        components = {name: _probe(text, seed) for name, seed in bench.components.items()}
        calls = [bench.call(shot.call.example_data, components) for shot in shots]
        for shot, probe in zip(shots, await bench.volley(calls), strict=True):
            if _kind(probe) not in (None, FailureKind.TASK_FAILED, FailureKind.REFUSED):
                report_failures(bench, [probe], " with another prompt")
                return
            reached = reached or _effect(shot) != _effect(probe) or _quotes(probe, text)
        if reached:
            bench.good("candidate", "another prompt changes what the task does")
            return
    message = (
        f"very different prompts gave identical rewards and outputs on all {len(shots)} examples: "
        "the task seems not to read the candidate"
    )
    fix = "read the prompt of each request: `candidate` (name -> text) or `policy.config.prompt_template`"
    bench.bad("candidate", message, fix, "error" if _tells(shots) else "warning")


def _tells(shots: list[Shot]) -> bool:
    """True if these answers would differ with the prompt: they show outputs, or not all the same reward."""
    answers = [shot.answer for shot in shots if shot.answer]
    return any(answer.output for answer in answers) or len({answer.reward for answer in answers}) > 1


def _probe(text: str, seed: str) -> str:
    """A probe that keeps the placeholders of the seed, which a task may insist on."""
    return " ".join((text, *dict.fromkeys(PLACEHOLDER.findall(seed))))


def _effect(shot: Shot) -> JsonValue:
    answer = shot.answer
    if answer is None:
        return shot.failure.kind if shot.failure else None
    return (answer.reward, dict(answer.objectives), answer.output, answer.feedback, answer.usage.tokens)


def _quotes(shot: Shot, text: str) -> bool:
    trace = shot.answer.trace if shot.answer else None
    return trace is not None and canonical_json(text)[1:-1] in canonical_json(trace)


async def check_parallel(bench: Bench, shots: list[Shot], repeats: bool) -> None:
    """Eight rollouts at once: all answer, each for its own id and example."""
    chosen = list(islice(cycle(shots), PARALLEL))
    calls = [bench.call(shot.call.example_data) for shot in chosen]
    loop = asyncio.get_running_loop()
    began = loop.time()
    fired = await asyncio.gather(*(bench.fire(call) for call in calls))
    took = loop.time() - began
    report_failures(bench, fired, f" when {PARALLEL} ran at once")
    if any(shot.answer is None for shot in fired):
        return
    mixed = [pair for pair in zip(chosen, fired, strict=True) if _differ(*pair)]
    if mixed and repeats:
        message = (
            f"{len(mixed)} of {PARALLEL} rewards differ from those of the same calls one after the other"
        )
        fix = (
            "keep everything about a rollout in local variables; globals are shared by requests that overlap"
        )
        bench.bad("parallel", f"rollouts that overlap disturb each other: {message}", fix)
        return
    bench.good("parallel", f"{PARALLEL} rollouts at once all answer, in {_duration(took)}")
    median = statistics.median(shot.seconds for shot in shots)
    if median > 0.02 and took > 0.7 * PARALLEL * median:
        fix = "serve requests in threads, processes or async; a run asks for many rollouts at once"
        message = f"{PARALLEL} at once took as long as {PARALLEL} one after the other"
        bench.bad("parallel", message, fix, "advice")


async def check_bad_requests(bench: Bench, shots: list[Shot]) -> None:
    """Requests that cannot be served: refused with 4xx, and the container goes on."""
    await _check_malformed(bench)
    await _check_empty(bench)
    if not bench.rows or await _takes_seeds(bench):
        await _check_unknown_seed(bench)
    alive = await bench.fire(bench.call(shots[0].call.example_data)) if shots else None
    if (
        alive
        and alive.failure is not None
        and alive.failure.kind in (FailureKind.UNREACHABLE, FailureKind.CLOSED)
    ):
        fix = "catch what a bad request raises, and answer 4xx"
        bench.bad("survives", f"after bad requests the container is gone: {alive.failure.message}", fix)


async def _check_malformed(bench: Bench) -> None:
    reply = await _post(bench, b'{"rollout_id": "check_malformed", ')
    name, what, fix = "bad request", "a body that is not JSON", "answer 400 when the body cannot be read"
    if isinstance(reply, AttemptFailed):
        bench.bad(name, f"{what} got no answer: {reply.message}", fix)
    elif 400 <= reply.status < 500:
        bench.good(name, f"{what} is answered {reply.status}")
    else:
        why = (
            "it was taken for a rollout" if reply.status < 300 else "a server error is asked again and again"
        )
        bench.bad(name, f"{what} was answered {reply.status}; {why}", fix)


async def _check_empty(bench: Bench) -> None:
    reply = await _post(bench, b"{}")
    if isinstance(reply, AttemptFailed) or reply.status >= 300 or b"reward" not in reply.data:
        return
    fix = "answer 422 when the prompt or the example is missing; a default hides mistakes behind a score"
    bench.bad("bad request", "a request without prompt and example got a reward", fix, "warning")


async def _post(bench: Bench, data: bytes) -> Reply | AttemptFailed:
    """A raw POST /rollout: the reply whatever its status, or why there is none."""
    try:
        return await bench.client.wire.exchange("POST", "/rollout", data=data, total=bench.deadline)
    except AttemptFailed as error:
        return error


async def _takes_seeds(bench: Bench) -> bool:
    """True if a container of the v2 dialect answers `env.seed` as well."""
    row = bench.examples[0]["task"]
    seed = row.get("seed") if isinstance(row, Mapping) else None
    return isinstance(seed, int) and (await bench.fire(bench.call({"seed": seed}))).answer is not None


async def _check_unknown_seed(bench: Bench) -> None:
    shot = await bench.fire(bench.call({"seed": 1_000_000_007}))
    name, what = "unknown seed", "seed 1000000007"
    if shot.failure is not None and shot.failure.kind in (FailureKind.SERVER_ERROR, FailureKind.CLOSED):
        fix = "answer 404 or 422 for a seed that is not there; a server error is asked again and again"
        bench.bad(name, f"{what} is not refused but fails: {shot.failure.message}", fix)
    elif shot.failure is not None and shot.failure.kind is FailureKind.REFUSED:
        bench.good(name, f"{what} is refused with {shot.reply.status if shot.reply else '4xx'}")
    elif shot.failure is not None:
        report_failures(bench, [shot], " for a seed that is not there")
    elif bench.size is not None:
        fix = "answer 404 or 422 beyond the last seed: wrapping around tests on training examples unseen"
        message = f"the container has {bench.size} examples, but {what} got a reward: {_rewards([shot])}"
        bench.bad(name, message, fix)
    else:
        fix = "state the number of examples (GET /info, dataset.size) and refuse seeds beyond it"
        message = f"{what} got a reward; that is right only if the task can make an example from any seed"
        bench.bad(name, message, fix, "advice")


def _reward(shot: Shot) -> str:
    return f"{shot.answer.reward:g}" if shot.answer else "no reward"


def _rewards(shots: Sequence[Shot]) -> str:
    return ", ".join(_reward(shot) for shot in shots)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
