"""The command line as a user meets it: real processes, a real container, a scripted model on loopback."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chat_server import chat_server
from support.foreign_jobs import SEEDS_JOB, reflective
from support.programs import KEY, counted, json_lines, paretune, running

MODEL_KEY = "sk-canary-of-the-proposer"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with one finished run, and the address of its container."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "job.toml").write_text(SEEDS_JOB)
    with running("good_http_server.py") as url, chat_server(reflective, key=MODEL_KEY) as model:
        done = paretune(
            "run",
            "job.toml",
            cwd=folder,
            TASK_APP_URL=url,
            PARETUNE_PROPOSER_BASE_URL=model,
            PARETUNE_PROPOSER_API_KEY=MODEL_KEY,
        )
        assert done.returncode == 0, done.stderr
        again = paretune(
            "run",
            "job.toml",
            "--json",
            cwd=folder,
            TASK_APP_URL=url,
            PARETUNE_PROPOSER_BASE_URL=model,
            PARETUNE_PROPOSER_API_KEY=MODEL_KEY,
        )
        assert again.returncode == 0, again.stderr
        (folder / "count.json").write_text(json.dumps(counted(url)))
        (folder / "again.json").write_text(again.stdout)
        yield folder, url


def test_a_second_run_asks_for_nothing_and_ends_the_same(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    first, second = (
        json.loads(paretune("show", run, "--json", cwd=folder).stdout)["result"] for run in run_ids(folder)
    )
    total = json.loads((folder / "count.json").read_text())["total"]
    assert total == first["rollouts"]
    for key in ("best", "test", "rollouts", "lift", "stopped"):
        assert first[key] == second[key]


def run_ids(folder: Path) -> list[str]:
    listed = json.loads(paretune("runs", "--json", cwd=folder).stdout)
    return sorted(run["id"] for run in listed)


def test_a_run_is_told_in_lines_of_json_with_the_figures_of_show(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    lines = json_lines((folder / "again.json").read_text())
    shown = json.loads(paretune("show", lines[0]["run_id"], "--json", cwd=folder).stdout)
    assert {(line["version"], line["run_id"]) for line in lines} == {(1, shown["result"]["run_id"])}
    events, figures = ([line for line in lines if line["kind"] == kind] for kind in ("event", "figures"))
    assert {name: lines[-1][name] for name in shown} == shown
    assert (lines[-1]["kind"], lines[-2]["kind"]) == ("result", "figures")
    assert {name: lines[-2][name] for name in shown["figures"]} == shown["figures"]
    decided = json.loads(paretune("events", "list", lines[0]["run_id"], "--json", cwd=folder).stdout)
    told = [(line["seq"], line["event"]) for line in events]
    assert set(told) <= {(one["seq"], one["kind"]) for one in decided}
    assert [seq for seq, _ in told] == sorted({seq for seq, _ in told})
    assert (told[0][1], told[-1][1]) == ("run_started", "run_finished")
    assert [line["rollouts"] for line in figures] == sorted(line["rollouts"] for line in figures)
    best, test = shown["figures"]["heldout"], shown["result"]["lift"][0]
    assert (best["split"], best["change"]) == (test["split"], test["comparison"])
    assert 0 <= best["best"]["low"] <= best["best"]["mean"] == test["after"] <= best["best"]["high"] <= 1


def test_show_says_what_each_key_did(finished: tuple[Path, str]) -> None:
    shown = paretune("show", cwd=finished[0]).stdout
    assert "untouched: no choice was made on these examples" in shown
    assert "gepa.rollout.budget" in shown
    assert "rollouts drawn" in shown


def test_the_record_verifies_replays_and_travels(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    run = run_ids(folder)[0]
    for check in ("verify", "replay"):
        assert paretune("events", check, run, cwd=folder).returncode == 0
    assert paretune("export", run, str(tmp_path / "packet"), cwd=folder).returncode == 0
    assert (tmp_path / "packet" / "best").is_dir()
    elsewhere = paretune("show", run, "--store", str(tmp_path / "packet"), "--json", cwd=tmp_path)
    assert json.loads(elsewhere.stdout)["result"]["run_id"] == run
    assert paretune("import", str(tmp_path / "packet"), cwd=tmp_path).returncode == 0
    assert paretune("events", "replay", run, cwd=tmp_path).returncode == 0


def test_an_edited_record_is_found_out(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    run = run_ids(folder)[0]
    paretune("export", run, str(tmp_path / "packet"), cwd=folder)
    with sqlite3.connect(tmp_path / "packet" / "workspace.sqlite") as database:
        (body,) = database.execute("SELECT body FROM decisions WHERE seq = 1").fetchone()
        edited = json.dumps({**json.loads(body), "step": 99})
        database.execute("UPDATE decisions SET body = ? WHERE seq = 1", [edited])
    database.close()
    done = paretune("events", "verify", run, "--store", str(tmp_path / "packet"), cwd=tmp_path)
    assert done.returncode == 1
    assert "was changed after it was written" in done.stderr


def test_no_key_is_written_anywhere(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    for path in written:
        data = path.read_bytes()
        assert MODEL_KEY.encode() not in data, path
        assert KEY.encode() not in data, path


def test_forecast_pays_nothing(finished: tuple[Path, str]) -> None:
    folder, url = finished
    before = counted(url)["total"]
    done = paretune("forecast", "job.toml", cwd=folder, TASK_APP_URL=url)
    assert done.returncode == 0, done.stderr
    assert "budget: 300 rollouts" in done.stdout
    assert counted(url)["total"] == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("minibatch_size = 6 -> minibach_size = 6", "did you mean 'minibatch_size'"),
        ("budget = 300 -> budget = 30", "rollout.budget"),
        ('algorithm = "gepa" -> algorithm = "mipro"', "mipro.bootstrap_train_seeds"),
        ("end = 40 -> end = 70", "share the examples 60"),
        ('algorithm -> env_config = {db = "$DB"}\nalgorithm', "env_config.db: $DB is not looked up"),
    ],
)
def test_bad_input_is_exit_code_2_and_names_the_field(
    change: str, told: str, finished: tuple[Path, str], tmp_path: Path
) -> None:
    old, new = change.split(" -> ")
    assert old in SEEDS_JOB
    (tmp_path / "job.toml").write_text(SEEDS_JOB.replace(old, new))
    done = paretune(
        "run",
        "job.toml",
        cwd=tmp_path,
        TASK_APP_URL=finished[1],
        PARETUNE_PROPOSER_BASE_URL="http://127.0.0.1:1/v1",
    )
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_stops_the_run_and_says_so(finished: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(SEEDS_JOB)
    done = paretune(
        "run",
        "job.toml",
        cwd=tmp_path,
        TASK_APP_URL=finished[1],
        ENVIRONMENT_API_KEY="wrong",
        PARETUNE_PROPOSER_BASE_URL="http://127.0.0.1:1/v1",
    )
    assert done.returncode == 1
    assert "unauthorised" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_its_cap_kept_from_its_end_goes_on_under_a_larger_one(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    capped = 'proposer_type = "operators"\n[prompt_learning.termination_config]\nmax_policy_tokens = 1200\n'
    (tmp_path / "job.toml").write_text(f"{SEEDS_JOB}\n[prompt_learning.gepa]\n{capped}")

    def called(*arguments: str, code: int) -> str:
        done = paretune(*arguments, cwd=tmp_path, TASK_APP_URL=finished[1])
        assert done.returncode == code, done.stderr
        return done.stdout if not code else done.stderr

    assert "the budget ended before the closing evaluation" in called("run", "job.toml", code=1)
    told = called("resume", "last", "--max-policy-tokens", "100", code=2)
    assert "--max-policy-tokens: 100 is below what run_" in told
    said = json_lines(called("resume", "last", "--max-policy-tokens", "99999", "--json", code=0))[-1]
    assert said["result"]["status"] == "succeeded"
    assert said["usage"]["by_role"]["rollout"]["prompt_tokens"] > 1200
    kept = json.loads(next(tmp_path.rglob("config.json")).read_text())["limits"]
    assert (kept["rollout_tokens"], kept["rollouts"]) == (99999, 300)
    assert "has succeeded" in called("resume", "--max-seconds", "9", code=2)
