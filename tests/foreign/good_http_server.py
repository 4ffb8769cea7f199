"""A task container with nothing but Python's http.server.

    python good_http_server.py PORT

One example per seed 0..99: "Tell the code word of item 17.".  The model is simulated: what
it answers depends only on the seed and on which house rules the prompt spells out.

Routes: GET /health /info /task_info /program, POST /rollout, and GET /count for tests.
When ENVIRONMENT_API_KEY is set every route but / and /count wants it, as X-API-Key or as
Authorization: Bearer.
"""

import contextlib
import hmac
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

N_EXAMPLES = 100
BASELINE = "You look up code words. Tell the code word of the item. Answer with one word."

WORDS = [
    ("falcon", "falke"), ("river", "fluss"), ("candle", "kerze"), ("mirror", "spiegel"),
    ("forest", "wald"), ("bottle", "flasche"), ("ladder", "leiter"), ("bridge", "bruecke"),
    ("copper", "kupfer"), ("garden", "garten"), ("shadow", "schatten"), ("castle", "schloss"),
]  # fmt: skip

# What an item may ask for: a name, the sentence that says it, the words that count as saying it.
RULES = [
    ("upper_case", "answer in upper case", ["upper case", "uppercase", "capital letters"]),
    ("no_punctuation", "use no punctuation", ["punctuation"]),
    ("one_word", "answer with one word", ["one word", "single word"]),
    ("item_number", "give the item number after the word", ["item number", "number of the item"]),
    ("quotes", "put the answer in double quotes", ["quotes", "quotation marks"]),
    ("english", "answer in English", ["english"]),
]


