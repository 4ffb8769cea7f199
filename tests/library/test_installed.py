"""Standing in for gepa: every path of the table resolves; a process that imports gepa gets ours."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from paretune.library.installed import PATHS, modules, names_of, resolve


@pytest.mark.parametrize("module", sorted(PATHS))
def test_every_name_of_the_table_is_here(module: str) -> None:
    missing = []
    for where in names_of(module).values():
        try:
            resolve(where)
        except (ImportError, AttributeError) as error:
            missing.append(f"{where}: {error}")
    assert not missing


def test_the_page_of_names_says_where_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gepa-api.md").read_text("utf-8")
    told = {}
    for section in page.split("\n## ")[1:]:
        module = section.partition("\n")[0].strip("`")
        for name, ours in re.findall(r"^\| `(\w+).*?` \| `(library\.\w+)` \|", section, re.MULTILINE):
            told[module, name] = f"paretune.{ours}:{name}"
    assert len(told) > 100
    assert told == {key: names_of(key[0]).get(key[1]) for key in told}


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_that_imports_gepa_gets_ours_and_pays_for_what_it_uses() -> None:
    said = run("""
import sys
before = set(sys.modules)
from paretune.library.installed import install_as_gepa
install_as_gepa()
install_as_gepa()
print(sorted(name for name in set(sys.modules) - before if name in ("numpy", "pydantic", "openai")))
import gepa
import gepa.core.adapter
from gepa import EvaluationBatch, GEPAAdapter, core
from gepa.strategies.batch_sampler import EpochShuffledBatchSampler
from gepa.proposer.reflective_mutation.base import ReflectionComponentSelector
from gepa.utils import MaxMetricCallsStopper
import paretune.library.adapter as ours
print(gepa.core.adapter.EvaluationBatch is EvaluationBatch is ours.EvaluationBatch)
print(core.state.GEPAState.__module__, gepa.default_adapter.default_adapter.DefaultAdapter.__module__)
import importlib.util
print(importlib.util.find_spec("gepa") is not None, hasattr(gepa, "nothing_like_it"))
try:
    import gepa.core.nothing_like_it
except ModuleNotFoundError as error:
    print(error)
""")
    assert said.splitlines() == [
        "[]",
        "True",
        "paretune.library.state paretune.library.default_adapter",
        "True False",
        "No module named 'gepa.core.nothing_like_it'",
    ]


def test_where_gepa_itself_was_imported_nothing_is_mixed() -> None:
    said = run("""
import sys, types
sys.modules["gepa"] = theirs = types.ModuleType("gepa")  # stands for the real one
from paretune.core.errors import Misconfigured
from paretune.library.installed import install_as_gepa
try:
    install_as_gepa()
except Misconfigured as error:
    print(error)
print(sys.modules["gepa"] is theirs, "gepa.core" in sys.modules)
""")
    assert said.splitlines() == [
        "install_as_gepa: gepa itself was imported already: call this before anything imports gepa",
        "True False",
    ]


DSPY = {
    "gepa": "EvaluationBatch GEPAAdapter GEPAResult optimize",
    "gepa.core.adapter": "ProposalFn",
    "gepa.proposer.reflective_mutation.base": "ReflectionComponentSelector",
}
"""What DSPy 3.4's GEPA imports."""


def test_what_dspy_imports_is_in_the_table() -> None:
    assert set(DSPY) <= set(modules())
    assert all(set(names.split()) <= set(names_of(module)) for module, names in DSPY.items())
