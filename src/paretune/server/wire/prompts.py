"""Candidates as the artifacts that clients read: prompts, context settings, or any text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretune.core.candidate import content_id
from paretune.propose.guards import estimated_tokens
from paretune.store.jobs import StoredJob
from paretune.views.conversation import conversation, formats_of

MODES = ("prompt", "context", "optimize_anything")
ANYTHING = ("dsl_config", "candidate_code", "solver_code")
"""Names of components that are artifact kinds of their own in `optimize_anything`."""

Components = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a candidate is on the wire: its kind, its structure, and its text alone."""

    kind: str
    payload: dict[str, Any]
    content: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """How the components of one job become messages: their order, and the surface on record.

    A component without a role (a program of the container's own) is a system message. Demonstrations are
    turns before the question.
    """

    order: tuple[str, ...] = ()
    surface: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    mode: str = "prompt"

    @classmethod
    def of(cls, job: StoredJob, run_job: Mapping[str, Any] | None) -> Prompts:
        document = job.document.get("prompt_learning") or {}
        pattern = document.get("initial_prompt") or {}
        run_job = run_job or {}
        return cls(
            order=tuple(run_job.get("components") or ()),
            surface=run_job.get("surface") or {},
            name=pattern.get("name") or pattern.get("id") or job.name,
            mode=mode_of(job),
        )

    def messages(self, components: Components) -> list[dict[str, Any]]:
        """`role`, `name`, `order`, and the text as `pattern` and `content`: clients look for either."""
        return [
            {"role": turn.role, "name": turn.name, "pattern": turn.text, "content": turn.text, "order": order}
            for order, turn in enumerate(conversation(components, self.order, self.surface))
        ]

    def pattern(self, components: Components) -> dict[str, Any]:
        """The prompt as messages (synth-ai from 0.5 on)."""
        return {"messages": self.messages(components)}

    def template(self, components: Components) -> dict[str, Any]:
        """The prompt as sections (synth-ai until 0.4)."""
        keys = ("role", "name", "content", "order")
        return {"sections": [{key: m[key] for key in keys} for m in self.messages(components)]}

    def best(self, components: Components) -> dict[str, Any]:
        """`best_prompt`: id, name, and the prompt both as sections and as messages."""
        return {
            "id": content_id(components),
            "name": self.name,
            **self.template(components),
            **self.pattern(components),
        }

    def full_text(self, components: Components) -> str:
        """`[role | name]` and the text, joined by blank lines."""
        return "\n\n".join(f"[{m['role']} | {m['name']}]\n{m['content']}" for m in self.messages(components))

    def content(self, components: Components) -> str:
        """The texts alone, joined by blank lines."""
        return "\n\n".join(message["content"] for message in self.messages(components))

    def artifact(self, components: Components) -> Artifact:
        """What the job's mode makes of these texts."""
        if self.mode == "context":
            return self._context(components)
        if self.mode == "optimize_anything":
            return self._anything(components)
        return Artifact("prompt", self.pattern(components), self.content(components))

    def _context(self, components: Components) -> Artifact:
        """Messages as in a prompt; components without a role are settings of the retrieval."""
        prose = {*(self.surface.get("roles") or {}), *formats_of(self.surface)}
        settings = {name: components[name] for name in self._ordered(components) if name not in prose}
        messages = [message for message in self.messages(components) if message["name"] not in settings]
        payload = {"messages": messages, "context_config": settings}
        return Artifact("context", payload, self.content(components))

    def _anything(self, components: Components) -> Artifact:
        """The component with a known name is the artifact, else the first one as `candidate_code`."""
        order = self._ordered(components)
        main = next((name for name in ANYTHING if name in components), order[0])
        kind = main if main in ANYTHING else "candidate_code"
        others = {name: components[name] for name in order if name != main}
        return Artifact(kind, {kind: components[main], **others}, components[main])

    def _ordered(self, components: Components) -> list[str]:
        """Records keep components by name; their order is the run's."""
        known = [name for name in self.order if name in components]
        return known + [name for name in components if name not in self.order]


def mode_of(job: StoredJob) -> str:
    """`prompt`, `context` or `optimize_anything`, as the document says."""
    document = job.document.get("prompt_learning") or {}
    mode = document.get("optimization_mode")
    return mode if mode in MODES else "prompt"


def prompt_length(components: Components) -> int:
    """Tokens of all texts, estimated."""
    return sum(map(estimated_tokens, components.values()))
