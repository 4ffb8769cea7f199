"""Broken: /health is fine, but rollouts are served under /api/v1/rollout only: POST /rollout is 404.

python rollout_404.py PORT
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

BASELINE = "You look up code words. Tell the code word of the item. Answer with one word."
WORDS = ["falcon", "river", "candle", "mirror", "forest", "bridge", "copper", "garden", "shadow", "castle"]
RULES = [
    ("upper case", "answer in upper case"),
    ("punctuation", "use no punctuation"),
    ("one word", "answer with one word"),
    ("item number", "give the item number after the word"),
    ("quotes", "put the answer in double quotes"),
    ("english", "answer in English"),
]
count_lock = threading.Lock()
count = {"total": 0, "by_id": {}, "by_example": {}}


class Refused(Exception):
    pass


def prompt_text(template):
    if isinstance(template, str):
        return template
    if isinstance(template, dict):
        parts = template.get("messages") or template.get("sections")
        if isinstance(parts, list):
            texts = [p.get("content", p.get("pattern")) for p in parts if isinstance(p, dict)]
        else:
            texts = list(template.values())
        if texts and all(isinstance(text, str) for text in texts):
            return "\n".join(texts)
    raise Refused("policy.config.prompt_template has an unknown shape")


def score(seed, prompt):
    """The simulated model keeps a rule when the prompt says it; each item is about one rule."""
    word, sentence = RULES[(seed * 7 + seed // 6) % len(RULES)]
    kept = word in prompt.lower()
    answer = "{} ({})".format(WORDS[seed % len(WORDS)], word if kept else "plain")
    if kept:
        return 1.0, answer, "Correct."
    return 0.0, answer, f"Wrong for item {seed}. The prompt must say: {sentence}."


def read_request(body):
    """(id, seed, prompt) of a rollout request; Refused if it is not one."""
    if not isinstance(body, dict):
        raise Refused("the body must be an object")
    trace_id = body.get("trace_correlation_id")
    if not isinstance(trace_id, str) or not trace_id:
        raise Refused("trace_correlation_id is required")
    env = body.get("env")
    seed = env.get("seed") if isinstance(env, dict) else None
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= 99:
        raise Refused("env.seed must be an integer 0..99")
    policy = body.get("policy")
    config = policy.get("config") if isinstance(policy, dict) else None
    if not isinstance(config, dict):
        raise Refused("policy.config is required")
    if "prompt_template" not in config:
        raise Refused("policy.config.prompt_template is required")
    prompt = prompt_text(config["prompt_template"])
    return trace_id, seed, prompt


def note(body):
    body = body if isinstance(body, dict) else {}
    env = body.get("env") if isinstance(body.get("env"), dict) else {}
    with count_lock:
        count["total"] += 1
        for table, key in (("by_id", body.get("trace_correlation_id")), ("by_example", env.get("seed"))):
            count[table][str(key)] = count[table].get(str(key), 0) + 1


def rollout(body):
    trace_id, seed, prompt = read_request(body)
    reward, answer, feedback = score(seed, prompt)
    return {
        "trace_correlation_id": trace_id,
        "reward_info": {
            "outcome_reward": reward,
            "details": {
                "question": f"Tell the code word of item {seed}.",
                "answer": answer,
                "feedback": feedback,
            },
        },
        "success_status": "success",
    }


def program():
    module = {
        "module_id": "main",
        "role": "system",
        "content": BASELINE,
        "mutable": True,
        "candidate_field": "system",
        "template_variables": [],
    }
    return {
        "version": "prompt_program.v1",
        "program_id": "code-words",
        "modules": [module],
        "target_modules": [{"module_id": "main", "candidate_field": "system"}],
        "seed_candidate": {"system": BASELINE},
    }


PAGES = {
    "/health": {"healthy": True, "status": "ok"},
    "/info": {
        "service": {"task": {"id": "code-words", "name": "Code words"}, "version": "1.0"},
        "dataset": {"id": "code-words", "splits": ["train"], "default_split": "train"},
    },
    "/task_info": {"taskset": {"id": "code-words", "splits": ["train"], "num_examples": 100}},
    "/program": program(),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self):
        wanted = os.environ.get("ENVIRONMENT_API_KEY")
        if not wanted:
            return True
        bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        return wanted in (self.headers.get("X-API-Key"), bearer)

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/count":
            with count_lock:
                return self.reply(200, count)
        if not self.allowed():
            return self.reply(401, {"detail": "missing or invalid API key"})
        if path in PAGES:
            return self.reply(200, PAGES[path])
        return self.reply(404, {"detail": "no such route"})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.allowed():
            return self.reply(401, {"detail": "missing or invalid API key"})
        path = urlsplit(self.path).path
        if path != "/api/v1/rollout":
            if path == "/rollout":
                note(None)
            return self.reply(404, {"detail": "no such route"})
        try:
            body = json.loads(raw)
        except ValueError:
            note(None)
            return self.reply(400, {"detail": "the body is not JSON"})
        note(body)
        try:
            return self.reply(200, rollout(body))
        except Refused as error:
            return self.reply(422, {"detail": str(error)})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    print("ready", flush=True)
    server.serve_forever()
