"""What is imported from where, and what comes with it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import paretune
from paretune import config, sdk

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "packages/synth-ai"
HEAVY = ("paretune.engine", "paretune.store", "paretune.views", "paretune.algorithms", "paretune.evaluate")
FOREIGN = ("sqlalchemy", "fastapi", "aiohttp", "openai", "typer", "numpy", "scipy")


def loaded(statement: str) -> set[str]:
    """The modules of a fresh process after the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    path = {"PYTHONPATH": str(Path(paretune.__path__[0]).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


sdk_names = ["PolicyOptimizationJob", "PromptLearningJob", "SynthClient"]


def test_importing_paretune_loads_nothing_else() -> None:
    modules = loaded("import paretune")
    assert {name for name in modules if name.startswith("paretune")} == {"paretune"}
    assert not modules & {"httpx", "pydantic", *FOREIGN}


@pytest.mark.parametrize("name", sdk_names)
def test_the_sdk_loads_no_engine_and_no_database(name: str) -> None:
    modules = loaded(f"from paretune import {name}")
    rooms = {".".join(module.split(".")[:2]) for module in modules if module.startswith("paretune.")}
    assert rooms == {"paretune.sdk", "paretune.config", "paretune.core"}
    assert not modules & {*HEAVY, *FOREIGN}


def test_the_names_at_the_top() -> None:
    library = ["GEPAResult", "aoptimize", "install_as_gepa", "optimize", "optimize_anything"]
    assert paretune.__all__ == sorted([*sdk_names, *library])
    for name in paretune.__all__:
        assert callable(getattr(paretune, name))
        assert name in dir(paretune)
    for name in sdk_names:
        assert getattr(paretune, name) is getattr(sdk, name)
    with pytest.raises(AttributeError, match="has no attribute 'PromptJob'"):
        _ = paretune.PromptJob  # type: ignore[attr-defined]


PATHS = {
    "synth_ai": ["SynthClient", "PolicyOptimizationJob", "PromptLearningJob"],
    "synth_ai.sdk.api.train.prompt_learning": [
        "PollOutcome",
        "PromptLearningJob",
        "PromptLearningJobConfig",
        "PromptLearningJobPoller",
    ],
    "synth_ai.sdk.optimization.policy.job": [
        "Algorithm",
        "PolicyOptimizationJob",
        "PolicyOptimizationJobConfig",
        "PolicyOptimizationResult",
    ],
    "synth_ai.sdk.optimization.policy": ["PolicyOptimizationJob"],
    "synth_ai.sdk.optimization": ["PolicyOptimizationJob"],
    "synth_ai.sdk.optimization.models": ["PolicyCandidate", "PolicyCandidatePage"],
    "synth_ai.sdk.streaming": ["StreamHandler", "CallbackHandler"],
}


@pytest.fixture
def compat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(COMPAT / "src")


@pytest.mark.usefixtures("compat")
@pytest.mark.parametrize("path", PATHS)
def test_the_paths_that_the_documents_print_lead_to_the_same_classes(path: str) -> None:
    module = importlib.import_module(path)
    assert set(PATHS[path]) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is getattr(sdk, name)


@pytest.mark.usefixtures("compat")
def test_the_configuration_path_has_all_of_the_configuration() -> None:
    module = importlib.import_module("synth_ai.sdk.api.train.configs.prompt_learning")
    assert module.__all__ == config.__all__
    for name in config.__all__:
        assert getattr(module, name) is getattr(config, name)
