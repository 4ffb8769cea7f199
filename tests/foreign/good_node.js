"use strict";
// A task container in Node, without dependencies.
//
//     node good_node.js PORT
//
// It speaks both dialects: env.seed + policy.config.prompt_template, and the v2 contract
// (/metadata, /taskset, /taskset/tasks, candidate {field: text}, sync and async rollouts).
// The policy has two mutable texts, "role" and "style"; the model is simulated and follows
// whatever house rules the two together spell out.

const http = require("node:http");
const crypto = require("node:crypto");

const PORT = Number(process.argv[2]);
const KEY = process.env.ENVIRONMENT_API_KEY || "";
const N = 100;
const TRAIN = 60; // items 0..59 train, 60..99 test

const SEED_CANDIDATE = {
  role: "You are the keeper of the code words. Tell the code word of the item.",
  style: "Be short and friendly. Answer in English.",
};

const WORDS = [
  ["falcon", "falke"], ["river", "fluss"], ["candle", "kerze"], ["mirror", "spiegel"],
  ["forest", "wald"], ["bridge", "bruecke"], ["copper", "kupfer"], ["garden", "garten"],
  ["shadow", "schatten"], ["castle", "schloss"],
];

const RULES = [
  { name: "upper_case", say: "answer in upper case", words: ["upper case", "uppercase", "capital letters"] },
  { name: "no_punctuation", say: "use no punctuation", words: ["punctuation"] },
  { name: "one_word", say: "answer with one word", words: ["one word", "single word"] },
  { name: "item_number", say: "give the item number after the word", words: ["item number", "number of the item"] },
  { name: "quotes", say: "put the answer in double quotes", words: ["quotes", "quotation marks"] },
  { name: "english", say: "answer in English", words: ["english"] },
];

const ruleOf = (i) => RULES[(i * 5 + Math.floor(i / 6)) % RULES.length];
const question = (i) => `Tell the code word of item ${i}.`;
const now = () => new Date().toISOString();

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function model(prompt, i) {
  const text = prompt.toLowerCase();
  const follows = {};
  for (const rule of RULES) follows[rule.name] = rule.words.some((word) => text.includes(word));
  const word = WORDS[i % WORDS.length][follows.english ? 0 : 1];
  let answer = follows.one_word ? word : `the code word is ${word}`;
  if (follows.item_number) answer += ` ${i}`;
  if (!follows.no_punctuation) answer += ".";
  if (follows.upper_case) answer = answer.toUpperCase();
  if (follows.quotes) answer = `"${answer}"`;
  return answer;
}

function judge(answer, i) {
  const rule = ruleOf(i);
  const tokens = answer.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);
  const checks = {
    upper_case: answer === answer.toUpperCase(),
    no_punctuation: !/[.,;:!?]/.test(answer),
    one_word: tokens.filter((t) => /^[a-z]+$/.test(t)).length === 1,
    item_number: tokens.includes(String(i)),
    quotes: /^".*"$/.test(answer),
    english: tokens.includes(WORDS[i % WORDS.length][0]),
  };
  if (checks[rule.name]) return { reward: 1, feedback: "Correct." };
  return {
    reward: 0,
    feedback: `Wrong: ${answer} is not accepted for item ${i}. The prompt must say: ${rule.say}.`,
  };
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isTexts = (value) =>
  isObject(value) && Object.keys(value).length > 0 && Object.values(value).every((v) => typeof v === "string");

function promptOf(body) {
  if (body.candidate !== undefined && body.candidate !== null) {
    if (!isTexts(body.candidate)) throw new HttpError(422, "candidate must be an object of texts");
    for (const field of Object.keys(body.candidate)) {
      if (!(field in SEED_CANDIDATE)) throw new HttpError(422, `unknown candidate field ${field}`);
    }
    return Object.values({ ...SEED_CANDIDATE, ...body.candidate }).join("\n");
  }
  const config = isObject(body.policy) && isObject(body.policy.config) ? body.policy.config : {};
  const template = config.prompt_template;
  if (template === undefined || template === null) return Object.values(SEED_CANDIDATE).join("\n");
  if (typeof template === "string") return template;
  if (isObject(template)) {
    const list = Array.isArray(template.messages) ? template.messages : template.sections;
    if (Array.isArray(list)) {
      return list
        .map((part) => {
          const text = isObject(part) ? part.content ?? part.pattern : undefined;
          if (typeof text !== "string") throw new HttpError(422, "a message needs content or pattern");
          return text;
        })
        .join("\n");
    }
    if (isTexts(template)) return Object.values(template).join("\n");
  }
  throw new HttpError(422, "policy.config.prompt_template has no shape known here");
}

function itemOfTaskId(id) {
  const found = /^item-(\d{1,2})$/.exec(String(id));
  return found ? Number(found[1]) : null;
}

