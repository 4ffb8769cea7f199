"""synth-ai 0.9.11: SynthClient, its offline jobs and systems, the older job classes, and candidates."""

import asyncio
import os
import sys

from synth_ai.core.streaming import StreamEndpoints, StreamHandler, StreamType
from synth_ai.core.streaming.streamer import JobStreamer
from synth_ai.sdk.optimization.internal.prompt_learning import PromptLearningJob
from synth_ai.sdk.optimization.internal.prompt_learning_polling import poll_prompt_learning_until_complete

from conformance.client_0911_candidates import KEY, URL, candidate_document, candidates, document, results_of
from conformance.say import full_text, refused, told, until
from synth_ai import SynthClient
from synth_ai.sdk.optimization.policy.job import PolicyOptimizationJob

ENDS = ("prompt.learning.gepa.complete", "learning.policy.gepa.job.completed")
OVER = ("succeeded", "failed", "cancelled")
client = SynthClient(api_key=KEY, base_url=URL)
offline, systems = client.optimization.offline, client.optimization.systems


class Seen(StreamHandler):
    """Every event that the stream hands on."""

    def __init__(self):
        self.events = []

    def handle(self, message):
        if message.stream_type is StreamType.EVENTS:
            self.events.append([message.data["seq"], message.data["type"]])


def waited(job, *states):
    return until(lambda: (found := job.status())["status"] in states and found)


def created():
    job = offline.create(
        kind="gepa_offline", system_name="code words", config=document("job"), metadata={"who": "me"}
    )
    told("offline.create()", "newest", job.job_id)
    told("offline.create(): system", "system", [job.system_id, job.system_name], job=job.job_id)
    told("status(): metadata", "just", job.status()["metadata"]["who"], value="me")
    seen = Seen()
    end = job.stream_until_complete(timeout=120, interval=1.0, handlers=[seen])
    told("stream_until_complete(): status", "state", end["status"], job=job.job_id)
    told(
        "stream_until_complete(handlers): events",
        "events",
        seen.events,
        job=job.job_id,
        first=len(seen.events),
    )
    read = read_stream(job.job_id)
    told("the streamer's reader: events up to its end", "events", read, job=job.job_id, first=len(read))
    told("the streamer's reader: the last of them", "just", read[-1][1] in ENDS, value=True)
    return job.job_id


def read_stream(id):
    ends = StreamEndpoints.offline_job(id, api_version="v1")
    streamer = JobStreamer(base_url=URL + "/api", api_key=KEY, job_id=id, endpoints=ends)

    async def read():
        found = []
        async for message in streamer._stream_events_sse(ends.events_stream_url):
            found.append([message.data["seq"], message.data["type"]])
            if streamer._terminal_seen:  # as its own caller does: after the last byte it would hang
                break
        return found

    return asyncio.run(read())


def asked(id):
    job = offline.get(id)
    told("offline.get(): system", "system", [job.system_id, job.system_name], job=id)
    status = job.status()
    told("status(): status", "state", status["status"], job=id)
    told("status(): best_score", "score", status["best_score"], job=id)
    told("status(): best_reward", "score", status["best_reward"], job=id)
    told(
        "status(): prompt_best_train_score",
        "worth",
        status["prompt_best_train_score"],
        job=id,
        split="pareto",
    )
    told(
        "status(): prompt_best_validation_score",
        "worth",
        status["prompt_best_validation_score"],
        job=id,
        split="select",
    )
    told("status(): best_prompt", "text", full_text(status["best_prompt"]), job=id)
    told("status(): rollouts_completed", "drawn", status["rollouts_completed"], job=id)
    for since in (0, 7):
        events = [[e["seq"], e["type"]] for e in job.events(since_seq=since, limit=50)["events"]]
        told(f"events(since_seq={since}, limit=50)", "events", events, job=id, since=since, first=50)
    texts = {one["name"]: one["content"] for one in job.artifacts()["artifacts"]}
    told("artifacts(): prompt.txt", "text", texts["prompt.txt"], job=id)
    told("checkpoint(): decisions", "decisions", job.checkpoint()["decisions"], job=id)
    told("checkpoint(): run_id", "run", job.checkpoint()["run_id"], job=id)


