"""synth-ai 0.9.11: candidates, typed and not, and the results that its Python client makes of events."""

import asyncio
import os
import tomllib
from pathlib import Path

from synth_ai.sdk.optimization.internal.learning.prompt_learning_client import PromptLearningClient
from synth_ai.sdk.optimization.internal.prompt_learning import PromptLearningJob

from conformance.say import full_text, refused, told
from synth_ai import SynthClient
from synth_ai.sdk.optimization.policy.job import PolicyOptimizationJob

URL, KEY = os.environ["SYNTH_BACKEND_URL"], os.environ["SYNTH_API_KEY"]
offline = SynthClient(api_key=KEY, base_url=URL).optimization.offline


def document(name):
    return tomllib.loads(Path(f"{name}.toml").read_text())


def candidate_document(name):
    """The same in the words of 0.9: a container, and the prompt as an initial candidate."""
    found = document(name)
    section = found["prompt_learning"]
    section["container_url"] = section.pop("task_app_url")
    messages = section.pop("initial_prompt")["messages"]
    messages = [{"role": m["role"], "content": m["pattern"]} for m in messages]
    section["gepa"]["initial_candidate"] = {"stages": [{"stage_id": "main", "messages": messages}]}
    return found


def typed(candidate):
    raw = candidate.raw
    return [
        candidate.candidate_id,
        raw["generation"],
        raw["parents"],
        candidate.candidate_content,
        candidate.reward,
    ]


def candidates(id):
    of = {
        "PromptLearningJob": PromptLearningJob.from_job_id(id, backend_url=URL, api_key=KEY),
        "PolicyOptimizationJob": PolicyOptimizationJob.from_dict(
            config_dict=candidate_document("job"), backend_url=URL, api_key=KEY
        ),
    }
    of["PolicyOptimizationJob"]._job_id = id
    for name, job in of.items():
        page = job.list_candidates_typed(include="artifact_payload", sort="created")
        told(f"{name}.list_candidates_typed()", "candidates", [typed(one) for one in page.items], job=id)
    told("artifact_kind of each", "just", sorted({one.artifact_kind for one in page.items}), value=["prompt"])
    payloads = ["\n\n".join(m["content"] for m in one.artifact_payload["messages"]) for one in page.items]
    told("artifact_payload of each: its texts", "contents", payloads, job=id)
    told("page.job_id", "just", page.job_id, value=id)
    job = of["PromptLearningJob"]
    ranks = sorted(
        [one.raw["rank"], one.candidate_id]
        for one in job.list_candidates_typed().items
        if one.raw.get("rank")
    )
    told("rank of the finalists", "ranked", [cid for _, cid in ranks], job=id, only=[cid for _, cid in ranks])
    found, cursor = [], None
    while True:
        page = job.list_candidates_typed(limit=2, cursor=cursor, sort="created")
        found += [one.candidate_id for one in page.items]
        if not (cursor := page.next_cursor):
            break
    told("two at a time, by cursor", "ids", found, job=id)
    accepted = [
        one.candidate_id for one in job.list_candidates_typed(status="rejected", sort="created").items
    ]
    told("list_candidates_typed(status='rejected')", "rejected", accepted, job=id)
    best = ranks[0][1]
    told("get_candidate_typed()", "candidate", typed(job.get_candidate_typed(best)), job=id, id=best)
    told("get_candidate(): candidate_id", "just", job.get_candidate(best)["candidate_id"], value=best)
    lower = PromptLearningClient(base_url=URL, api_key=KEY)
    told(
        "client.get_global_candidate()",
        "just",
        asyncio.run(lower.get_global_candidate(best))["candidate_id"],
        value=best,
    )
    system = offline.get(id).system_id
    listed = asyncio.run(lower.list_system_candidates(system, job_id=id, sort="created"))
    told("client.list_system_candidates()", "ids", [one["candidate_id"] for one in listed["items"]], job=id)
    refused(
        "get_candidate() of no candidate", lambda: job.get_candidate("c_nothing"), ["404"], error="HTTPError"
    )


def results_of(id):
    """The Python client, which reads the events."""
    lower = PromptLearningClient(base_url=URL, api_key=KEY)
    found = asyncio.run(lower.get_prompts(id))
    told("client.get_prompts(): best_candidate", "text", full_text(found.best_candidate), job=id)
    told("client.get_prompts(): best_reward", "score", found.best_reward, job=id)
    told("client.get_prompts(): total_rollouts", "drawn", found.total_rollouts, job=id)
    told(
        "client.get_prompts(): validation_results",
        "heldout_scores",
        sorted([v["candidate_id"], v["accuracy"]] for v in found.validation_results),
        job=id,
    )
    told(
        "client.get_prompts(): attempted_candidates",
        "attempted",
        [[c["candidate_id"], c.get("accuracy")] for c in found.attempted_candidates],
        job=id,
    )
    told("client.get_job(): status", "state", asyncio.run(lower.get_job(id))["status"], job=id)
    events = asyncio.run(lower.get_events(id))
    told("client.get_events()", "events", [[e["seq"], e["type"]] for e in events], job=id)
    told("client.get_prompts(): best_candidate_content", "content", found.best_candidate_content, job=id)
    summary = asyncio.run(lower.get_scoring_summary(id))
    told("client.get_scoring_summary(): best_train_accuracy", "score", summary["best_train_accuracy"], job=id)
    told("client.get_scoring_summary(): best_val_accuracy", "heldout", summary["best_val_accuracy"], job=id)
