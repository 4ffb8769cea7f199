"""What clients submit, in each dialect, as a job document and what came with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretune.config import PromptLearningConfig, refuse_not_available
from paretune.core.errors import Misconfigured
from paretune.engine.judging import judge_of
from paretune.server.asking import flag, section, text

KINDS = {f"{name}_offline": name for name in ("gepa", "mipro", "gepa+mipro")}


@dataclass(frozen=True, slots=True)
class Submission:
    """`given` came beside the document; with `start` the job begins by itself."""

    config: PromptLearningConfig
    given: Mapping[str, Any]
    start: bool


def online(body: Mapping[str, Any], dialect: str) -> Submission:
    """`POST .../online/jobs`: the document in `config_body`. Overrides are in it already; they are noted."""
    config = _config(body, "config_body")
    algorithm = text(body, "algorithm")
    if algorithm and algorithm != config.algorithm:
        raise Misconfigured("algorithm", f"{algorithm!r} here, {config.algorithm!r} in the document")
    given = {
        "dialect": dialect,
        "kind": f"{config.algorithm}_offline",
        "metadata": section(body, "metadata"),
    }
    return Submission(config, given, flag(body, "auto_start", True))


def offline(body: Mapping[str, Any]) -> Submission:
    """`POST /api/v1/offline/jobs`: the document in `config`, its algorithm there or in `kind`."""
    kind = text(body, "kind")
    if kind and kind not in KINDS:
        raise Misconfigured("kind", f"{kind!r} is none of {', '.join(KINDS)}")
    config = _config(body, "config", algorithm=KINDS.get(kind, "gepa"))
    if kind and KINDS[kind] != config.algorithm:
        raise Misconfigured("kind", f"{kind!r} here, {config.algorithm!r} in the document")
    given = {
        "dialect": "offline",
        "kind": kind or f"{config.algorithm}_offline",
        "technique": text(body, "technique") or "discrete_optimization",
        "config_mode": text(body, "config_mode") or "DEFAULT",
        "metadata": section(body, "metadata"),
        "system": section(body, "system"),
    }
    return Submission(config, given, flag(body, "auto_start", True))


def _config(body: Mapping[str, Any], name: str, algorithm: str = "") -> PromptLearningConfig:
    document = section(body, name)
    if not document:
        raise Misconfigured(name, f'missing: send {{"{name}": {{"prompt_learning": {{...}}}}}}')
    if algorithm and "prompt_learning" in document:
        document["prompt_learning"] = {"algorithm": algorithm, **section(document, "prompt_learning")}
    config = PromptLearningConfig.from_mapping(document)
    refuse_not_available(config)
    _refuse_files(config)
    return config


def _refuse_files(config: PromptLearningConfig) -> None:
    """Raises Misconfigured if the document names a file for its judges: no job reads those of the server."""
    section = judge_of(config)
    if section is not None and section.spec_path and not section.spec_context:
        raise Misconfigured(
            "judge.spec_path", "a job on a server reads no files: put the text into spec_context"
        )
