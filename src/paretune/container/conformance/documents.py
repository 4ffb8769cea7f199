"""Checks of what a container says about itself: health, info, task_info, program, taskset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from paretune.container.body import deeper_than
from paretune.container.client import task_identity
from paretune.container.conformance.bench import Bench
from paretune.container.documents import GEPA_CONTRACT
from paretune.core.canonical import JsonValue
from paretune.core.errors import AttemptFailed, FailureKind

ASKED, GUESSED = 12, 4
"""Examples a check looks at."""

KIND_FIXES = {
    FailureKind.UNREACHABLE: "start the container, and check host, port and http or https",
    FailureKind.CLOSED: "see the container's own log: it crashed or hung up before the answer was whole",
    FailureKind.TIMEOUT: "answer in time; long work belongs into the rollout only",
    FailureKind.SERVER_ERROR: "see the container's own log for the exception behind this status",
    FailureKind.UNAUTHORISED: "give the key that the container was started with (its ENVIRONMENT_API_KEY)",
    FailureKind.REDIRECT: "answer here, or give the address it leads to (mind https and trailing slashes)",
    FailureKind.NOT_JSON: "answer with a JSON body and Content-Type: application/json",
    FailureKind.TOO_LARGE: "answer less; logs and artifacts do not belong into this body",
    FailureKind.REFUSED: "see the message: this route refused a plain, valid request",
    FailureKind.BAD_ANSWER: "follow the shape that the message names",
}


async def check_health(bench: Bench) -> None:
    """Reachable at all, and GET /health. Without a connection nothing else is worth asking."""
    try:
        await bench.client.health()
    except AttemptFailed as error:
        if error.kind in (FailureKind.UNREACHABLE, FailureKind.TIMEOUT):
            bench.bad("reachable", error.message, KIND_FIXES[error.kind])
            bench.stopped = True
            return
        bench.good("reachable", f"{bench.client.url} answers")
        if error.kind is FailureKind.UNAUTHORISED:
            _report_key(bench, error)
            return
        fix = 'answer GET /health with 200 and a JSON object such as {"status": "ok"}'
        bench.bad("health", error.message, fix)
        return
    bench.good("reachable", f"{bench.client.url} answers")
    bench.good("health", "GET /health answers with a JSON object")


def _report_key(bench: Bench, error: AttemptFailed) -> None:
    bench.stopped = True
    if bench.api_key:
        fix = "read X-API-Key or Authorization: Bearer, and compare with the key it was started with"
        bench.bad("auth", f"the container refuses the right key: {error.message}", fix)
    else:
        fix = "give the container's key (ENVIRONMENT_API_KEY, --api-key)"
        bench.bad("auth", f"the container asks for a key and none was given: {error.message}", fix)


async def check_info(bench: Bench) -> None:
    """GET /metadata or /info: who this is, in which version, and that it says so twice alike."""
    try:
        first = await bench.client.info()
        again = await bench.client.info()
    except AttemptFailed as error:
        bench.bad("info", error.message, KIND_FIXES.get(error.kind, "answer with a JSON object"))
        return
    bench.info = first
    bench.size = declared_size(first.raw)
    if not first.raw:
        fix = 'answer GET /info with {"service": {"task": {"id": ..., "name": ...}, "version": ...}}'
        bench.bad("info", "neither GET /metadata nor GET /info answers", fix, "warning")
        return
    if not first.task_id:
        fix = "give service.task.id (GET /info) or runtime.runtime_id (GET /metadata)"
        bench.bad("info", "the container does not say which task it is", fix, "warning")
    elif first.version != again.version:
        fix = (
            "leave times, counters and random ids out of /info; its version should change with the task only"
        )
        message = "two calls give different descriptions, so that no result could ever be reused"
        bench.bad("info", message, fix, "warning")
    else:
        bench.good("info", f"task {first.task_id!r}, version {first.version[:12]}")
    await _check_contract(bench)


async def _check_contract(bench: Bench) -> None:
    metadata = bench.info.raw.get("metadata")
    contracts = metadata.get("optimizer_contracts") if isinstance(metadata, Mapping) else None
    gepa = contracts.get("gepa") if isinstance(contracts, Mapping) else None
    if gepa is None:
        return
    if not isinstance(gepa, Mapping) or not isinstance(gepa.get("version"), str):
        fix = f'say {{"version": "{GEPA_CONTRACT}", "program_route": "/program", ...}}'
        bench.bad("contract", "metadata.optimizer_contracts.gepa is there, but without a version", fix)
        return
    if gepa["version"] != GEPA_CONTRACT:
        fix = f"say {GEPA_CONTRACT!r} if that is what the container speaks"
        message = f"the container advertises the unknown contract {gepa['version']!r}"
        bench.bad("contract", message, fix, "warning")
    else:
        bench.good("contract", f"advertises {GEPA_CONTRACT}")
    for name, route in gepa.items():
        if name.endswith("_route") and not (isinstance(route, str) and route.startswith("/")):
            bench.bad("contract", f"{name} is {route!r}", "give a path that begins with /")


async def check_task_info(bench: Bench, seed: int) -> None:
    """GET /task_info, of the whole set and of one seed."""
    try:
        document = await bench.client.task_info()
    except AttemptFailed as error:
        bench.bad("task_info", error.message, KIND_FIXES.get(error.kind, "answer with a JSON object"))
        return
    if document is None:
        fix = 'answer GET /task_info with {"taskset": {...}}'
        bench.bad("task_info", "GET /task_info is not there", fix, "warning")
        return
    if not isinstance(document, Mapping):
        bench.bad("task_info", "GET /task_info does not answer a JSON object", 'answer {"taskset": {...}}')
        return
    bench.good("task_info", "GET /task_info answers with a JSON object")
    bench.size = bench.size or declared_size(document)
    if not bench.rows:
        await _check_seed_info(bench, seed)


async def _check_seed_info(bench: Bench, seed: int) -> None:
    try:
        document = await bench.client.task_info([seed])
    except AttemptFailed as error:
        if error.kind is not FailureKind.REFUSED:
            fix = "answer with the task info of that seed, or with 4xx if there is none"
            bench.bad("task_info", f"GET /task_info?seed={seed}: {error.message}", fix, "warning")
        return
    if isinstance(document, list) and len(document) != 1:
        fix = "one seed: one object"
        bench.bad("task_info", f"GET /task_info?seed={seed} answers {len(document)} items", fix, "warning")


async def check_program(bench: Bench) -> None:
    """GET /program, if there is one: a candidate must fit what the program says it may change."""
    try:
        program = await bench.client.program()
    except AttemptFailed as error:
        bench.bad("program", error.message, KIND_FIXES.get(error.kind, "answer a prompt_program.v1 or 404"))
        return
    if program is None:
        if bench.info.contract:
            fix = "serve GET /program, or advertise no gepa contract"
            bench.bad("program", "the container advertises the gepa contract but has no GET /program", fix)
        return
    problems = list(program_problems(program))
    for problem, fix in problems:
        bench.bad("program", problem, fix)
    seeds = program.get("seed_candidate")
    if isinstance(seeds, Mapping):
        texts = {str(name): text for name, text in seeds.items() if isinstance(text, str)}
        bench.components = texts or bench.components
    if not problems:
        bench.good("program", f"the components {', '.join(bench.components)} can be optimized")


def program_problems(program: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """(problem, fix) for each rule of prompt_program.v1 that the document breaks."""
    modules = _objects(program.get("modules"))
    if not modules:
        yield "modules is missing or empty", "list at least one module with module_id, content, mutable"
        return
    names = [module.get("module_id") for module in modules]
    if not all(isinstance(name, str) and name for name in names):
        yield "a module has no module_id", "give each module an id"
    elif len(set(names)) != len(names):
        yield "two modules have the same module_id", "make the ids unique"
    fields = [m.get("candidate_field") for m in modules if m.get("mutable") is True]
    mutable = {name for name in fields if isinstance(name, str) and name}
    if not mutable:
        yield (
            "no module is mutable with a candidate_field",
            "mark what may change: mutable true, candidate_field",
        )
        return
    yield from _target_problems(program, modules, mutable)
    yield from _seed_problems(program, mutable)


def _target_problems(
    program: Mapping[str, JsonValue], modules: list[Mapping[str, JsonValue]], mutable: set[str]
) -> Iterator[tuple[str, str]]:
    ids = {module.get("module_id") for module in modules if module.get("mutable") is True}
    for target in _objects(program.get("target_modules")):
        name, field = target.get("module_id"), target.get("candidate_field")
        if name not in ids:
            yield f"target_modules names {name!r}, which is no mutable module", "target mutable modules only"
        elif field and field not in mutable:
            yield (
                f"target_modules names the field {field!r}, which no mutable module has",
                "use its candidate_field",
            )


def _seed_problems(program: Mapping[str, JsonValue], mutable: set[str]) -> Iterator[tuple[str, str]]:
    seed = program.get("seed_candidate")
    if not isinstance(seed, Mapping) or not seed:
        yield "seed_candidate is missing or empty", "give the text to start from for each candidate_field"
        return
    for name, text in seed.items():
        if not isinstance(text, str) or not text.strip():
            yield f"seed_candidate.{name} is not a text", "a candidate is field -> text, never empty"
        elif name not in mutable:
            known = ", ".join(sorted(mutable))
            yield (
                f"seed_candidate has the field {name!r}, the mutable modules have {known}",
                "use the same names",
            )


async def check_taskset(bench: Bench, task_ids: Sequence[str]) -> None:
    """GET /taskset and POST /taskset/tasks, if the container speaks v2; finds rows to ask for."""
    try:
        taskset = await bench.client.taskset()
    except AttemptFailed as error:
        bench.bad("taskset", error.message, KIND_FIXES.get(error.kind, "answer with a JSON object, or 404"))
        return
    if taskset is None:
        if bench.info.contract:
            fix = "serve GET /taskset and POST /taskset/tasks, or advertise no gepa contract"
            bench.bad("taskset", "the container advertises the gepa contract but has no GET /taskset", fix)
        return
    splits = taskset.get("splits")
    if not isinstance(splits, Mapping):
        fix = 'answer {"taskset_id": ..., "splits": {"train": 56, "test": 140}}'
        bench.bad("taskset", "GET /taskset has no object `splits`", fix)
        splits = {}
    else:
        bench.good("taskset", f"the splits are {', '.join(map(str, splits)) or 'none'}")
    bench.size = declared_size(taskset) or bench.size
    await _check_repeats(bench, taskset)
    await _check_tasks(bench, taskset, list(map(str, splits)) or ["train"], list(task_ids))


async def _check_repeats(bench: Bench, taskset: Mapping[str, JsonValue]) -> None:
    seen: dict[str, str] = {}
    for split, ids in listed_ids(taskset).items():
        for name in ids:
            if seen.setdefault(name, split) != split:
                fix = "keep splits apart: what is trained on must not be tested on"
                message = f"the task {name!r} is in split {seen[name]!r} and in {split!r}"
                bench.bad("taskset", message, fix, "warning")
                return


async def _check_tasks(
    bench: Bench, taskset: Mapping[str, JsonValue], splits: list[str], given: list[str]
) -> None:
    known = listed_ids(taskset)
    split = next((name for name in splits if known.get(name)), splits[0])
    guesses = [given] if given else list(_guesses(split, known.get(split, []), bench.size))
    failure: AttemptFailed | None = None
    for ids in guesses:
        try:
            rows = await bench.client.tasks(split, ids)
        except AttemptFailed as error:
            failure = failure or error
            continue
        bench.rows = True
        bench.examples = [{"task": row, "task_id": task_identity(row)} for row in rows]
        _check_rows(bench, rows)
        await _check_unknown_task(bench, split)
        return
    certain = bool(given or known.get(split))
    if failure is not None and failure.kind is FailureKind.BAD_ANSWER:
        fix = 'answer {"tasks": [...]} with exactly one row per asked id, each with its own task_id'
        bench.bad("taskset/tasks", f"asked for {guesses[0]}: {failure.message}", fix)
    elif failure is not None and (certain or failure.kind is not FailureKind.REFUSED):
        bench.bad("taskset/tasks", failure.message, KIND_FIXES.get(failure.kind, "see the message"))
    else:
        fix = "name some ids to this check, or list them in taskset.metadata.task_ids"
        bench.bad("taskset/tasks", "GET /taskset does not say which task ids there are", fix, "warning")


def _check_rows(bench: Bench, rows: list[dict[str, JsonValue]]) -> None:
    if any(deeper_than(row, 100) for row in rows):
        bench.bad("taskset/tasks", "a row is nested more than 100 levels", "keep rows flat", "warning")
    bench.good("taskset/tasks", f"answers {len(rows)} of {len(rows)} asked tasks, ids unique")


async def _check_unknown_task(bench: Bench, split: str) -> None:
    asked = {"split": split, "task_ids": ["no-such-task-5d1c"], "filters": {}}
    try:
        reply = await bench.client.wire.exchange("POST", "/taskset/tasks", asked, total=bench.deadline)
        if 400 <= reply.status < 500:
            bench.good("unknown task", f"a task id that does not exist is answered {reply.status}")
            return
        body = bench.client.wire.read(reply, "POST /taskset/tasks")
    except AttemptFailed as error:
        fix = "answer 4xx and name the unknown id; a server error looks passing and is asked again"
        bench.bad("unknown task", f"a task id that does not exist: {error.message}", fix, "warning")
        return
    rows = body.get("tasks") if isinstance(body, Mapping) else None
    if rows:
        fix = "answer 4xx for an id that does not exist"
        message = "for a task id that does not exist the container makes up a row"
        bench.bad("unknown task", message, fix, "error" if bench.size else "advice")
    else:
        bench.good("unknown task", "a task id that does not exist gives no row")


def _guesses(split: str, known: list[str], size: int | None) -> Iterator[list[str]]:
    """Lists of task ids worth trying: the listed ones, else the usual spellings."""
    if known:
        yield known[:ASKED]
        return
    count = min(size or 2, GUESSED)
    for shape in (f"{split}:{{}}", "seed:{}", f"{split}-{{}}", f"{split}_{{}}", "{}"):
        yield [shape.format(number) for number in range(count)]


def listed_ids(taskset: Mapping[str, JsonValue]) -> dict[str, list[str]]:
    """Split -> task ids, where the document lists them (`splits`, `metadata.task_ids`, `task_ids`)."""
    metadata = taskset.get("metadata")
    places = [taskset.get("splits"), taskset.get("task_ids")]
    places.append(metadata.get("task_ids") if isinstance(metadata, Mapping) else None)
    found: dict[str, list[str]] = {}
    for place in places:
        for split, value in place.items() if isinstance(place, Mapping) else ():
            inner = value.get("task_ids") or value.get("ids") if isinstance(value, Mapping) else value
            if isinstance(inner, list) and inner:
                found[str(split)] = [_named(item) for item in inner]
    return found


def _named(item: JsonValue) -> str:
    return task_identity(item) if isinstance(item, Mapping) else str(item)


def declared_size(document: Mapping[str, JsonValue]) -> int | None:
    """The number of examples that a /taskset, /task_info or /info body states, None if it does not."""
    for name in ("row_count", "size", "num_examples", "num_seeds", "count", "length", "total"):
        value = document.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    splits = document.get("splits")
    if isinstance(splits, Mapping):
        sizes = [_split_size(value) for value in splits.values()]
        if sizes and all(sizes):
            return sum(sizes)
    for name in ("taskset", "dataset"):
        inner = document.get(name)
        if isinstance(inner, Mapping) and (size := declared_size(inner)):
            return size
    return None


def _split_size(value: JsonValue) -> int:
    if isinstance(value, list):
        return len(value)
    if isinstance(value, Mapping):
        return declared_size(value) or _split_size(value.get("task_ids"))
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _objects(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
