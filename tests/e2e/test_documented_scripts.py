"""The documents' own scripts and commands, as printed, against a live server and a live task.

Host names, keys and the job's id come from the environment; the document is the printed one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.cli.follow_job import FIGURES, JobView
from paretune.sdk import StreamMessage, StreamType
from support.chat_server import chat_server
from support.foreign_jobs import reflective
from support.paced_task import PacedTask, paced_task
from support.programs import KEY, json_lines
from support.served import Server, serving

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[2]
PRINTED = ROOT / "tests/config/documented.toml"
TUNNEL = "https://your-tunnel.trycloudflare.com"

QUERY = """
import os
from synth_ai import SynthClient

JOB_ID = "offline_job_id_here"

client = SynthClient(api_key=os.environ["SYNTH_API_KEY"])
job = client.optimization.offline.get(job_id=JOB_ID)

print("status:", job.status())
print("events:", job.events(limit=100))
print("artifacts:", job.artifacts())

# Canonical v1 currently exposes job status/events/artifacts for evaluation.
# Use `job.artifacts()` plus your verifier outputs to inspect winners.
print(job.artifacts())
"""

VALIDATE = """
import httpx

# Send rollouts directly to your container
async with httpx.AsyncClient() as client:
    response = await client.post(
        f"{container_url}/rollout",
        json={
            "trace_correlation_id": "validation-1",
            "env": {"seed": 100},  # Held-out seed
            "policy": {"config": {"prompt_template": optimized_prompt}}
        },
        headers={"X-API-Key": environment_api_key}
    )
    result = response.json()
    print(f"Reward: {result['reward_info']['outcome_reward']}")
"""

TRAIN = """
from synth_ai.sdk.api.train.prompt_learning import PromptLearningJob

