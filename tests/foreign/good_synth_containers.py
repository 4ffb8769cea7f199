"""A task container made with the public synth-containers 0.4.6 `Container` class.

    python good_synth_containers.py PORT

v2 dialect: tasks "item-0".."item-99" in the splits train (0..69) and test (70..99), the
candidate arrives as {"instructions": text}.  The model is simulated.  As in the package, a
rollout that does not name its submission_mode is accepted and worked off asynchronously.
"""

import hmac
import json
import os
import socket
import sys
import threading

import uvicorn
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from synth_containers import Container
from synth_containers.sdk import ActionableSideInfo, ObjectiveScore, RolloutResult

SEED_TEXT = "Look up the code word of the item. Put the answer in double quotes."
SPLITS = {"train": range(70), "test": range(70, 100)}

WORDS = ["falcon", "river", "candle", "mirror", "forest", "bridge", "copper", "garden", "shadow", "castle"]

RULES = {
    "upper case": ("answer in upper case", ("upper case", "uppercase", "capital letters")),
    "punctuation": ("use no punctuation", ("punctuation",)),
    "one word": ("answer with one word", ("one word", "single word")),
    "item number": ("give the item number after the word", ("item number", "number of the item")),
    "quotes": ("put the answer in double quotes", ("quotes", "quotation marks")),
    "polite": ("end with a thank you", ("thank",)),
}

container = Container("code-words", description="Tell the code word of an item.")


def task_row(item, split):
    return {
        "task_id": f"item-{item}",
        "split": split,
        "text": f"Tell the code word of item {item}.",
        "metadata": {"difficulty": "easy" if item % 2 else "hard"},
    }


ROWS = {f"item-{item}": (item, split) for split, items in SPLITS.items() for item in items}


def simulated_model(prompt, item):
    """Follows exactly the house rules that the prompt spells out."""
    prompt = prompt.lower()
    follows = {name: any(word in prompt for word in words) for name, (_, words) in RULES.items()}
    answer = WORDS[item % len(WORDS)]
    if not follows["one word"]:
        answer = f"the code word is {answer}"
    if follows["item number"]:
        answer = f"{answer} {item}"
    if not follows["punctuation"]:
        answer += "."
    if follows["upper case"]:
        answer = answer.upper()
    if follows["quotes"]:
        answer = f'"{answer}"'
    return (answer, "thank you") if follows["polite"] else (answer, "")


