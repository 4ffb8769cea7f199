"""The conformance kit: passes good containers, and says of a broken one what is broken."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from container.plain import KEY, WORDS, Plain, running
from paretune.container import Container, Prompt, Report, Result, check


class NotJson(Plain):
    def rollout(self, request: dict[str, Any]) -> None:
        self.send(200, b"<html>reward: 1</html>", "text/html")


class TextReward(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        return "0.5"


class TrueReward(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        return True


class NanReward(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        return float("nan") if seed == 2 else 0.5


class NoReward(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return {"trace_correlation_id": name, "result": reward}


class FixedId(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return super().answer("rollout-1", reward)


class HiddenFailure(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return {**super().answer(name, 0.0), "success_status": "failure", "status_detail": "no model"}


class Random(Plain):
    draws = itertools.count()

    def score(self, prompt: str, seed: int) -> Any:
        return next(self.draws) % 10 / 10


class AnyKey(Plain):
    def allowed(self) -> bool:
        return bool(self.headers.get("X-API-Key"))


class StartOfKey(Plain):
    def allowed(self) -> bool:
        return self.headers.get("X-API-Key", "").startswith(self.key[:5])


class OpenRollout(Plain):
    def allowed(self) -> bool:
        return self.command == "POST" or super().allowed()


class OtherKey(Plain):
    key = "another"

    def health(self) -> Any:
        return {"healthy": True}


class TextHealth(Plain):
    def health(self) -> Any:
        return b"ok"


class Crashes(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        raise RuntimeError(seed)


class ServerError(Plain):
    def rollout(self, request: dict[str, Any]) -> None:
        self.send(500, {"detail": "KeyError: 'prompt'"})


class WrapsAround(Plain):
    def unknown(self, seed: int, name: str) -> None:
        self.send(200, self.answer(name, self.score("x", seed % len(WORDS))))


class FallsOver(Plain):
    def unknown(self, seed: int, name: str) -> None:
        raise IndexError(seed)


class AcceptsRubbish(Plain):
    def malformed(self) -> None:
        self.send(200, {"reward": 0.0})


class Redirects(Plain):
    def rollout(self, request: dict[str, Any]) -> None:
        self.send_response(307)
        self.send_header("Location", "/rollout/")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Slow(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        time.sleep(1.0)
        return 0.5


class PlainText(Plain):
    def send(self, status: int, body: Any, kind: str = "text/plain") -> None:
        super().send(status, body, "text/plain")


class Fat(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return {**super().answer(name, reward), "trace": {"log": "x" * 17_000_000}}


class SharesState(Plain):
    latest = 0

    def score(self, prompt: str, seed: int) -> Any:
        type(self).latest = seed
        time.sleep(0.03)
        return self.latest / 10


class TellsKey(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return {**super().answer(name, reward), "metadata": {"headers": dict(self.headers)}}


class IgnoresPrompt(Plain):
    def score(self, prompt: str, seed: int) -> Any:
        return seed / 10


class PrefersZero(Plain):
    def rollout(self, request: dict[str, Any]) -> None:
        if not request:
            return self.send(200, self.answer("", 0.0))
        return super().rollout(request)


class TwoRewards(Plain):
    def answer(self, name: str, reward: Any) -> Any:
        return {**super().answer(name, reward), "reward": 0.99}


class NeverDone(Plain):
    def other(self) -> None:
        name = self.path.removeprefix("/rollouts/").removesuffix("/state")
        if "/" in name:
            return super().other()
        return self.send(200, {"rollout_id": name, "status": "running"})

    def answer(self, name: str, reward: Any) -> Any:
        return {"rollout_id": name, "status": "queued"}


BROKEN: list[tuple[type[Plain], str, str, str]] = [
    (NotJson, "error", "rollout JSON", "text/html"),
    (TextReward, "error", "reward is a number", "string"),
    (TrueReward, "error", "reward is a number", "boolean"),
    (NanReward, "error", "reward is a number", "1 of 5 rollouts failed: reward_info.outcome_reward is nan"),
    (NoReward, "error", "reward is there", "outcome_reward is missing"),
    (FixedId, "error", "id echo", "another question"),
    (HiddenFailure, "error", "rollout succeeds", "no model"),
    (Random, "warning", "idempotence", "asked twice"),
    (AnyKey, "error", "auth", "a wrong key was accepted"),
    (StartOfKey, "error", "auth", "a cut key was accepted"),
    (OpenRollout, "error", "auth", "no key was accepted"),
    (OtherKey, "error", "auth", "401"),
    (TextHealth, "error", "health", "not JSON"),
    (Crashes, "error", "answers at all", "closed"),
    (ServerError, "error", "no server error", "KeyError"),
    (WrapsAround, "error", "unknown seed", "5 examples"),
    (FallsOver, "error", "unknown seed", "closed"),
    (AcceptsRubbish, "error", "bad request", "taken for a rollout"),
    (Redirects, "error", "no redirect", "/rollout/"),
    (Slow, "error", "answers in time", "0.5 s"),
    (PlainText, "error", "content type", "text/plain"),
    (Fat, "error", "answer size", "larger than the limit"),
    (SharesState, "error", "parallel", "disturb each other"),
    (TellsKey, "error", "secrets", "contains the key"),
    (NeverDone, "error", "answers in time", "never finished"),
    (TwoRewards, "warning", "objectives", "different rewards"),
    (IgnoresPrompt, "error", "candidate", "seems not to read the candidate"),
    (PrefersZero, "warning", "bad request", "without prompt and example"),
]


def said(report: Report, severity: str) -> list[tuple[str, str]]:
    return [(f.name, f.explanation) for f in report.findings if not f.ok and f.severity == severity]


@pytest.mark.parametrize(
    ("handler", "severity", "name", "words"), BROKEN, ids=[row[0].__name__ for row in BROKEN]
)
async def test_a_broken_container_is_told_what_is_wrong(
    handler: type[Plain], severity: str, name: str, words: str
) -> None:
    with running(handler) as url:
        report = await check(url, KEY, deadline=0.5 if handler in (Slow, NeverDone) else 10)
    assert report.ok is (severity != "error"), report.render()
    assert any(n == name and words in text for n, text in said(report, severity)), report.render()
    assert all(finding.fix for finding in report.findings if not finding.ok)


async def test_a_container_of_the_standard_library_passes() -> None:
    with running(Plain) as url:
        report = await check(url, KEY)
    assert said(report, "error") == said(report, "warning") == []
    assert report.render().endswith("notes.")


async def test_without_the_key_the_check_asks_for_it() -> None:
    with running(Plain) as url:
        report = await check(url)
    assert any("key" in finding.fix for finding in report.findings if not finding.ok)


async def test_nobody_there_is_one_finding() -> None:
    report = await check("http://127.0.0.1:1")
    assert [(finding.name, finding.ok) for finding in report.findings] == [("reachable", False)]


@pytest.mark.parametrize("key", [None, "a-key-of-its-own"])
async def test_the_ten_line_container_passes_its_own_check(key: str | None) -> None:
    task = Container("lengths", seeds=range(5), program="Say {word}", api_key=key)

    @task.rollout
    def rollout(prompt: Prompt, seed: int) -> Result:
        said = prompt.messages(word=seed)[0]["content"]
        return Result(len(said) % 7 / 7, output=said, feedback="longer")

    with task.running() as url:
        report = await check(url, key)
    assert said(report, "error") == said(report, "warning") == [], report.render()


PROGRAM: dict[str, Any] = {
    "version": "prompt_program.v1",
    "program_id": "p",
    "modules": [
        {"module_id": "m", "role": "system", "content": "Hi", "mutable": True, "candidate_field": "m"}
    ],
    "target_modules": [{"module_id": "m", "candidate_field": "m", "objective": "reward"}],
    "seed_candidate": {"m": "Hi"},
}


def vendor_container(program: dict[str, Any], listed: Any = lambda ids: ids) -> Any:
    sdk = pytest.importorskip("synth_containers.sdk")
    task = sdk.Container("vendor-task")
    known = {f"train:{number}" for number in range(4)}
    task.program(lambda: program)
    task.taskset(lambda: {"taskset_id": "t", "splits": {"train": 4, "test": 4}})
    task.taskset_tasks(
        lambda request: {
            "tasks": [{"task_id": i, "text": "x"} for i in listed(request["task_ids"]) if i in known]
        }
    )

    @task.rollout  # type: ignore[untyped-decorator] # theirs
    async def rollout(request: dict[str, Any]) -> Any:
        reward = len(request["candidate"]["m"] + request["task"]["task_id"]) % 10 / 10
        return sdk.RolloutResult(request["rollout_id"], reward, request["task_id"]).to_dict()

    return task


@pytest.mark.vendor
@pytest.mark.parametrize(
    ("changed", "listed", "words"),
    [
        ({}, None, ""),
        ({"seed_candidate": {"other": "Hi"}}, None, "the field 'other'"),
        ({"seed_candidate": {"m": ""}}, None, "not a text"),
        ({"modules": []}, None, "modules is missing"),
        ({"target_modules": [{"module_id": "n"}]}, None, "no mutable module"),
        ({}, lambda ids: ids[:-1], "4 tasks asked, 3 came"),
        ({}, lambda ids: [ids[0]] * len(ids), "only 1 different ids"),
    ],
)
async def test_a_container_of_the_public_package(changed: dict[str, Any], listed: Any, words: str) -> None:
    task = vendor_container({**PROGRAM, **changed}, listed or (lambda ids: ids))
    with task.serve() as handle:
        report = await check(handle.url)
    errors = said(report, "error")
    assert bool(errors) is bool(words), report.render()
    assert any(words in text for _, text in errors) or not words, report.render()
