"""Every block of the documentation is run, or read as what it says it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from paretune.config import PromptLearningConfig
from paretune.container import Container

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[ParameterSet]:
    found = []
    for page in PAGES:
        for place, (name, text) in enumerate(BLOCK.findall(page.read_text("utf-8"))):
            if name == language:
                found.append(pytest.param(text, id=f"{page.name}-{place}"))
    return found


@pytest.mark.parametrize("source", blocks("python"))
def test_python_blocks_run_and_their_containers_answer(source: str) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    exec(compile(source, "docs", "exec"), names)
    containers = [value for value in names.values() if isinstance(value, Container)]
    for container in containers:
        assert container.version


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_blocks_are_valid_job_documents(text: str) -> None:
    config = PromptLearningConfig.from_mapping(tomllib.loads(text))
    assert PromptLearningConfig.from_mapping(config.to_dict()) == config
