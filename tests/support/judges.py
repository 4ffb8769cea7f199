"""Judges that play a script: they read the prompt as a model would, and answer as they are told to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from paretune.core.budget import Limits
from paretune.core.errors import AttemptFailed, FailureKind
from paretune.core.rollout import Usage
from paretune.engine.run import Runner
from paretune.evaluate.verifier.executor import Judged
from paretune.evaluate.verifier.fusion import Fusion
from paretune.evaluate.verifier.judge import Judge
from paretune.evaluate.verifier.rubric import Criterion, Rubric, alone
from paretune.evaluate.verifier.verdicts import Verifier
from paretune.llm.chat import Completion
from paretune.store import Store
from support.rulebook import RulebookExecutor
from support.runs import begin, classic, stands_still

MATERIAL = re.compile(r"^(=====\[\w+\]=====)$\n(.*)\n^\1$", re.DOTALL | re.MULTILINE)
Score = Callable[[Mapping[str, Any], str], float]
"""(what is judged, criterion) -> score."""


def material(prompt: str) -> dict[str, Any]:
    """What is judged, out of the prompt."""
    found = MATERIAL.search(prompt)
    assert found, prompt
    judged: dict[str, Any] = json.loads(found[2])
    return judged


def verdict(rubric: Rubric, judged: Mapping[str, Any], score: Score) -> dict[str, Any]:
    """A whole answer: every criterion, on every event that is shown."""
    answer: dict[str, Any] = {}
    if rubric.outcome:
        answer["outcome"] = {one.id: _said(judged, one.id, score) for one in rubric.outcome}
    if rubric.events:
        one_event = {one.id: _said(judged, one.id, score) for one in rubric.events}
        answer["events"] = {str(item["event"]): one_event for item in judged["events"]}
    return answer


def _said(judged: Mapping[str, Any], criterion: str, score: Score) -> dict[str, Any]:
    return {"explanation": f"as to {criterion}", "score": score(judged, criterion)}


@dataclass
class ScriptedJudge:
    """A model behind a judge. `first` are faults (or answers) that come before it does as it should."""

    rubric: Rubric
    score: Score
    first: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    schemas: list[Any] = field(default_factory=list)
    identity: str = "scripted"
    usage: Usage = Usage(100, 20, 0.001)

    async def complete(
        self, messages: Sequence[Mapping[str, str]], *, schema: Mapping[str, Any] | None = None
    ) -> Completion:
        prompt = messages[-1]["content"]
        self.asked.append(prompt)
        self.schemas.append(schema)
        if self.first:
            fault = self.first.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault if isinstance(fault, Completion) else Completion(fault, "stop", self.usage)
        answer = json.dumps(verdict(self.rubric, material(prompt), self.score))
        return Completion(answer, "stop", self.usage)

    def repeats(self) -> int:
        """How many questions were asked more than once."""
        return sum(count - 1 for count in Counter(self.asked).values())


OUTCOME = Rubric(
    "Tickets are handled.", outcome=(Criterion("right", "It is right."), Criterion("short", "Short.", 3))
)


def verifier(model: ScriptedJudge, rubric: Rubric = OUTCOME, **settings: Any) -> Verifier:
    judge = Judge("judge", rubric, model)
    return Verifier(alone(rubric), {"judge": judge}, **{"usd": 0.002, "tokens": 200, **settings})


def busy(seconds: float | None = None) -> AttemptFailed:
    return AttemptFailed(FailureKind.RATE_LIMITED, "too many", retry_after=seconds)


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer over HTTP, after some seconds; without a status the connection is closed."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0


@contextmanager
def judge_server(
    rubric: Rubric, score: Score, first: Sequence[Sent] = ()
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A judge behind an OpenAI-compatible address on loopback, and the requests that it got. `first` are
    answers that come before it does as it should."""
    asked: list[dict[str, Any]] = []
    faults = list(first)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "key": self.headers.get("Authorization")})
            sent = faults.pop(0) if faults else self._verdict(body)
            time.sleep(sent.after)
            if not sent.status:
                self.close_connection = True
                return
            data = sent.body.encode()
            with suppress(ConnectionError):
                self.send_response(sent.status)
                for name, value in sent.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def _verdict(self, body: dict[str, Any]) -> Sent:
            judged = material("\n\n".join(message["content"] for message in body["messages"]))
            return Sent(body=completion(json.dumps(verdict(rubric, judged, score))))

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str, finish: str = "stop", **message: Any) -> str:
    """The body of a chat completion."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}})


BOTH = Fusion("fused", outcome=1.0)


async def judged_run(store: Store, who: Verifier, fusion: Fusion = BOTH) -> str:
    """A small run, judged, to its end."""
    case = classic(3)
    job = case.job(limits=Limits(rollouts=90, steps=20))
    identity = replace(job.identity, evaluator=f"{who.identity} {fusion.identity}")
    job, proposer = replace(job, identity=identity), case.proposer()
    run_id = begin(store, job, proposer)
    executor = Judged(RulebookExecutor(case.book), who, fusion)
    await Runner(store, run_id, job, executor, proposer, clock=stands_still).run()
    return run_id
