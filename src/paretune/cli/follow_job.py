"""A job of a server, followed: lines for people, a view where lines can move, lines of JSON for programs.

Figures are those that the server tells, under its names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from paretune.cli.console import as_line, one_line, say
from paretune.cli.panel import NEWEST, Panel, Row, screen, watched
from paretune.cli.words import count, duration, money
from paretune.sdk import PromptLearningJob, StreamHandler, StreamMessage, StreamType

FAMILY = "prompt.learning."
"""Each event is there under two names; these are taken."""
QUIET = frozenset({"progress", "proposal.scored", "trial.results", "gepa.generation.complete"})
"""Events that the figures tell, or another event beside them."""
SCORES = ("baseline_score", "best_score", "best_train_score", "best_validation_score")
FIGURES = (
    "status", "phase", "iteration", "generation", *SCORES, "total_candidates", "rollouts_completed",
    "rollouts_total", "total_tokens", "total_cost_usd", "elapsed_seconds", "eta_seconds",
)  # fmt: skip


class Telling(StreamHandler):
    """A line for what matters. Use as a context manager while the job is followed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.figures: dict[str, Any] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def submitted(self) -> None:
        say(f"submitted {self.job_id}")

    def handle(self, message: StreamMessage) -> None:
        if message.stream_type is StreamType.STATUS:
            self._stands(message.data)
            return
        kind = str(message.data.get("type", ""))
        if not kind.startswith(FAMILY):
            return
        kind = kind.removeprefix(FAMILY)
        self._happened(kind, message)
        data = message.data.get("data")
        if kind == "progress" and isinstance(data, Mapping):
            self._stands({**data, "iteration": data.get("step")})

    def ended(self, job: PromptLearningJob, status: Mapping[str, Any]) -> None:
        """What was found."""
        for name in SCORES:
            if status.get(name) is not None:
                say(f"{name.replace('_', ' '):24} {status[name]:.4f}")
        if text := job.get_best_prompt_text():
            say()
            say(text)

    def _stands(self, told: Mapping[str, Any]) -> None:
        """What is left out is as it was."""
        self.figures |= {name: told[name] for name in FIGURES if told.get(name) is not None}
        for name in (
            *SCORES,
            "eta_seconds",
        ):  # another best one may lack some; at the end nothing is waited for
            if name in told and told[name] is None:
                self.figures.pop(name, None)

    def _happened(self, kind: str, message: StreamMessage) -> None:
        if kind not in QUIET:
            say(_line(message))


class JobView(Telling):
    """The figures, and below them the newest of the lines."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self._feed: deque[str] = deque(maxlen=NEWEST)
        self._screen = screen(self.panel)

    def __enter__(self) -> None:
        self._screen.start()

    def __exit__(self, *error: object) -> None:
        self._screen.transient = error[0] is None  # else no summary follows
        self._screen.stop()

    def _happened(self, kind: str, message: StreamMessage) -> None:
        if kind not in QUIET:
            self._feed.append(_line(message))

    def panel(self) -> Panel:
        """As it stands now."""
        now = dict(self.figures)
        return Panel(f"{self.job_id}  {now.get('status', 'waiting')}", list(_rows(now)), list(self._feed))


class JobLines(Telling):
    """A line of JSON for each event, and one with the figures whenever they have changed."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self._who = {"job_id": job_id}

    def submitted(self) -> None:
        as_line("submitted", self._who, {})

    def ended(self, job: PromptLearningJob, status: Mapping[str, Any]) -> None:
        as_line("result", self._who, {**job.get_results(), "job_id": self.job_id, "status": status["status"]})

    def _stands(self, told: Mapping[str, Any]) -> None:
        before = dict(self.figures)
        super()._stands(told)
        if self.figures != before:
            as_line("figures", self._who, self.figures)

    def _happened(self, kind: str, message: StreamMessage) -> None:
        text = str(message.data.get("message", ""))
        as_line(
            "event", self._who, {"seq": message.seq, "at": message.timestamp, "event": kind, "text": text}
        )


def telling(job_id: str, *, json: bool) -> Telling:
    """Whichever suits who reads."""
    if json:
        return JobLines(job_id)
    return JobView(job_id) if watched() else Telling(job_id)


def _line(message: StreamMessage) -> str:
    return f"{message.timestamp[11:19]}  {one_line(str(message.data.get('message', '')), 140)}"


def _rows(now: Mapping[str, Any]) -> Iterator[Row]:
    """What is known."""
    names = {"best_score": "", "best_train_score": "train ", "best_validation_score": "held-out "}
    if best := [f"{word}{now[name]:.4f}" for name, word in names.items() if name in now]:
        yield Row("best", best, 9, "bold")
    if "baseline_score" in now:
        yield Row("seed", [f"{now['baseline_score']:.4f}"], 6)
    if "rollouts_completed" in now:
        cap = f" of {now['rollouts_total']:,}" if "rollouts_total" in now else ""
        yield Row("rollouts", [f"{now['rollouts_completed']:,}{cap}"], 8)
    if "total_cost_usd" in now:
        yield Row("money", [money(now["total_cost_usd"]), f"{count(now.get('total_tokens', 0))} tokens"], 5)
    if "elapsed_seconds" in now:
        left = [f"about {duration(now['eta_seconds'])} left"] if now.get("eta_seconds") else []
        yield Row("time", [duration(now["elapsed_seconds"]), *left], 7)
    words = {"iteration": "step", "generation": "generation", "total_candidates": "candidates:"}
    yield Row(
        "now",
        [str(now.get("phase", "-")), *(f"{word} {now[name]}" for name, word in words.items() if name in now)],
        4,
    )