def verify(item, answer, closing):
    name = list(RULES)[(item * 11 + item // 6) % len(RULES)]
    bare = answer.strip('"').rstrip(".").split()
    kept = {
        "upper case": answer == answer.upper(),
        "punctuation": "." not in answer,
        "one word": sum(part.isalpha() for part in bare) == 1,
        "item number": str(item) in bare,
        "quotes": answer.startswith('"') and answer.endswith('"'),
        "polite": closing == "thank you",
    }[name]
    if kept:
        return 1.0, "Correct."
    return 0.0, f"Wrong: {answer} is not accepted for item {item}. The prompt must say: {RULES[name][0]}."


@container.metadata_route
def metadata():
    return {"metadata": {"task_family": "code-words"}}


@container.task_info
def task_info():
    return {
        "task": {"task_id": "code-words", "task_name": "Code words"},
        "output_space": {"kind": "text"},
        "proposer_hints": ["The feedback of a failed item says which sentence the prompt lacks."],
        "metadata": {},
    }


@container.taskset
def taskset():
    return {
        "taskset_id": "code-words",
        "splits": {
            name: {"size": len(items), "task_ids": [f"item-{i}" for i in items]}
            for name, items in SPLITS.items()
        },
        "labels": [],
        "source": "synthetic",
        "metadata": {},
    }


@container.taskset_tasks
def taskset_tasks(request):
    split = request["split"]
    if split not in SPLITS:
        raise HTTPException(status_code=404, detail=f"unknown split: {split}")
    ids = request["task_ids"] or [f"item-{item}" for item in SPLITS[split]]
    tasks = []
    for task_id in ids:
        item, home = ROWS.get(task_id, (None, None))
        if home != split:
            raise HTTPException(status_code=404, detail=f"no task {task_id} in split {split}")
        tasks.append(task_row(item, split))
    return {"tasks": tasks, "metadata": {"split": split}}


@container.program
def program():
    return {
        "version": "prompt_program.v1",
        "program_id": "code-words",
        "modules": [
            {
                "module_id": "answerer",
                "role": "system",
                "content": SEED_TEXT,
                "mutable": True,
                "candidate_field": "instructions",
                "template_variables": [],
                "metadata": {},
            }
        ],
        "target_modules": [
            {
                "module_id": "answerer",
                "candidate_field": "instructions",
                "objective": "outcome_reward",
                "metadata": {},
            }
        ],
        "seed_candidate": {"instructions": SEED_TEXT},
        "rollout_overlay_schema": {"candidate_fields": ["instructions"]},
        "metadata": {},
    }


@container.rollout
def rollout(request):
    task = request.get("task")
    task_id = task.get("task_id") if isinstance(task, dict) else None
    if task_id not in ROWS:
        raise HTTPException(status_code=422, detail=f"unknown task: {task_id!r}")
    candidate = request.get("candidate")
    if not isinstance(candidate, dict) or not isinstance(candidate.get("instructions"), str):
        raise HTTPException(status_code=422, detail="candidate.instructions must be a text")
    item, split = ROWS[task_id]
    prompt = candidate["instructions"]
    answer, closing = simulated_model(prompt, item)
    reward, feedback = verify(item, answer, closing)
    full = f"{answer}, {closing}" if closing else answer
    question = task_row(item, split)["text"]
    used = {"prompt_tokens": len(prompt.split()) + 8, "completion_tokens": len(full.split())}
    used["total_tokens"] = sum(used.values())
    return RolloutResult(
        rollout_id=request["rollout_id"],
        reward=reward,
        task_id=task_id,
        objective_scores=[ObjectiveScore("outcome_reward", reward, rationale=feedback)],
        actionable_side_info=ActionableSideInfo({"question": question, "answer": full, "feedback": feedback}),
        reward_details={"feedback": feedback},
        summary={"outcome_reward": reward},
        usage=used,
        trace={
            "event_history": [
                {
                    "type": "lm_call",
                    "llm_request": {
                        "messages": [
                            {"role": "system", "content": prompt},
                            {"role": "user", "content": question},
                        ]
                    },
                    "llm_response": {"message": {"role": "assistant", "content": full}, "usage": used},
                }
            ]
        },
    ).to_dict()


app = container.fastapi()

count_lock = threading.Lock()
count = {"total": 0, "by_id": {}, "by_example": {}}


def note(raw):
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    task = body.get("task") if isinstance(body.get("task"), dict) else {}
    with count_lock:
        count["total"] += 1
        for table, key in (("by_id", body.get("rollout_id")), ("by_example", task.get("task_id"))):
            count[table][str(key)] = count[table].get(str(key), 0) + 1


@app.get("/count")
def show_count():
    with count_lock:
        return json.loads(json.dumps(count))


def authorised(request):
    wanted = os.environ.get("ENVIRONMENT_API_KEY")
    if not wanted:
        return True
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = [request.headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
    return any(hmac.compare_digest(key.encode(), wanted.encode()) for key in given)


@app.middleware("http")
async def guard(request: Request, call_next):
    if request.url.path not in ("/health", "/count") and not authorised(request):
        return JSONResponse({"detail": "missing or invalid API key"}, status_code=401)
    if request.method == "POST" and request.url.path in ("/rollout", "/rollouts"):
        note(await request.body())
    return await call_next(request)


def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen(128)
    print("ready", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
