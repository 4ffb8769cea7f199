"""What a job's process sees of the server's environment: what it may need, and no more.

Whoever may submit names addresses that keys are sent to. So a document gets no variable of the server by
naming it, but for those that were uploaded for jobs or that `paretune serve --pass` hands on; and no file,
but for specifications in the folder PARETUNE_SPECS.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.config import PromptLearningConfig
from paretune.config.providers import PROVIDERS
from paretune.config.verifier import UNSAID_KEY
from paretune.core.errors import Misconfigured
from paretune.engine.judging import judge_of
from paretune.engine.specs import SPECS, refuse_other_specs
from paretune.server.vault import Vault
from paretune.store.jobs import Jobs, StoredJob

TASK_KEY = "ENVIRONMENT_API_KEY"
BASE_URL, PROPOSER_KEY = "PARETUNE_PROPOSER_BASE_URL", "PARETUNE_PROPOSER_API_KEY"
JUDGE_URL, JUDGE_KEY = "PARETUNE_VERIFIER_BASE_URL", "PARETUNE_VERIFIER_API_KEY"
MODELS = frozenset({"PARETUNE_PROPOSER_MODEL", "PARETUNE_VERIFIER_MODEL"})
PLAIN = frozenset({BASE_URL, JUDGE_URL, "OPENAI_BASE_URL", SPECS}) | MODELS
OWN = PLAIN | {TASK_KEY, PROPOSER_KEY, JUDGE_KEY} | {endpoint.key for endpoint in PROVIDERS.values()}
"""Variables by which a server is configured. A provider's key goes to that provider only."""


@dataclass(frozen=True, slots=True)
class JobEnvironment:
    """`passed`: names of the server's variables that documents may name. Secrets are sealed in the store."""

    jobs: Jobs
    vault: Vault
    passed: Collection[str] = ()
    server: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def of(self, job: StoredJob) -> Mapping[str, str]:
        """All variables that the job is carried with. Raises Misconfigured if a secret cannot be opened."""
        names = [name for name in {*OWN, *self.passed} if name in self.server]
        sealed = {**self.jobs.secrets(""), **self.jobs.secrets(job.id)}
        given = {name: self.server[name] for name in names}
        given |= {name: self.vault.open(value) for name, value in sealed.items()}
        if _address(job) not in (None, given.get(BASE_URL)):
            given.pop(PROPOSER_KEY, None)  # it belongs to the server's endpoint, not to this one
        if any(address != given.get(JUDGE_URL) for address in _judges_at(job)):
            given.pop(JUDGE_KEY, None)
        return {SPECS: "", **given}

    def refuse_others(self, config: PromptLearningConfig) -> None:
        """Raises Misconfigured if the document names a variable, or a file, that is not for jobs."""
        refuse_other_specs(config, {SPECS: self.server.get(SPECS, "")})
        key = config.task_app_api_key or ""
        asked = {
            "prompt_learning.task_app_api_key": key[1:].strip("{}") if key.startswith("$") else "",
            "prompt_learning.proposer.api_key_env": config.proposer.api_key_env or "",
            "prompt_learning.judge.backend_api_key_env": _judges_key(config),
        }
        uploaded = self.jobs.secrets("").keys() - OWN  # a provider's key is that provider's, however it came
        allowed = {TASK_KEY, *self.passed, *uploaded}
        for field_name, name in asked.items():
            if name and name not in allowed:
                raise Misconfigured(
                    field_name,
                    f"{name} is not handed to jobs here: upload it (POST /api/v1/env-keys), or start the "
                    f"server with --pass {name}",
                )


def _judges_key(config: PromptLearningConfig) -> str:
    """The variable that it names, unless that is its provider's own, which goes to that provider only."""
    section = judge_of(config)
    if section is None or section.backend_api_key_env == UNSAID_KEY:
        return ""
    rows = {name.value: endpoint.key for name, endpoint in PROVIDERS.items()}
    own = rows.get(section.backend_provider or "openai")
    name = section.backend_api_key_env
    return "" if name == own and not section.backend_base else name


def without(text: str, variables: Mapping[str, str]) -> str:
    """The text with the names of secrets where their values were."""
    for name, value in sorted(variables.items(), key=lambda one: len(one[1]), reverse=True):
        if value and name not in PLAIN:  # the longest first: another may begin like it
            text = text.replace(value, f"${name}")
    return text


def _address(job: StoredJob) -> str | None:
    """The endpoint that the document itself names for the proposer."""
    inner: Any = job.document.get("prompt_learning", {})
    found: str | None = (inner.get("proposer") or {}).get("base_url")
    return found


def _judges_at(job: StoredJob) -> list[str]:
    """The endpoints that the document itself names for judges."""
    inner: Any = job.document.get("prompt_learning", {})
    tables = [inner, *(inner.get(name) or {} for name in ("gepa", "mipro"))]
    found = [(table.get(key) or {}).get("backend_base") for table in tables for key in ("judge", "verifier")]
    return [address for address in found if address]