function exampleOf(body) {
  if (isObject(body.task)) {
    const i = itemOfTaskId(body.task.task_id);
    if (i === null) throw new HttpError(422, `unknown task ${JSON.stringify(body.task.task_id)}`);
    return i;
  }
  const seed = isObject(body.env) ? body.env.seed : undefined;
  if (!Number.isInteger(seed)) throw new HttpError(422, "task or env.seed (an integer) is required");
  if (seed < 0 || seed >= N) throw new HttpError(422, `unknown seed ${seed}`);
  return seed;
}

function run(body, id) {
  const i = exampleOf(body);
  const prompt = promptOf(body);
  const answer = model(prompt, i);
  const { reward, feedback } = judge(answer, i);
  const usage = { prompt_tokens: prompt.split(/\s+/).length + 8, completion_tokens: answer.split(" ").length };
  usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
  const at = now();
  const result = {
    rollout_id: id,
    status: "completed",
    success_status: "success",
    reward_info: {
      outcome_reward: reward,
      event_rewards: [reward],
      details: { item: i, question: question(i), answer, feedback },
    },
    objective_scores: [{ objective: "outcome_reward", value: reward, source: "container" }],
    actionable_side_info: { question: question(i), answer, feedback },
    summary: { outcome_reward: reward },
    usage,
    trace: {
      schema_version: "4.0",
      event_history: [
        {
          type: "lm_call",
          llm_request: {
            messages: [
              { role: "system", content: prompt },
              { role: "user", content: question(i) },
            ],
          },
          llm_response: { message: { role: "assistant", content: answer }, usage, finish_reason: "stop" },
        },
      ],
    },
    stream: { id, reward: { url: `/rollouts/${encodeURIComponent(id)}/reward` } },
    created_at: at,
    updated_at: at,
  };
  if (typeof body.trace_correlation_id === "string") result.trace_correlation_id = body.trace_correlation_id;
  return result;
}

const program = () => ({
  version: "prompt_program.v1",
  program_id: "code-words-two-texts",
  modules: [
    ...Object.entries(SEED_CANDIDATE).map(([field, content]) => ({
      module_id: field,
      role: "system",
      content,
      mutable: true,
      candidate_field: field,
      template_variables: [],
      metadata: {},
    })),
    { module_id: "question", role: "user", content: "{text}", mutable: false, template_variables: ["text"], metadata: {} },
  ],
  target_modules: Object.keys(SEED_CANDIDATE).map((field) => ({
    module_id: field,
    candidate_field: field,
    objective: "outcome_reward",
    metadata: {},
  })),
  seed_candidate: SEED_CANDIDATE,
  rollout_overlay_schema: { candidate_fields: Object.keys(SEED_CANDIDATE) },
  metadata: {},
});

const metadata = () => ({
  runtime: { runtime_id: "code-words", name: "Code words" },
  capabilities: { rollout_modes: ["blocking", "async"] },
  metadata: {
    optimizer_contracts: {
      gepa: {
        version: "synth_optimizers.gepa.v2",
        program_route: "/program",
        taskset_route: "/taskset",
        taskset_tasks_route: "/taskset/tasks",
        rollout_route: "/rollout",
      },
    },
  },
  service: { task: { id: "code-words", name: "Code words", version: "1.0" }, version: "1.0" },
  dataset: { id: "code-words", name: "Code words", splits: ["train", "test"], default_split: "train" },
});

const splitOf = (i) => (i < TRAIN ? "train" : "test");
const row = (i) => ({ task_id: `item-${i}`, split: splitOf(i), text: question(i), metadata: { seed: i } });

function tasks(body) {
  const split = body.split ?? "train";
  if (split !== "train" && split !== "test") throw new HttpError(422, `unknown split ${split}`);
  const all = Array.from({ length: N }, (_, i) => i).filter((i) => splitOf(i) === split);
  const asked = body.task_ids ?? [];
  if (!Array.isArray(asked)) throw new HttpError(422, "task_ids must be a list");
  if (asked.length === 0) return { tasks: all.map(row), metadata: { split } };
  return {
    tasks: asked.map((id) => {
      const i = itemOfTaskId(id);
      if (i === null || splitOf(i) !== split) throw new HttpError(404, `no task ${id} in split ${split}`);
      return row(i);
    }),
    metadata: { split },
  };
}

const count = { total: 0, by_id: Object.create(null), by_example: Object.create(null) };
function counted(body) {
  const bump = (table, key) => (table[String(key)] = (table[String(key)] || 0) + 1);
  const b = isObject(body) ? body : {};
  count.total += 1;
  bump(count.by_id, b.rollout_id ?? b.trace_correlation_id);
  bump(count.by_example, isObject(b.task) ? b.task.task_id : isObject(b.env) ? b.env.seed : undefined);
}

const records = new Map();

