"""synth-ai 0.6.6: PolicyOptimizationJob from the document to the end, and its MIPRO session."""

import asyncio
import os
import sys
import tomllib
from pathlib import Path

from synth_ai.core.streaming import JobStreamer, StreamEndpoints, StreamHandler, StreamType
from synth_ai.sdk.optimization.policy.mipro_online_session import MiproOnlineSession

from conformance.say import full_text, refused, told, until
from synth_ai.sdk.optimization.policy.job import PolicyOptimizationJob

URL = os.environ["SYNTH_BACKEND_URL"]
OVERRIDES = {"prompt_learning.gepa.rollout.budget": 200}


class Seen(StreamHandler):
    """Every event that the stream hands on."""

    def __init__(self):
        self.events, self.metrics = [], 0

    def handle(self, message):
        if message.stream_type is StreamType.EVENTS:
            self.events.append([message.data["seq"], message.data["type"]])
        if message.stream_type is StreamType.METRICS:
            self.metrics += 1


def read_stream(id):
    """What the vendor's reader of server-sent events makes of the whole stream."""
    ends = StreamEndpoints.prompt_learning(id)
    streamer = JobStreamer(
        base_url=URL + "/api", api_key=os.environ["SYNTH_API_KEY"], job_id=id, endpoints=ends
    )

    async def read():
        path = ends.events_stream_url
        return [[m.data["seq"], m.data["type"]] async for m in streamer._stream_events_sse(path)]

    return asyncio.run(read())


def outcome(result):
    return {
        "status": str(getattr(result.status, "value", result.status)),
        "best_score": result.best_score,
        "text": full_text(result.best_prompt) if result.best_prompt else None,
    }


def streamed():
    job = PolicyOptimizationJob.from_config("job.toml", backend_url=URL)
    id = job.submit()
    told("from_config(...).submit()", "newest", id)
    seen = Seen()
    result = job.stream_until_complete(timeout=120, interval=1.0, handlers=[seen])
    told("stream_until_complete()", "result", outcome(result), job=id)
    # The streamer leaves its loop as soon as it has read the end, with events not yet handed on.
    told("stream_until_complete(handlers): events", "events", seen.events, job=id, first=len(seen.events))
    told("the streamer's reader: all events", "events", read_stream(id), job=id)
    told("stream_until_complete(handlers): metrics", "just", seen.metrics > 0, value=True)
    return id


def asked(id):
    """The same job, by its id alone."""
    job = PolicyOptimizationJob.from_job_id(id, backend_url=URL)
    status = job.get_status()
    told("from_job_id(...).get_status(): status", "state", status["status"], job=id)
    told("get_status(): best_score", "score", status["best_score"], job=id)
    told(
        "get_status(): best_train_score, by the judge",
        "worth",
        status["best_train_score"],
        job=id,
        split="pareto",
    )
    told(
        "get_status(): best_validation_score, by the judge",
        "worth",
        status["best_validation_score"],
        job=id,
        split="select",
    )
    told("get_status(): baseline_score", "baseline", status["baseline_score"], job=id)
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
    for rank in (1, 2, 99):
        told(f"get_best_prompt_text({rank})", "text", job.get_best_prompt_text(rank), job=id, rank=rank)
    refused("get_best_prompt_text(0)", lambda: job.get_best_prompt_text(0), ["ank"], error="ValueError")
    told("query_workflow_state()", "workflow", workflow(job), job=id)
    told("cancel() of a job that is over: status", "just", job.cancel()["status"], value="failed")
    told("get_status(): status, after that", "state", job.get_status()["status"], job=id)


def workflow(job):
    state = job.query_workflow_state()["workflow_state"]
    return {
        "job": state["job_id"],
        "run": state["run_id"],
        "status": state["status"],
        "algorithm": state["algorithm"],
    }


def polled():
    """The other way to submit and to wait: a dictionary in the new words, and polling."""
    section = tomllib.loads(Path("second.toml").read_text())["prompt_learning"]
    section["localapi_url"] = section.pop("task_app_url")
    job = PolicyOptimizationJob.from_dict(
        {"policy_optimization": section}, backend_url=URL, overrides=OVERRIDES
    )
    id = job.submit()
    told("from_dict(policy_optimization, overrides).submit()", "newest", id)
    told(
        "poll_until_complete()", "result", outcome(job.poll_until_complete(timeout=120, interval=0.5)), job=id
    )
    told("get_results(): best_prompt", "text", full_text(job.get_results()["best_prompt"]), job=id)
    told("get_status(): rollouts_total", "budget", job.get_status()["rollouts_total"], job=id)