job = PromptLearningJob.from_config("my_config.toml")
job.submit()
result = job.poll_until_complete()
print(f"Best score: {result['best_score']}")
"""

COMMAND = ["train", "--type", "prompt_learning", "--config", "my_config.toml", "--poll"]


@pytest.fixture(scope="module")
def task() -> Iterator[PacedTask]:
    with paced_task(key=KEY) as served:
        yield served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with (
        chat_server(reflective) as model,
        serving(tmp_path_factory.mktemp("server"), PARETUNE_PROPOSER_BASE_URL=model) as served,
    ):
        yield served


@pytest.fixture
def folder(task: PacedTask, tmp_path: Path) -> Path:
    """Where the user works: the printed document, with the task's address for the tunnel's."""
    (tmp_path / "my_config.toml").write_text(PRINTED.read_text().replace(TUNNEL, task.url))
    return tmp_path


def environment(server: Server, *paths: Path) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "SYNTH_BACKEND_URL": server.url,
        "SYNTH_API_KEY": "sk_test",
        "ENVIRONMENT_API_KEY": KEY,
        "PYTHONPATH": os.pathsep.join([*map(str, paths), inherited]),
    }


def script(code: str, folder: Path, server: Server) -> str:
    """What the script prints, run with the package of the printed import paths beside ours."""
    (folder / "script.py").write_text(code)
    variables = environment(server, ROOT / "packages/synth-ai/src")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=variables, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(server: Server, task: PacedTask, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The id of a job that the printed script did, and what that printed."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_config.toml").write_text(PRINTED.read_text().replace(TUNNEL, task.url))
    told = script(TRAIN, folder, server)
    newest = server.get("/api/v1/offline/jobs")["items"][0]
    return newest["job_id"], told


def test_the_printed_training_script_prints_the_best_score(server: Server, trained: tuple[str, str]) -> None:
    job_id, told = trained
    job = server.job(job_id)
    assert job["status"] == "succeeded"
    assert told.splitlines()[-1] == f"Best score: {job['best_score']}"


def test_the_printed_query_tells_what_the_server_has(
    server: Server, trained: tuple[str, str], folder: Path
) -> None:
    job_id, _ = trained
    lines = script(QUERY.replace("offline_job_id_here", job_id), folder, server).splitlines()
    told = dict(line.split(": ", 1) for line in lines[:3])
    assert eval(told["status"])["best_score"] == server.job(job_id)["best_score"]
    assert eval(told["events"])["events"] == server.events(job_id, limit=100)
    assert eval(told["artifacts"]) == eval(lines[3])
    assert {one["name"] for one in eval(told["artifacts"])["artifacts"]} >= {"prompt.txt", "prompt.json"}


def test_the_printed_validation_gets_a_reward_for_the_optimized_prompt(
    server: Server, trained: tuple[str, str], task: PacedTask, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, _ = trained
    best = server.job(job_id)["best_prompt"]
    body = VALIDATE.replace('{"seed": 100}', '{"seed": 99}')  # this task has seeds 0 to 99
    names = "container_url, optimized_prompt, environment_api_key"
    code = f"async def validate({names}):\n{textwrap.indent(body, '    ')}"
    scope: dict[str, object] = {}
    exec(compile(code, "validate", "exec"), scope)
    asyncio.run(scope["validate"](task.url, best, KEY))  # type: ignore[operator]
    assert capsys.readouterr().out in ("Reward: 0.0\n", "Reward: 1.0\n")


def test_the_printed_command_trains(server: Server, folder: Path) -> None:
    code = "from paretune.cli import main; main()"  # what the package's script `synth-ai` calls
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND],
        cwd=folder,
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    job = server.job(done.stdout.split()[1])
    assert f"best score               {job['best_score']:.4f}" in done.stdout


def test_the_command_tells_programs_in_lines_what_the_server_knows(server: Server, folder: Path) -> None:
    code = "from paretune.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "--json"],
        cwd=folder,
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    first, *lines, figures, result = json_lines(done.stdout)
    job_id = first["job_id"]
    assert (first["kind"], figures["kind"], result["kind"]) == ("submitted", "figures", "result")
    status, happened = server.job(job_id), server.events(job_id)
    told = {name: figures[name] for name in FIGURES if name in figures}
    assert told == {name: status[name] for name in told}
    assert {"best_score", "rollouts_completed", "rollouts_total", "phase"} <= told.keys()
    assert (result["job_id"], result["status"], result["best_score"]) == (
        job_id,
        "succeeded",
        status["best_score"],
    )
    seen = [(line["seq"], f"prompt.learning.{line['event']}") for line in lines if line["kind"] == "event"]
    assert seen == [(e["seq"], e["type"]) for e in happened if e["type"].startswith("prompt.learning.")]


def test_a_terminal_shows_what_the_events_tell(server: Server, trained: tuple[str, str]) -> None:
    job_id, _ = trained
    view = JobView(job_id)
    for event in server.events(job_id):
        view.handle(StreamMessage(StreamType.EVENT, job_id, event, event["seq"]))
    status = server.job(job_id)
    view.handle(StreamMessage(StreamType.STATUS, job_id, status))
    shown = view.panel().fitted(80, 24).plain
    assert f"{job_id}  {status['status']}" in shown
    assert f"{status['best_score']:.4f}" in shown
    assert f"{status['rollouts_completed']} of {status['rollouts_total']}" in shown
    assert "job completed" in shown.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_printed_command_runs_from_our_wheels_alone(server: Server, folder: Path, tmp_path: Path) -> None:
    """`uvx --from` the wheels where uv is there, else the same with plain pip."""
    wheels = tmp_path / "wheels"
    packages = [ROOT, ROOT / "packages/synth-ai"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    uv = shutil.which("uv")
    for package in packages:
        build = (
            [uv, "build", "--wheel", "-o", str(wheels)]
            if uv
            else [*pip, "wheel", "--no-deps", "-w", str(wheels)]
        )
        subprocess.run([*build, str(package)], check=True, timeout=300)
    ours, theirs = (next(wheels.glob(f"{name}-*.whl")) for name in ("paretune", "synth_ai"))
    if uv:
        command = [uv, "tool", "run", "--from", str(theirs), "--with", str(ours), "synth-ai"]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
        own = [str(tmp_path / "env/bin/python"), "-m", "pip", "install", "--quiet", str(ours), str(theirs)]
        subprocess.run(own, check=True, timeout=500)
        command = [str(tmp_path / "env/bin/synth-ai")]
    variables = environment(server)
    del variables["PYTHONPATH"]
    done = subprocess.run(
        [*command, *COMMAND, "--json"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    result = json_lines(done.stdout)[-1]
    assert server.job(result["job_id"])["best_score"] == result["best_score"]
