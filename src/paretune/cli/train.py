"""`paretune train`: a job document goes to a server, and is followed to its end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.cli.console import note, say
from paretune.cli.follow_job import telling
from paretune.config import PromptLearningConfig, refuse_not_available
from paretune.core.errors import Misconfigured, ParetuneError
from paretune.sdk import PromptLearningJob

TYPES = ("auto", "prompt_learning", "prompt", "context_learning")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command line says. `env_files` hold NAME=VALUE lines, which do not override what is set."""

    config: Path
    backend: str | None = None
    task_url: str | None = None
    model: str | None = None
    rollout_budget: int | None = None
    proposer_effort: str | None = None
    env_files: tuple[Path, ...] = ()
    poll: bool = True
    timeout: float = 3600.0
    interval: float = 5.0
    dry_run: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        effort = self.proposer_effort
        given = {
            "prompt_learning.task_app_url": self.task_url,
            "prompt_learning.policy.model": self.model,
            "prompt_learning.gepa.rollout.budget": self.rollout_budget,
            "prompt_learning.gepa.proposer_effort": effort.upper() if effort else None,
        }
        return {name: value for name, value in given.items() if value is not None}


def chosen(positional: Path | None, given: list[Path] | None, kind: str) -> Path:
    """The one document that is meant. Raises Misconfigured."""
    if kind not in TYPES:
        raise Misconfigured("--type", f"{kind!r} is none of {', '.join(TYPES)}")
    files = [*([positional] if positional else []), *(given or [])]
    if len(files) != 1:
        raise Misconfigured("--config", "name one job document: paretune train my.toml")
    return files[0]


def train(options: TrainOptions, *, json: bool) -> None:
    """Check, submit, and with `poll` follow. Raises ParetuneError if the job did not succeed."""
    for file in options.env_files:
        _read_environment(file)
    refuse_not_available(PromptLearningConfig.from_path(options.config))
    if options.dry_run:
        (note if json else say)("the document is valid; nothing was submitted")
        return
    job = PromptLearningJob.from_config(
        options.config, backend_url=options.backend, overrides=options.overrides
    )
    job_id = job.submit()
    told = telling(job_id, json=json)
    told.submitted()
    if not options.poll:
        note(f"follow it with: paretune jobs show {job_id}")
        return
    with told:
        status = job.stream_until_complete(
            timeout=options.timeout, interval=options.interval, handlers=[told]
        )
    told.ended(job, status)
    if status["status"] != "succeeded":
        raise ParetuneError(
            f"{job_id} {status['status']}: {status.get('error') or status.get('status_detail')}"
        )


def _read_environment(file: Path) -> None:
    """NAME=VALUE lines into this process's environment, where NAME is not set yet. Raises Misconfigured."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("--env-file", f"{file} cannot be read: {error}") from error
    for name, value in _assignments(file, lines):
        os.environ.setdefault(name, value)


def _assignments(file: Path, lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise Misconfigured("--env-file", f"{file}, line {number}: not NAME=VALUE")
        value = found[2]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        yield found[1], value