def old_classes():
    """PromptLearningJob, whose core is compiled, and PolicyOptimizationJob around it."""
    job = PromptLearningJob.from_dict(
        candidate_document("second"), backend_url=URL, api_key=KEY, skip_health_check=True
    )
    id = job.submit()
    told("PromptLearningJob.from_dict().submit()", "newest", id)
    end = job.stream_until_complete(timeout=120)
    told(
        "PromptLearningJob.stream_until_complete(): status",
        "state",
        str(getattr(end.status, "value", end.status)),
        job=id,
    )
    told("PromptLearningJob.stream_until_complete(): best_reward", "score", end.best_reward, job=id)
    told("PromptLearningJob.get_status(): status", "state", job.get_status()["status"], job=id)
    results = job.get_results()
    told("get_results(): best_reward", "score", results["best_reward"], job=id)
    # Its compiled core asks for the job alone, and makes nothing of a best candidate there.
    told("get_results(): best_candidate", "just", results["best_candidate"], value=None)
    told("stream_until_complete().best_candidate", "text", full_text(end.best_candidate), job=id)
    told(
        "query_workflow_state(): status",
        "state",
        job.query_workflow_state()["workflow_state"]["status"],
        job=id,
    )
    told("cancel() of a job that is over: status", "just", job.cancel()["status"], value="failed")
    policy = PolicyOptimizationJob.from_dict(
        config_dict=candidate_document("second"), backend_url=URL, api_key=KEY, skip_health_check=True
    )
    again = policy.submit()
    told("PolicyOptimizationJob.from_dict().submit()", "newest", again)
    polled = poll_prompt_learning_until_complete(
        backend_url=URL,
        api_key=KEY,
        job_id=again,
        timeout=60,
        interval=0.5,
        progress=False,
        on_status=None,
        request_timeout=10,
    )
    told(
        "poll_prompt_learning_until_complete(): status",
        "state",
        str(getattr(polled.status, "value", polled.status)),
        job=again,
    )
    told("poll_prompt_learning_until_complete(): best_reward", "score", polled.best_reward, job=again)
    return id


def lists(id):
    told("offline.list()", "jobs", [one["job_id"] for one in offline.list()["items"]])
    told(
        "offline.list(state=)",
        "jobs",
        [one["job_id"] for one in offline.list(state="succeeded")["items"]],
        state="succeeded",
    )
    system = offline.get(id).system_id
    told(
        "offline.list(system_id=)",
        "jobs",
        [one["job_id"] for one in offline.list(system_id=system)["items"]],
        system=system,
    )
    told(
        "offline.list(system_name=)",
        "jobs",
        [one["job_id"] for one in offline.list(system_name="code words")["items"]],
        system=system,
    )
    found, cursor = [], None
    while True:
        page = offline.list(limit=1, cursor=cursor)
        found += [one["job_id"] for one in page["items"]]
        if not (cursor := page["next_cursor"]):
            break
    told("offline.list(), one at a time by cursor", "jobs", found)


def stopped():
    """Pause, resume, cancel, and another job from the checkpoint."""
    job = offline.create(kind="gepa_offline", system_name="slow", config=document("slow"))
    id = job.job_id
    told("offline.create() of a slow job", "newest", id)
    until(lambda: (job.status()["rollouts_completed"] or 0) > 5)
    reply = job.pause()
    told("pause(): job_id", "just", reply["job_id"], value=id)
    paused = waited(job, "paused", *OVER)
    told("status() after pause()", "state", paused["status"], job=id)
    told("status() after pause()", "just", paused["status"], value="paused")
    told("status() after pause(): rollouts_completed", "drawn", paused["rollouts_completed"], job=id)
    told("checkpoint() of it: decisions", "decisions", job.checkpoint()["decisions"], job=id)
    job.resume()
    running = waited(job, "running", *OVER)
    told("status() after resume()", "just", running["status"], value="running")
    older = PromptLearningJob.from_job_id(id, backend_url=URL, api_key=KEY)
    older.pause(reason="once more")
    told("PromptLearningJob.pause()", "just", waited(job, "paused", *OVER)["status"], value="paused")
    older.resume()
    told("PromptLearningJob.resume()", "just", waited(job, "running", *OVER)["status"], value="running")
    job.cancel()
    told("cancel()", "just", waited(job, *OVER)["status"], value="cancelled")
    told("status() after cancel(): rollouts_completed", "drawn", job.status()["rollouts_completed"], job=id)
    restarted(job, id)
    waiting = offline.create(
        kind="gepa_offline", system_name="slow", config=document("slow"), auto_start=False
    )
    told("offline.create(auto_start=False): status", "state", waiting.status()["status"], job=waiting.job_id)
    told("offline.create(auto_start=False): status", "just", waiting.status()["status"], value="paused")
    told("cancel() of a job that never began", "just", waiting.cancel()["status"], value="cancelled")
    refused("resume() of it", waiting.resume, ["409"], error="HTTPStatusError")


def restarted(job, parent):
    reply = job.restart_from_checkpoint()
    told("restart_from_checkpoint(): child_job_id", "newest", reply["child_job_id"])
    told("the client follows the child", "just", job.job_id, value=reply["child_job_id"])
    told("status(): parent_job_id", "parent", job.status()["parent_job_id"], job=job.job_id)
    end = waited(job, *OVER)
    told("status() of the child: status", "just", end["status"], value="succeeded")
    told("status() of the child: best_score", "score", end["best_score"], job=job.job_id)
    told("status() of the child: rollouts of both", "drawn", end["rollouts_completed"], job=job.job_id)