function rollout(body) {
  counted(body);
  if (!isObject(body)) throw new HttpError(422, "the body must be an object");
  const id = body.rollout_id ?? body.trace_correlation_id;
  if (typeof id !== "string" || id === "") throw new HttpError(422, "rollout_id or trace_correlation_id is required");
  const result = run(body, id);
  if (body.submission_mode !== "async") {
    records.set(id, result);
    return result;
  }
  const running = { rollout_id: id, status: "running", success_status: "running", created_at: now(), updated_at: now() };
  records.set(id, running);
  setTimeout(() => {
    if (records.get(id) === running) records.set(id, result);
  }, 40);
  return running;
}

function record(path) {
  const [, , rawId, what] = path.split("/");
  const id = decodeURIComponent(rawId);
  const found = records.get(id);
  if (!found) throw new HttpError(404, `unknown rollout ${id}`);
  return { id, found, what };
}

function taskInfo(url) {
  const seeds = [...url.searchParams.getAll("seed"), ...url.searchParams.getAll("seeds")].map(Number);
  const about = { task: metadata().service.task, dataset: metadata().dataset };
  if (seeds.length === 0) {
    return { ...about, taskset: { ...metadata().dataset, num_examples: N }, output: { kind: "text" } };
  }
  const infos = seeds.map((seed) => ({ ...about, task_metadata: { seed, text: question(seed) } }));
  return infos.length === 1 ? infos[0] : infos;
}

function get(url) {
  const path = url.pathname;
  if (path === "/info" || path === "/metadata") return metadata();
  if (path === "/program") return program();
  if (path === "/task_info") return taskInfo(url);
  if (path === "/taskset") {
    return { taskset_id: "code-words", splits: { train: TRAIN, test: N - TRAIN }, labels: [], metadata: {} };
  }
  if (path.startsWith("/rollouts/")) {
    const { id, found, what } = record(path);
    if (what === undefined) return found;
    if (what === "reward") return { rollout_id: id, reward_info: found.reward_info ?? null };
    if (what === "state") {
      const { status, success_status, created_at, updated_at } = found;
      return { rollout_id: id, status, success_status, status_detail: "", created_at, updated_at };
    }
  }
  throw new HttpError(404, "no such route");
}

function post(url, body) {
  const path = url.pathname;
  if (path === "/rollout" || path === "/rollouts") return rollout(body);
  if (path === "/done") return { ok: true };
  if (path === "/taskset/tasks") {
    if (!isObject(body)) throw new HttpError(422, "the body must be an object");
    return tasks(body);
  }
  if (/^\/rollouts\/[^/]+\/terminate$/.test(path)) {
    const { id, found } = record(path);
    if (found.status === "running") {
      records.set(id, { ...found, status: "terminated", success_status: "failed", updated_at: now() });
    }
    return get(new URL(`/rollouts/${encodeURIComponent(id)}/state`, "http://127.0.0.1"));
  }
  throw new HttpError(404, "no such route");
}

const same = (a, b) => {
  const hash = (text) => crypto.createHash("sha256").update(text).digest();
  return crypto.timingSafeEqual(hash(a), hash(b));
};
function allowed(headers) {
  if (!KEY) return true;
  const bearer = /^bearer\s+(.*)$/i.exec(headers.authorization || "");
  return same(headers["x-api-key"] || "", KEY) || (bearer !== null && same(bearer[1].trim(), KEY));
}

function send(res, status, value) {
  const data = Buffer.from(JSON.stringify(value));
  res.writeHead(status, { "Content-Type": "application/json", "Content-Length": data.length });
  res.end(data);
}

function answer(req, res, raw) {
  const url = new URL(req.url, "http://127.0.0.1");
  try {
    if (req.method === "GET" && url.pathname === "/count") return send(res, 200, count);
    if (req.method === "GET" && (url.pathname === "/" || url.pathname === "/health")) {
      return send(res, 200, { status: "ok", healthy: true, contract_version: "synth_optimizers.gepa.v2" });
    }
    if (!allowed(req.headers)) {
      return send(res, 400, { error: { code: "unauthorised", message: "API key missing or invalid" } });
    }
    if (req.method === "GET") return send(res, 200, get(url));
    if (req.method !== "POST") throw new HttpError(405, "method not allowed");
    let body;
    try {
      body = raw.length === 0 ? {} : JSON.parse(raw.toString("utf8"));
    } catch {
      throw new HttpError(400, "the body is not JSON");
    }
    return send(res, 200, post(url, body));
  } catch (error) {
    if (!(error instanceof HttpError)) console.error(error);
    const status = error instanceof HttpError ? error.status : 500;
    return send(res, status, { error: { code: "error", message: error.message } });
  }
}

const server = http.createServer((req, res) => {
  const chunks = [];
  req.on("data", (chunk) => chunks.push(chunk));
  req.on("end", () => answer(req, res, Buffer.concat(chunks)));
});
server.listen(PORT, "127.0.0.1", () => console.log("ready"));