def needed_rule(seed):
    return RULES[(seed * 7 + seed // 6) % len(RULES)]


def simulated_model(prompt, seed):
    """The answer of a model that does exactly what the prompt spells out, and nothing else."""
    text = prompt.lower()
    follows = {name: any(word in text for word in words) for name, _, words in RULES}
    answer = WORDS[seed % len(WORDS)][0 if follows["english"] else 1]
    if not follows["one_word"]:
        answer = "the code word is " + answer
    if follows["item_number"]:
        answer += f" {seed}"
    if not follows["no_punctuation"]:
        answer += "."
    if follows["upper_case"]:
        answer = answer.upper()
    if follows["quotes"]:
        answer = '"' + answer + '"'
    return answer


def judge(answer, seed):
    """1.0 if the answer keeps the rule this item is about, else 0.0; and why."""
    name, sentence, _ = needed_rule(seed)
    tokens = re.findall(r"[a-z]+|[0-9]+", answer.lower())
    kept = {
        "upper_case": answer == answer.upper(),
        "no_punctuation": not any(c in ".,;:!?" for c in answer),
        "one_word": sum(token.isalpha() for token in tokens) == 1,
        "item_number": str(seed) in tokens,
        "quotes": answer.startswith('"') and answer.endswith('"'),
        "english": WORDS[seed % len(WORDS)][0] in tokens,
    }[name]
    if kept:
        return 1.0, "Correct."
    return 0.0, f"Wrong: {answer!r} is not accepted for item {seed}. The prompt must say: {sentence}."


class BadRequest(Exception):
    pass


def prompt_text(template):
    """The text of prompt_template: a string, {"messages"|"sections": [...]}, or {component: text}."""
    if isinstance(template, str):
        return template
    if isinstance(template, dict):
        for key in ("messages", "sections"):
            if isinstance(template.get(key), list):
                parts = []
                for part in template[key]:
                    text = part.get("content", part.get("pattern")) if isinstance(part, dict) else None
                    if not isinstance(text, str):
                        raise BadRequest(f"every item of prompt_template.{key} needs content or pattern")
                    parts.append(text)
                return "\n".join(parts)
        if template and all(isinstance(text, str) for text in template.values()):
            return "\n".join(template.values())
    raise BadRequest("policy.config.prompt_template must be a text, messages, sections or component texts")


def question(seed):
    return f"Tell the code word of item {seed}."


def rollout(body):
    trace_id = body.get("trace_correlation_id")
    if not isinstance(trace_id, str) or not trace_id:
        raise BadRequest("trace_correlation_id is required")
    env = body.get("env")
    seed = env.get("seed") if isinstance(env, dict) else None
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadRequest("env.seed must be an integer")
    if not 0 <= seed < N_EXAMPLES:
        raise BadRequest(f"unknown seed {seed}: this task has seeds 0..{N_EXAMPLES - 1}")
    policy = body.get("policy")
    config = policy.get("config") if isinstance(policy, dict) else None
    if not isinstance(config, dict) or "prompt_template" not in config:
        raise BadRequest("policy.config.prompt_template is required")
    prompt = prompt_text(config["prompt_template"])

    answer = simulated_model(prompt, seed)
    reward, feedback = judge(answer, seed)
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": question(seed)}]
    usage = {"prompt_tokens": len(prompt.split()) + 8, "completion_tokens": len(answer.split())}
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return {
        "trace_correlation_id": trace_id,
        "reward_info": {
            "outcome_reward": reward,
            "event_rewards": [reward],
            "outcome_objectives": {"reward": reward},
            "details": {
                "seed": seed,
                "question": question(seed),
                "answer": answer,
                "feedback": feedback,
            },
        },
        "trace": {
            "schema_version": "4.0",
            "event_history": [
                {
                    "type": "lm_call",
                    "event_type": "lm_call",
                    "llm_request": {"messages": messages},
                    "llm_response": {
                        "message": {"role": "assistant", "content": answer},
                        "usage": usage,
                        "finish_reason": "stop",
                    },
                    "api_format": "chat",
                }
            ],
            "markov_blanket_message_history": [],
            "metadata": {"trace_correlation_id": trace_id},
        },
        "success_status": "success",
        "status_detail": None,
    }


TASK = {
    "id": "code-words",
    "name": "Code words",
    "description": "Tell the code word of an item.",
    "version": "1.0",
}
DATASET = {
    "id": "code-words",
    "name": "Code words",
    "version": "1.0",
    "splits": ["train"],
    "default_split": "train",
}
LIMITS = {"max_turns": 1, "max_response_tokens": 64, "timeout_seconds": 30}
INFERENCE = {"model": "simulated", "inference_url": None}


def info():
    return {
        "service": {"task": TASK, "version": "1.0"},
        "dataset": DATASET,
        "rubrics": None,
        "inference": INFERENCE,
        "limits": LIMITS,
    }


def task_info(seeds):
    if not seeds:
        return {"taskset": dict(DATASET, num_examples=N_EXAMPLES)}
    rows = []
    for seed in seeds:
        if not 0 <= seed < N_EXAMPLES:
            raise BadRequest(f"unknown seed {seed}")
        rows.append(
            {
                "task": TASK,
                "dataset": DATASET,
                "inference": INFERENCE,
                "limits": LIMITS,
                "task_metadata": {"seed": seed, "text": question(seed)},
            }
        )
    return rows[0] if len(rows) == 1 else rows


def program():
    return {
        "version": "prompt_program.v1",
        "program_id": "code-words",
        "modules": [
            {
                "module_id": "main",
                "role": "system",
                "content": BASELINE,
                "mutable": True,
                "candidate_field": "system",
                "template_variables": [],
            }
        ],
        "target_modules": [{"module_id": "main", "candidate_field": "system", "objective": "outcome_reward"}],
        "seed_candidate": {"system": BASELINE},
    }


class Counter:
    def __init__(self):
        self.lock = threading.Lock()
        self.total = 0
        self.by_id = {}
        self.by_example = {}

    def add(self, body):
        body = body if isinstance(body, dict) else {}
        env = body.get("env") if isinstance(body.get("env"), dict) else {}
        with self.lock:
            self.total += 1
            for table, key in (
                (self.by_id, body.get("trace_correlation_id")),
                (self.by_example, env.get("seed")),
            ):
                key = str(key)
                table[key] = table.get(key, 0) + 1

    def show(self):
        with self.lock:
            return {"total": self.total, "by_id": dict(self.by_id), "by_example": dict(self.by_example)}


COUNTER = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, value):
        data = json.dumps(value).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self):
        wanted = os.environ.get("ENVIRONMENT_API_KEY")
        if not wanted:
            return True
        given = [self.headers.get("X-API-Key") or ""]
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(token.strip())
        return any(hmac.compare_digest(key.encode(), wanted.encode()) for key in given)

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/":
            return self.reply(200, {"status": "ok", "service": "code-words"})
        if url.path == "/count":
            return self.reply(200, COUNTER.show())
        if not self.allowed():
            return self.reply(401, {"detail": "missing or invalid API key"})
        if url.path == "/health":
            return self.reply(200, {"healthy": True, "status": "ok"})
        if url.path == "/info":
            return self.reply(200, info())
        if url.path == "/program":
            return self.reply(200, program())
        if url.path == "/task_info":
            query = parse_qs(url.query)
            try:
                seeds = [int(s) for s in query.get("seed", []) + query.get("seeds", [])]
                return self.reply(200, task_info(seeds))
            except (BadRequest, ValueError) as error:
                return self.reply(422, {"detail": str(error)})
        return self.reply(404, {"detail": "no such route"})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.allowed():
            return self.reply(401, {"detail": "missing or invalid API key"})
        path = urlsplit(self.path).path
        if path == "/done":
            return self.reply(200, {"ok": True, "service": "code-words"})
        if path != "/rollout":
            return self.reply(404, {"detail": "no such route"})
        try:
            body = json.loads(raw)
        except ValueError:
            COUNTER.add(None)
            return self.reply(400, {"detail": "the body is not JSON"})
        COUNTER.add(body)
        if not isinstance(body, dict):
            return self.reply(422, {"detail": "the body must be an object"})
        try:
            return self.reply(200, rollout(body))
        except BadRequest as error:
            return self.reply(422, {"detail": str(error)})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    print("ready", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
