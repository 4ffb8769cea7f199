"""Where a document's system specifications are, and what of them is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from paretune.config import PromptLearningConfig
from paretune.core.errors import Misconfigured
from paretune.propose.spec import load

SPECS = "PARETUNE_SPECS"
"""The folder that all specifications are in: where it is set none other is read, and none if it is empty."""


def specification(
    path: str | None,
    field: str,
    environment: Mapping[str, str],
    *,
    max_tokens: int,
    threshold: float | None = None,
    examples: bool = True,
) -> str:
    """The text of the specification at `path`, cut to its tokens; empty without a path.

    Raises Misconfigured, naming the `field` that the path stands in.
    """
    if not path:
        return ""
    found = load(_checked(path, field, environment), field)
    return found.within(max_tokens, threshold=threshold, examples=examples)


def refuse_other_specs(config: PromptLearningConfig, environment: Mapping[str, str]) -> None:
    """Raises Misconfigured if the document names a specification that may not be read, or cannot be."""
    for field, path in _named(config).items():
        load(_checked(path, field, environment), field)


def _named(config: PromptLearningConfig) -> dict[str, str]:
    """Field -> path of each specification that the document names and would have read."""
    found: dict[str, str | None] = {"gepa.spec_path": config.gepa.spec_path}
    if config.mipro is not None:
        found["mipro.spec_path"] = config.mipro.spec_path
    for name, section in {"": config, "gepa.": config.gepa, "mipro.": config.mipro}.items():
        for judge in ("judge", "verifier"):
            asked = getattr(section, judge, None)
            if asked is not None and asked.enabled and not asked.spec_context:
                found[f"{name}{judge}.spec_path"] = asked.spec_path
    return {f"prompt_learning.{field}": path for field, path in found.items() if path}


def _checked(path: str, field: str, environment: Mapping[str, str]) -> Path:
    if SPECS not in environment:
        return Path(path).expanduser()
    if not environment[SPECS]:
        raise Misconfigured(
            field,
            f"no file is read here for a document: start the server with {SPECS} set to the folder of the "
            "specifications that jobs may name",
        )
    folder = Path(environment[SPECS]).resolve()
    found = (folder / path).resolve()
    if not found.is_relative_to(folder):
        raise Misconfigured(field, f"must stay within the folder of specifications ({SPECS})")
    return found