def without_key():
    """This API key may not upload: the container's key stays here, and the server must say what it misses."""
    job = PolicyOptimizationJob.from_config("job.toml", backend_url=URL, api_key=os.environ["SUBMIT_ONLY"])
    id = job.submit()
    told("submit() where the key's upload is refused", "newest", id)
    result = job.poll_until_complete(timeout=60, interval=0.3)
    told(
        "poll_until_complete(): status", "state", str(getattr(result.status, "value", result.status)), job=id
    )
    told("result.error names the key", "just", "ENVIRONMENT_API_KEY" in (result.error or ""), value=True)
    told("result.error", "detail", result.error, job=id)
    told("environment keys that the server has", "uploaded", [])


def cancelled():
    job = PolicyOptimizationJob.from_config("slow.toml", backend_url=URL)
    id = job.submit()
    told("submit() of a slow job", "newest", id)
    until(lambda: (job.get_status()["rollouts_completed"] or 0) > 5)
    told("query_workflow_state() at work", "workflow", workflow(job), job=id)
    reply = job.cancel(reason="seen enough")
    told("cancel(reason=): status", "just", reply["status"] in ("succeeded", "partial"), value=True)
    told("cancel(reason=): job_id", "just", reply["job_id"], value=id)
    told("cancel(reason=): attempt_id", "run", reply["attempt_id"], job=id)
    result = job.poll_until_complete(timeout=60, interval=0.3)
    told(
        "poll_until_complete() of it: status",
        "state",
        str(getattr(result.status, "value", result.status)),
        job=id,
    )
    told(
        "poll_until_complete() of it: status",
        "just",
        str(getattr(result.status, "value", result.status)),
        value="cancelled",
    )
    streamed = job.stream_until_complete(timeout=30, interval=1.0)
    told(
        "stream_until_complete() of it: status",
        "state",
        str(getattr(streamed.status, "value", streamed.status)),
        job=id,
    )
    told("query_workflow_state() of it", "workflow", workflow(job), job=id)
    told("get_status() of it: rollouts_completed", "drawn", job.get_status()["rollouts_completed"], job=id)


def errors(id):
    def of(id, **more):
        return PolicyOptimizationJob.from_job_id(id, backend_url=URL, **more)

    def submitted(old, new, source="job.toml"):
        Path("bad.toml").write_text(Path(source).read_text().replace(old, new))
        return PolicyOptimizationJob.from_config("bad.toml", backend_url=URL).submit()

    wrong = of(id, api_key="not-a-key")
    refused("wrong key: get_status()", wrong.get_status, ["401"], error="HTTPError")
    refused("wrong key: cancel()", wrong.cancel, ["401"], error="RuntimeError")
    refused("wrong key: get_results()", wrong.get_results, ["401"], error="HTTPError")
    unknown = of("pl_0000000000000000")
    refused("unknown job: get_status()", unknown.get_status, ["404"], error="HTTPError")
    refused("unknown job: cancel()", unknown.cancel, ["404"], error="RuntimeError")
    refused(
        "unknown job: stream_until_complete()",
        lambda: unknown.stream_until_complete(timeout=5),
        ["404"],
        error="Exception",
    )
    refused("an id that is none: get_status()", of("bad").get_status, ["pl_"], error="ValueError")
    told(
        "unknown job: query_workflow_state()",
        "just",
        unknown.query_workflow_state()["workflow_state"],
        value=None,
    )
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
        "no model: submit()",
        lambda: submitted('provider = "openai"', 'provider = "nobody"'),
        ["provider"],
        error="ClickException",
    )

    def online():
        key = os.environ["SYNTH_API_KEY"]
        return MiproOnlineSession.create(backend_url=URL, api_key=key, config_body={"prompt_learning": {}})

    refused("MiproOnlineSession.create()", online, ["online sessions"], error="HTTPError")


if sys.argv[1:]:
    asked(sys.argv[1])
else:
    without_key()
    first = streamed()
    told("environment keys that the server has", "uploaded", ["ENVIRONMENT_API_KEY"])
    asked(first)
    polled()
    cancelled()
    errors(first)
