"""synth-ai 0.4.1: PromptLearningJob, its poller and its streamer; the command line comes after it."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from synth_ai.sdk.learning.prompt_learning_client import PromptLearningClient

from conformance.say import full_text, refused, told, until
from synth_ai.sdk.api.train.prompt_learning import PromptLearningJob, PromptLearningJobPoller
from synth_ai.sdk.streaming import JobStreamer, StreamEndpoints, StreamHandler, StreamType

URL, KEY = os.environ["BACKEND_BASE_URL"], os.environ["SYNTH_API_KEY"]


class Seen(StreamHandler):
    """Every event that the stream hands on."""

    def __init__(self):
        self.events, self.metrics = [], 0

    def handle(self, message):
        if message.stream_type is StreamType.EVENTS:
            self.events.append([message.data["seq"], message.data["type"]])
        if message.stream_type is StreamType.METRICS:
            self.metrics += 1


def outcome(payload):
    prompt = payload["best_prompt"]
    return {
        "status": payload["status"],
        "best_score": payload["best_score"],
        "text": full_text(prompt) if prompt else None,
    }


def polled():
    job = PromptLearningJob.from_config("job.toml", backend_url=URL)
    id = job.submit()
    told("from_config(...).submit()", "newest", id)
    told(
        "poll_until_complete()", "result", outcome(job.poll_until_complete(timeout=120, interval=0.5)), job=id
    )
    poller = PromptLearningJobPoller(base_url=URL, api_key=KEY, interval=0.5, timeout=30)
    told("PromptLearningJobPoller.poll_job(): status", "state", poller.poll_job(id).status, job=id)
    return id


def asked(id):
    """The same job, by its id alone."""
    job = PromptLearningJob.from_job_id(id, backend_url=URL)
    status = job.get_status()
    told("from_job_id(...).get_status(): status", "state", status["status"], job=id)
    told("get_status(): best_score", "score", status["best_score"], job=id)
    told("get_status(): best_score, by the judge", "worth", status["best_score"], job=id, split="pareto")
    told("get_status(): rollouts_completed", "drawn", status["rollouts_completed"], job=id)
    results = job.get_results()
    told("get_results(): best_score", "score", results["best_score"], job=id)
    told("get_results(): best_prompt", "text", full_text(results["best_prompt"]), job=id)
    told("get_results(): top_prompts", "texts", [top["full_text"] for top in results["top_prompts"]], job=id)
    told(
        "get_results(): attempted_candidates",
        "attempted",
        [[c["candidate_id"], c.get("accuracy")] for c in results["attempted_candidates"]],
        job=id,
    )
    told(
        "get_results(): validation_results",
        "heldout_scores",
        sorted([v["candidate_id"], v["accuracy"]] for v in results["validation_results"]),
        job=id,
    )
    optimized = [[one["rank"], one["score"]["accuracy"]] for one in results["optimized_candidates"]]
    told(
        "get_results(): optimized_candidates, the first",
        "just",
        optimized[0],
        value=[1, status["best_score"]],
    )
    for rank in (1, 2, 99):
        told(f"get_best_prompt_text({rank})", "text", job.get_best_prompt_text(rank), job=id, rank=rank)
    refused("get_best_prompt_text(0)", lambda: job.get_best_prompt_text(0), ["ank"], error="ValueError")
    lower = PromptLearningClient(URL + "/api", KEY)
    summary = asyncio.run(lower.get_scoring_summary(id))
    told("client.get_scoring_summary(): best_train_accuracy", "score", summary["best_train_accuracy"], job=id)
    told("client.get_scoring_summary(): best_val_accuracy", "heldout", summary["best_val_accuracy"], job=id)


def streamed():
    job = PromptLearningJob.from_config("second.toml", backend_url=URL)
    id = job.submit()
    told("submit() of another", "newest", id)
    seen = Seen()
    ends = StreamEndpoints.prompt_learning(id)
    made = {"base_url": URL + "/api", "api_key": KEY, "job_id": id, "endpoints": ends}
    end = asyncio.run(JobStreamer(**made, handlers=[seen], timeout_seconds=120).stream_until_terminal())
    told("JobStreamer.stream_until_terminal(): status", "state", end["status"], job=id)
    # It leaves its loop as soon as it has read the end, with events not yet handed on.
    told("JobStreamer(handlers): events", "events", seen.events, job=id, first=len(seen.events))
    told("JobStreamer(handlers): metrics", "just", seen.metrics > 0, value=True)
    streamer = JobStreamer(**made)

    async def read():
        path = ends.events_stream_url
        return [[m.data["seq"], m.data["type"]] async for m in streamer._stream_events_sse(path)]

    told("the streamer's reader: all events", "events", asyncio.run(read()), job=id)


def stopped():
    """0.4.1 cannot cancel; somebody else does, and its poller must see it."""
    job = PromptLearningJob.from_config("slow.toml", backend_url=URL)
    id = job.submit()
    told("submit() of a slow job", "newest", id)
    until(lambda: (job.get_status()["rollouts_completed"] or 0) > 5)
    told("get_status() at work", "state", job.get_status()["status"], job=id)
    path = f"{URL}/api/prompt-learning/online/jobs/{id}/cancel"
    urlopen(Request(path, b"{}", {"X-API-Key": KEY, "Content-Type": "application/json"}), timeout=10).close()
    told(
        "poll_until_complete() of it: status",
        "just",
        job.poll_until_complete(timeout=60, interval=0.3)["status"],
        value="cancelled",
    )
    told("get_status() of it: rollouts_completed", "drawn", job.get_status()["rollouts_completed"], job=id)


def errors(id):
    def of(id, **more):
        return PromptLearningJob.from_job_id(id, backend_url=URL, **more)

    def submitted(old, new, **more):
        Path("bad.toml").write_text(Path("job.toml").read_text().replace(old, new))
        return PromptLearningJob.from_config("bad.toml", backend_url=URL, **more).submit()

    refused(
        "wrong key: submit()",
        lambda: submitted("NAME", "x", api_key="not-a-key"),
        ["401", "key"],
        error="RuntimeError",
    )
    refused("wrong key: get_status()", of(id, api_key="not-a-key").get_status, ["401"], error="HTTPError")
    refused("wrong key: get_results()", of(id, api_key="not-a-key").get_results, ["401"], error="HTTPError")
    refused("unknown job: get_status()", of("pl_0000000000000000").get_status, ["404"], error="HTTPError")
    refused("unknown job: get_results()", of("pl_0000000000000000").get_results, ["404"], error="HTTPError")
    refused("an id that is none: get_status()", of("bad").get_status, ["pl_"], error="ValueError")
    refused(
        "budget = 0: submit()",
        lambda: submitted("budget = 300", "budget = 0"),
        ["budget"],
        error="ClickException",
    )
    refused(
        "a misspelt section: submit()",
        lambda: submitted("gepa.rollout]", "gepa.rolout]"),
        ["422", "rolout"],
        error="RuntimeError",
    )
    spec = '"spec"\nspec_path = "spec.json"'
    refused(
        "proposer_type = 'spec': submit()",
        lambda: submitted('"dspy"', spec),
        ["422", "not available yet"],
        error="RuntimeError",
    )
    refused(
        "no inference_mode: submit()",
        lambda: submitted('inference_mode = "synth_hosted"', ""),
        ["inference_mode"],
        error="ClickException",
    )
    refused(
        "a container that is away: submit()",
        lambda: submitted("127.0.0.1:", "127.0.0.1:1"),
        ["health"],
        error="ValueError",
    )


def command_line():
    """`synth-ai train`, which submits, streams, and writes its files."""
    Path("results").mkdir()
    text = Path("job.toml").read_text().replace("(job)", "(cli)")
    Path("cli.toml").write_text(
        text.replace('algorithm = "gepa"', 'algorithm = "gepa"\nresults_folder = "results"')
    )
    command = [
        str(Path(sys.executable).with_name("synth-ai")),
        "train",
        "cli.toml",
        "--type",
        "prompt",
        "--poll",
        "--poll-interval",
        "1",
        "--backend",
        URL,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    print(done.stdout[-3000:], done.stderr[-3000:])
    (id,) = set(re.findall(r"pl_[0-9a-f]{16}", done.stdout)) or [""]
    told("synth-ai train --poll: job", "newest", id)
    told("synth-ai train --poll: exit code", "just", done.returncode, value=0)
    told("its final status", "state", *re.findall(r"Final status: (\w+)", done.stdout), job=id)
    files = sorted({re.sub(r"_\d{8}_\d{6}", "", path.name) for path in Path("results").iterdir()})
    told("its files", "just", files, value=[f"gepa_log_{id}.log", f"gepa_results_{id}.txt"])
    written = next(Path("results").glob("gepa_results*")).read_text()
    told(
        "its results file: accuracy of the first",
        "score",
        *map(float, re.findall(r"^\[1\] Accuracy: ([\d.]+) .* Tool", written, re.MULTILINE)),
        job=id,
    )
    told(
        "its results file: the first's text",
        "content",
        "\n\n".join(re.findall(r"^  \[[A-Z]+\]: (.*)$", written, re.MULTILINE)[:2]),
        job=id,
    )
    refused_by = subprocess.run(
        command, env={**os.environ, "SYNTH_API_KEY": "not-a-key"}, capture_output=True, text=True, timeout=60
    )
    told("with a wrong key: exit code", "just", refused_by.returncode, value=1)
    told("with a wrong key: it says", "just", "401" in refused_by.stdout, value=True)


if sys.argv[1:]:
    asked(sys.argv[1])
else:
    first = polled()
    asked(first)
    streamed()
    stopped()
    errors(first)
    command_line()