def of_systems():
    made = systems.create(name="code words", metadata={"a": 1})
    told("systems.create(), a name that is known", "systems", [made.system_id, made.name], named="code words")
    fresh = systems.create(name="another", metadata={"b": [2]})
    told("systems.create()", "systems", [fresh.system_id, fresh.name], named="another")
    got = systems.get(fresh.system_id)
    told("systems.get()", "systems", [got.system_id, got.name], named="another")
    fresh.update(name="renamed")
    told("update(name=)", "systems", [fresh.system_id, fresh.name], named="renamed")
    told("systems.list()", "systems", sorted(one["name"] for one in systems.list()["items"]))
    refused("systems.get() of none", lambda: systems.get("sys_0"), ["404"], error="HTTPError")


def errors(id):
    wrong = SynthClient(api_key="not-a-key", base_url=URL).optimization
    refused("wrong key: offline.get()", lambda: wrong.offline.get(id), ["401"], error="HTTPError")
    refused(
        "wrong key: offline.create()",
        lambda: wrong.offline.create(kind="gepa_offline", system_name="x", config=document("job")),
        ["401"],
        error="HTTPError",
    )
    reader = SynthClient(api_key=os.environ["READ_ONLY"], base_url=URL).optimization.offline.get(id)
    told("a key that may read: status()", "state", reader.status()["status"], job=id)
    refused("a key that may read: cancel()", reader.cancel, ["403"], error="HTTPStatusError")
    refused(
        "unknown job: offline.get()", lambda: offline.get("pl_0000000000000000"), ["404"], error="HTTPError"
    )
    none = PromptLearningJob.from_job_id("pl_0000000000000000", backend_url=URL, api_key=KEY)
    refused("unknown job: PromptLearningJob.get_status()", none.get_status, ["404"], error="ValueError")
    refused("unknown job: PromptLearningJob.cancel()", none.cancel, ["404"], error="RuntimeError")
    refused("unknown job: list_candidates_typed()", none.list_candidates_typed, ["404"], error="HTTPError")

    def create(change=None, **more):
        config = document("job")
        if change:
            change(config["prompt_learning"])
        return offline.create(**{"kind": "gepa_offline", "system_name": "x", "config": config, **more})

    refused(
        "budget = -1",
        lambda: create(lambda d: d["gepa"]["rollout"].update(budget=-1)),
        ["422"],
        error="HTTPError",
    )
    refused("no container", lambda: create(lambda d: d.pop("task_app_url")), ["422"], error="HTTPError")
    refused("kind='eval'", lambda: create(kind="eval"), ["422"], error="HTTPError")
    refused("kind='mipro_offline'", lambda: create(kind="mipro_offline"), ["422"], error="HTTPError")
    refused("an empty document", lambda: create(config={}), ["422"], error="HTTPError")
    online = client.optimization.online
    refused(
        "online.create()",
        lambda: online.create(kind="gepa_online", system_name="x", config=document("job")),
        ["422"],
        error="HTTPError",
    )
    checked = PromptLearningJob.from_dict(candidate_document("job"), backend_url=URL, api_key=KEY)
    refused(
        "the client's own check of a container that wants a key",
        checked.submit,
        ["Container health check failed"],
        error="ValueError",
    )
    before = [one["job_id"] for one in offline.list()["items"]]
    told("jobs, after all that was refused", "jobs", before)


def crowded():
    """More jobs than the server takes."""
    made = []

    def one_more():
        config = document("slow")
        # A prompt of its own: with what the others paid for it would be over at once.
        config["prompt_learning"]["initial_prompt"]["messages"][0]["pattern"] += f" Job {len(made)}."
        made.append(offline.create(kind="gepa_offline", system_name="slow", config=config))

    for _ in range(int(os.environ["AT_WORK"])):
        one_more()
        until(lambda: made[-1].status()["status"] == "running", 10)
    for _ in range(int(os.environ["WAITING"])):
        one_more()
    refused("offline.create() where the queue is full", one_more, ["429"], error="HTTPError")
    for job in made:
        job.cancel()
    told(
        "all cancelled",
        "just",
        [waited(job, *OVER)["status"] for job in made],
        value=["cancelled"] * len(made),
    )


if sys.argv[1:]:
    asked(sys.argv[1])
else:
    first = created()
    asked(first)
    second = old_classes()
    candidates(first)
    results_of(second)
    lists(first)
    of_systems()
    stopped()
    errors(first)
    crowded()
