"""A container written from one function, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import aiohttp
import pytest

from paretune.container import Container, ContainerClient, Prompt, Result
from paretune.container.client import Timeouts
from paretune.container.messages import Message, RolloutCall
from paretune.core.demonstrations import Demonstration, dump
from paretune.core.errors import AttemptFailed, FailureKind, Misconfigured
from paretune.core.rollout import Usage

CAPITALS = {"France": "Paris", "Italy": "Rome", "Peru": "Lima"}
COUNTRIES = list(CAPITALS)


@pytest.fixture(autouse=True)
def _no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVIRONMENT_API_KEY", raising=False)
    monkeypatch.delenv("ENVIRONMENT_API_KEY_ALIASES", raising=False)


def capitals(**settings: Any) -> Container:
    task = Container("capitals", **{"seeds": range(3), **settings})

    @task.rollout
    def rollout(prompt: Prompt, seed: int) -> Result:
        country = COUNTRIES[seed]
        asked = prompt.messages(country=country)[-1]["content"]
        said = CAPITALS[country] if "capital" in asked else country
        right = said == CAPITALS[country]
        feedback = "right" if right else f"expected {CAPITALS[country]}"
        return Result(float(right), asked, said, CAPITALS[country], feedback, usage=Usage(9, 1))

    return task


def call(rollout_id: str = "ro_1", text: str = "The capital of {country}?", **data: Any) -> RolloutCall:
    return RolloutCall(rollout_id, "run", "c_1", {"prompt": text}, data or {"seed": 1})


async def send(url: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.request(method, url + path, **options) as reply:
        text = await reply.text()
        return reply.status, json.loads(text) if text else None


async def test_a_rollout_comes_back_whole() -> None:
    with capitals().running() as url:
        async with ContainerClient(url) as client:
            answer = await client.rollout(call())
    assert (answer.reward, answer.output, answer.expected, answer.feedback) == (1.0, "Rome", "Rome", "right")
    assert answer.input == "The capital of Italy?"
    assert answer.usage == Usage(9, 1)


async def test_rows_come_and_go_by_the_v2_contract_and_by_seed() -> None:
    rows = [{"id": "a", "q": "1"}, {"id": "b", "q": "2", "split": "test"}]
    task = Container("rows", examples=rows, program={"system": "S", "user": "{q}"})

    @task.rollout
    async def rollout(prompt: Prompt, row: dict[str, Any]) -> float:
        assert [m["role"] for m in prompt.messages(q=row["q"])] == ["system", "user"]
        return float(row["q"])

    with task.running() as url:
        async with ContainerClient(url) as client:
            assert (await client.taskset() or {})["splits"] == {"train": 1, "test": 1}
            found = await client.tasks("test", ["b"])
            program = await client.program() or {}
            by_row = RolloutCall(
                "ro_r", "run", "c", program["seed_candidate"], {"task": found[0], "task_id": "b"}
            )
            by_seed = RolloutCall("ro_s", "run", "c", program["seed_candidate"], {"seed": 1})
            assert (await client.rollout(by_row)).reward == (await client.rollout(by_seed)).reward == 2.0
            info = await client.info()
            with pytest.raises(AttemptFailed, match="c"):
                await client.tasks("test", ["c"])
    assert (info.task_id, info.contract) == ("rows", "synth_optimizers.gepa.v2")


async def test_the_same_id_is_run_once_whoever_asks() -> None:
    ran: list[int] = []
    go = threading.Event()
    task = Container("counted")

    @task.rollout
    def rollout(prompt: Prompt, seed: int) -> float:
        ran.append(seed)
        go.wait(5)
        return len(ran) / 10

    with task.running() as url:
        async with ContainerClient(url) as one, ContainerClient(url) as other:
            flights = [asyncio.create_task(client.rollout(call())) for client in (one, other)]
            await asyncio.sleep(0.05)
            go.set()
            rewards = [(await flight).reward for flight in flights]
            rewards.append((await one.rollout(call())).reward)
            with pytest.raises(AttemptFailed, match="409"):
                await one.rollout(call(text="another prompt"))
    assert rewards == [0.1, 0.1, 0.1]
    assert ran == [1]


async def test_a_rollout_can_be_submitted_and_polled() -> None:
    task = capitals()
    body = {
        "rollout_id": "ro_a",
        "submission_mode": "async",
        "env": {"seed": 0},
        "candidate": {"prompt": "?"},
    }
    with task.running() as url:
        status, first = await send(url, "POST", "/rollouts", json=body)
        assert (status, first["status"]) == (200, "running")
        async with ContainerClient(url, timeouts=Timeouts(poll=0.01)) as client:
            record = await client.finish(first, "ro_a")
        assert record["reward_info"]["outcome_reward"] == 0.0
        assert (await send(url, "GET", "/rollouts/none/state"))[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"[]", 400, "not_an_object"),
        (b"{}", 422, "missing_candidate"),
        (b'{"candidate": {"p": "x"}}', 422, "missing_example"),
        (b'{"candidate": {"p": "x"}, "env": {"seed": 99}}', 422, "unknown_seed"),
        (b'{"candidate": {"p": "x"}, "env": {"seed": "1"}}', 422, "bad_seed"),
        (b'{"candidate": {"p": "x"}, "task": {"task_id": "z"}}', 422, "unknown_task"),
        (b'{"candidate": {"p": "x"}, "env": {"seed": 1}, "rollout_id": "a/b"}', 422, "bad_rollout_id"),
    ],
)
async def test_a_request_that_cannot_be_served_is_refused_by_name(
    body: bytes, status: int, code: str
) -> None:
    with capitals().running() as url:
        got, said = await send(url, "POST", "/rollout", data=body)
    assert (got, said["error"]["code"]) == (status, code)


@pytest.mark.parametrize("value", [float("nan"), "1.0", True, None, [1]])
async def test_what_is_no_reward_is_an_error_and_no_score(value: object) -> None:
    task = Container("broken")
    task.rollout(lambda prompt, seed: value)
    with task.running() as url:
        async with ContainerClient(url) as client:
            with pytest.raises(AttemptFailed, match="reward must be") as caught:
                await client.rollout(call())
    assert caught.value.kind is FailureKind.SERVER_ERROR


async def test_an_exception_is_told_without_secrets_and_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-of-the-task-itself")
    tries: list[int] = []
    task = Container("flaky")

    @task.rollout
    def rollout(prompt: Prompt, seed: int) -> float:
        tries.append(seed)
        if len(tries) == 1:
            raise RuntimeError("401 for sk-of-the-task-itself")
        return 1.0

    with task.running() as url:
        async with ContainerClient(url) as client:
            with pytest.raises(AttemptFailed) as caught:
                await client.rollout(call())
            assert (await client.rollout(call())).reward == 1.0
    assert "RuntimeError: 401 for [hidden]" in caught.value.message
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"Authorization": "Bearer key-1x"}, 401),
        ({"X-API-Key": "key-1"}, 200),
        ({"Authorization": "Bearer alias-2"}, 200),
        ({"X-API-Keys": "old, alias-2"}, 200),
    ],
)
async def test_only_a_right_key_opens(
    headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT_API_KEY", "key-1")
    monkeypatch.setenv("ENVIRONMENT_API_KEY_ALIASES", "alias-1, alias-2")
    with capitals().running() as url:
        assert (await send(url, "GET", "/info", headers=headers))[0] == status
        assert (await send(url, "GET", "/health", headers=headers))[0] == (200 if not headers else status)


async def test_a_web_page_is_not_let_in_without_a_key() -> None:
    with capitals().running() as url:
        status, said = await send(
            url, "POST", "/rollout", data=b"{}", headers={"Origin": "http://pages.test"}
        )
    assert (status, said["error"]["code"]) == (403, "origin_refused")


def test_other_machines_are_not_let_in_without_a_key() -> None:
    with pytest.raises(Misconfigured, match="ENVIRONMENT_API_KEY"):
        capitals().serve(host="0.0.0.0", port=1)
    with capitals(api_key="key").running(host="0.0.0.0"):
        pass


def test_the_version_changes_with_the_source_of_the_function() -> None:
    one, other = capitals(), capitals()
    assert one.version == other.version
    other.rollout(lambda prompt, seed: 0.5)
    assert one.version != other.version
    assert capitals(seeds=range(4)).version != one.version


def test_placeholders_are_filled_literally() -> None:
    prompt = Prompt({"prompt": 'Say {"json": 1} about {x}, {y}.'})
    assert prompt.messages(x="{y}", y="{}")[0]["content"] == 'Say {"json": 1} about {y}, {}.'


async def test_messages_of_the_job_reach_the_function() -> None:
    task = Container("chat")
    task.rollout(lambda prompt, seed: Result(1.0, output=json.dumps(prompt.messages(q="?"))))
    messages = (Message("sys", "system", 0), Message("ask", "user", 1))
    chat = RolloutCall("ro_1", "run", "c_1", {"ask": "Q {q}", "sys": "S"}, {"seed": 1}, messages)
    with task.running() as url:
        async with ContainerClient(url) as client:
            output = (await client.rollout(chat)).output
    assert json.loads(output) == [{"role": "system", "content": "S"}, {"role": "user", "content": "Q ?"}]


async def test_demonstrations_reach_the_function_as_turns_that_are_not_filled() -> None:
    task = Container("chat", program=[{"name": "sys", "content": "?"}, {"name": "ask", "content": "{q}"}])
    task.rollout(lambda prompt, seed: Result(1.0, output=json.dumps(prompt.messages(q="{q}"))))
    shown = dump([Demonstration("2 {", "4")])
    messages = (
        Message("sys", "system", 0),
        Message("ask", "user", 1),
        Message("demonstrations", "", 2, demonstrations=True),
    )
    components = {"ask": "Q {q}", "sys": "S", "demonstrations": shown}
    for as_candidate in (True, False):
        call = RolloutCall("ro_1", "run", "c_1", components, {"seed": 1}, messages, as_candidate=as_candidate)
        with task.running() as url:
            async with ContainerClient(url) as client:
                output = (await client.rollout(call)).output
        assert [(m["role"], m["content"]) for m in json.loads(output)] == [
            ("system", "S"),
            ("user", "Q 2 {"),
            ("assistant", "4"),
            ("user", "Q {q}"),
        ]
