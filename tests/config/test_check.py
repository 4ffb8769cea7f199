"""`paretune config check`: values and sources, all mistakes at once, nothing secret, what `run` would say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paretune.cli.app import app
from paretune.config.explain import shown
from support.programs import paretune

DOCUMENTED = Path(__file__).with_name("documented.toml")
VARIABLES = (
    "TASK_APP_URL",
    "ENVIRONMENT_API_KEY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "PARETUNE_PROPOSER_BASE_URL",
    "PARETUNE_PROPOSER_MODEL",
    "PARETUNE_PROPOSER_API_KEY",
)

SMALL = """
[prompt_learning]
algorithm = "gepa"
task_app_url = "http://127.0.0.1:8001"
[prompt_learning.gepa]
proposer_type = "operators"
[prompt_learning.gepa.evaluation]
seeds = {start = 0, end = 40}
"""


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def check(tmp_path: Path, text: str, *options: str) -> Result:
    (tmp_path / "job.toml").write_text(text)
    return CliRunner().invoke(app, ["config", "check", str(tmp_path / "job.toml"), *options])


def told(tmp_path: Path, text: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(check(tmp_path, text, "--json").stdout)
    return answer


def sources(answer: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    return {field: (row["value"], row["source"]) for field, row in answer["settings"].items()}


def test_each_value_and_where_it_comes_from(tmp_path: Path) -> None:
    answer = told(tmp_path, DOCUMENTED.read_text())
    found = sources(answer)
    assert answer["ok"]
    assert found["gepa.rollout.budget"] == (100, "file")
    assert found["gepa.evaluation.seeds"] == (list(range(50)), "file")
    assert found["gepa.mutation.rate"] == (0.3, "default")
    assert found["gepa.rollout.minibatch_size"] == (4, "follows from the other keys")
    assert found["gepa.archive.pareto_set_size"] == (25, "follows from the other keys")
    assert found["proposer.model"] == ("gpt-4o-mini", "preset LOW")
    assert found["task_app_api_key"] == ("$ENVIRONMENT_API_KEY", "file")
    assert any("ENVIRONMENT_API_KEY is not set" in line for line in answer["notes"])
    assert any("OPENAI_API_KEY" in line for line in answer["notes"])


def test_presets_say_what_they_decide(tmp_path: Path) -> None:
    classic = SMALL.replace("[prompt_learning.gepa]", '[prompt_learning.gepa]\npreset = "classic"')
    found = sources(told(tmp_path, classic))
    assert found["gepa.population.initial_size"] == (1, "preset classic")
    assert found["gepa.pipeline.mode"] == ("sync", "preset classic")
    pool = SMALL + '[prompt_learning.gepa.adaptive_pool]\nlevel = "HIGH"\nanchor_size = 5\n'
    found = sources(told(tmp_path, pool))
    assert found["gepa.adaptive_pool.anchor_size"] == (5, "file")
    assert found["gepa.adaptive_pool.warmup_iters"] == (3, "preset HIGH")


MIPRO = """
[prompt_learning]
algorithm = "mipro"
task_app_url = "http://127.0.0.1:8001"
[[prompt_learning.initial_prompt.messages]]
role = "user"
pattern = "{question}"
[prompt_learning.mipro]
auto = "light"
max_concurrent = 4
[prompt_learning.mipro.seeds]
bootstrap = {start = 0, end = 10}
online = {start = 10, end = 22}
"""


def test_what_follows_in_mipro(tmp_path: Path) -> None:
    answer = told(tmp_path, MIPRO)
    found = sources(answer)
    assert answer["ok"], answer
    assert found["mipro.batch_size"] == (8, "follows from the other keys")
    assert found["mipro.full_eval_every_k"] == (5, "follows from the other keys")
    assert found["mipro.num_iterations"] == (9, "preset light")
    assert found["mipro.max_demo_sets"] == (6, "preset light")
    assert found["mipro.generate_at_iterations"] == ([4], "follows from the other keys")
    assert found["mipro.online_pool"] == (list(range(10, 22)), "follows from the other keys")
    assert found["proposer.model"] == ("gpt-4o-mini", "preset LOW")
    assert any("OPENAI_API_KEY" in line for line in answer["notes"])
    assert "gepa.pipeline.lanes" not in found
    both = SMALL.replace('"gepa"', '"gepa+mipro"')
    found = sources(told(tmp_path, both))
    assert found["gepa.pipeline.lanes"][1] == found["mipro.batch_size"][1] == "follows from the other keys"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("online = {start = 10, end = 22} -> test = [40]", "online_pool is missing"),
        ("online = {start = 10, end = 22} -> online = {start = 5, end = 22}", "share the examples 5"),
        ('auto = "light" -> parameters = {answer = ["a", "b"]}', "no component of this name"),
        ('auto = "light" -> task_app_url = "http://elsewhere"', "task_app_url differs from the job's"),
        ("max_concurrent = 4 -> max_spend_usd = 1.0", "a money cap needs a price"),
    ],
)
def test_what_a_mipro_run_would_refuse_is_said_now(tmp_path: Path, change: str, said: str) -> None:
    old, new = change.split(" -> ")
    assert old in MIPRO
    done = check(tmp_path, MIPRO.replace(old, new))
    assert done.exit_code == 2
    assert said in done.output


def test_the_environment_by_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://user:canary-{name}@host/v1?key=canary")
    text = DOCUMENTED.read_text()
    for output in (check(tmp_path, text).output, check(tmp_path, text, "--json").output):
        assert "canary" not in output
    found = sources(told(tmp_path, text))
    assert found["task_app_url"][1] == "environment TASK_APP_URL"
    assert found["task_app_api_key"][1] == "environment ENVIRONMENT_API_KEY"
    assert found["proposer.base_url"][1] == "environment PARETUNE_PROPOSER_BASE_URL"
    assert found["proposer.model"][1] == "environment PARETUNE_PROPOSER_MODEL"


def test_nothing_secret_of_the_file_is_shown(tmp_path: Path) -> None:
    text = SMALL.replace(
        'algorithm = "gepa"', 'algorithm = "gepa"\ntask_app_api_key = "canary"\nenv_config = {db = "canary"}'
    )
    text += '[prompt_learning.proposer]\nbase_url = "http://host/v1?key=canary"\n'
    text += '[prompt_learning.mipro]\ntask_app_api_key = "canary"\n'
    for options in ([], ["--json"]):
        assert "canary" not in check(tmp_path, text, *options).output
    wrong = text + "min_bootstrap_demos = 4\nbootstrap_train_seeds = [1]\n"
    password = text.replace("http://host", "http://u:canary@host")
    for refused in (wrong, password):
        answer = check(tmp_path, refused)
        assert "canary" not in answer.output
        assert answer.exit_code == 2


@pytest.mark.parametrize("text", ["Is https://a.example right? Say so.", "http://[half"])
def test_a_text_that_only_names_an_address_is_shown_whole(text: str) -> None:
    assert shown("pattern", text) == text


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    wrong = """
    [prompt_learning]
    algorithm = "gepa"
    task_app_url = "tunnel"
    taskapp_id = "x"
    [prompt_learning.policy]
    model = "m"
    provider = "anthropic"
    [prompt_learning.gepa]
    num_generations = 3
    proposer_backend = "rlm"
    [prompt_learning.gepa.rollout]
    budgt = 1
    max_concurrent = 0
    [prompt_learning.gepa.adaptive_pool]
    level = "EXTREME"
    """
    done = check(tmp_path, wrong)
    assert done.exit_code == 2
    for line in (
        "prompt_learning.taskapp_id: unknown key; did you mean 'task_app_id'?",
        "prompt_learning.task_app_url: task_app_url must start with http",
        "prompt_learning.policy.inference_url: provider 'anthropic' is none of openai, groq, google",
        "Use [prompt_learning.gepa.population] section with 'num_generations' field instead.",
        "not available yet: prompt_learning.gepa.proposer_backend",
        "prompt_learning.gepa.rollout.budgt: unknown key; did you mean 'budget'?",
        "prompt_learning.gepa.rollout.max_concurrent: Input should be greater than 0",
        "prompt_learning.gepa.adaptive_pool: Invalid adaptive pool level 'EXTREME'",
    ):
        assert line in done.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seeds = {start = 0, end = 40} -> seeds = [1]\nvalidation_seeds = [1]", "share the examples 1"),
        ("seeds = {start = 0, end = 40} -> test_pool = [1]", "gepa.evaluation.seeds"),
        ('proposer_type = "operators" -> rollout = {budget = 3}', "rollout.budget: 3 does not hold"),
        ('proposer_type = "operators" -> token = {max_spend_usd = 1}', "a money cap needs a price"),
        ('algorithm = "gepa" -> algorithm = "gepa"\nenv_config = {db = "$DB"}', "env_config.db: $DB"),
    ],
)
def test_what_a_run_would_refuse_later_is_said_now(tmp_path: Path, change: str, said: str) -> None:
    old, new = change.split(" -> ")
    assert old in SMALL
    done = check(tmp_path, SMALL.replace(old, new))
    assert done.exit_code == 2
    assert said in done.output


def test_what_is_not_available_is_said_as_run_says_it(tmp_path: Path) -> None:
    text = SMALL.replace('algorithm = "gepa"', 'algorithm = "gepa"\nauto_discover_patterns = true')
    done = check(tmp_path, text)
    assert done.exit_code == 2
    assert "not available yet: prompt_learning.auto_discover_patterns" in done.output
    for command in ("run", "forecast"):
        told = paretune(command, "job.toml", cwd=tmp_path)
        assert told.returncode == 2
        assert "not available yet: prompt_learning.auto_discover_patterns" in told.stderr
    assert not (tmp_path / ".paretune").exists()


def test_a_document_in_order_is_exit_code_0(tmp_path: Path) -> None:
    shutil.copy(DOCUMENTED, tmp_path / "job.toml")
    done = paretune("config", "check", "job.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing is wrong with it" in done.stdout
    broken = paretune("config", "check", "none.toml", cwd=tmp_path)
    assert broken.returncode == 2
    assert "none.toml: no such file" in broken.stderr


def test_only_what_was_given(tmp_path: Path) -> None:
    shown = check(tmp_path, SMALL, "--given").output
    assert "gepa.evaluation.seeds" in shown
    assert "default" not in shown
