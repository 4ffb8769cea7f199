"""A candidate's texts, in the forms in which other programs take them. Every form keeps each text exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paretune.core.canonical import JsonValue, finite
from paretune.views.run_view import Row, RunView

VERSION = 1


@dataclass(frozen=True, slots=True)
class Export:
    """One form: `name` in addresses, `file` as which it is saved, `text` as it is, and what to do with it."""

    name: str
    title: str
    file: str
    media: str
    text: str
    use: str

    def encoded(self) -> bytes:
        """As UTF-8; what UTF-8 cannot carry (a lone surrogate in plain text) as a question mark."""
        return self.text.encode("utf-8", "replace")


def exports(view: RunView, row: Row) -> list[Export]:
    """All forms of this candidate: first its texts as they are, one for each component."""
    single = len(row.components) == 1
    texts = [
        Export(
            "text" if single else f"text-{number}",
            "Text" if single else f"Text of {name}",
            f"{_file_name(name)}.txt",
            "text/plain",
            text,
            "As it is, nothing added.",
        )
        for number, (name, text) in enumerate(row.components.items(), 1)
    ]
    return [*texts, *(make(view, row) for make in _MAKERS)]


def _json(view: RunView, row: Row) -> Export:
    record: dict[str, JsonValue] = {
        "kind": "paretune.prompt",
        "version": VERSION,
        **_source(view, row),
        "components": dict(row.components),
        "roles": dict(_surface(view, "roles")),
        "placeholders": {name: list(found) for name, found in _surface(view, "placeholders").items()},
    }
    text = _written(record)
    return Export("json", "JSON", "prompt.json", "application/json", text, "Texts, their roles, and whose.")


def _python(view: RunView, row: Row) -> Export:
    text = f'"""{_origin(view, row)}"""\n\nPROMPTS = {_dictionary(row.components)}\n'
    use = "Put it beside your code: from prompts import PROMPTS."
    return Export("python", "Python", "prompts.py", "text/x-python", text, use)


def _dspy(view: RunView, row: Row) -> Export:
    text = f'''"""{_origin(view, row)}"""

INSTRUCTIONS = {_dictionary(row.components)}


def apply(program):
    """Give the program's predictors these instructions, by name; a single one takes a single text."""
    predictors = dict(program.named_predictors())
    texts = dict(INSTRUCTIONS)
    if len(predictors) == len(texts) == 1:
        texts = dict(zip(predictors, texts.values()))
    unknown = sorted(set(texts) - set(predictors))
    if unknown:
        raise KeyError(f"the program has no predictor {{', '.join(unknown)}}, only {{', '.join(predictors)}}")
    for name, text in texts.items():
        predictors[name].signature = predictors[name].signature.with_instructions(text)
    return program
'''
    use = "apply(program) before you compile, save or call it; components are matched to predictors by name."
    return Export("dspy", "DSPy", "dspy_instructions.py", "text/x-python", text, use)


def _mlflow(view: RunView, row: Row) -> Export:
    prefix = _mlflow_name(view.run.name or "prompt")
    names: dict[str, str] = {}
    for name in row.components:
        made = _mlflow_name(f"{prefix}-{name}")
        names[name] = f"{made}-{len(names)}" if made in names.values() else made
    text = f'''"""{_origin(view, row)}"""

import mlflow

TEXTS = {_dictionary(row.components)}
NAMES = {_dictionary(names)}
TAGS = {_dictionary({key: str(value) for key, value in _source(view, row).items() if value is not None})}

for component, template in TEXTS.items():
    mlflow.genai.register_prompt(
        name=NAMES[component],
        template=template,
        commit_message=TAGS["run"] + " " + TAGS["candidate"],
        tags=TAGS,
    )
'''
    use = "Run it where MLFLOW_TRACKING_URI is set: one prompt for each component, a new version each time."
    return Export("mlflow", "MLflow", "register_prompts.py", "text/x-python", text, use)


def _promptfoo(view: RunView, row: Row) -> Export:
    roles, holes = _surface(view, "roles"), _surface(view, "placeholders")
    messages = [
        {"role": str(roles.get(name) or "system"), "content": template(text, holes.get(name, ()))}
        for name, text in row.components.items()
    ]
    variables = list(dict.fromkeys(hole for name in row.components for hole in holes.get(name, ())))
    if all(message["role"] != "user" for message in messages):
        messages.append({"role": "user", "content": "{{ input }}"})
        variables.append("input")
    config: JsonValue = {
        "description": _origin(view, row),
        # Over several lines, or promptfoo takes it for the name of a file.
        "prompts": [{"label": row.id, "raw": _written(messages)}],
        "providers": ["echo"],
        "tests": [{"vars": dict.fromkeys(variables, "...")}],
    }
    text = f"# {_origin(view, row)}\n# This is JSON, which is YAML.\n{_written(config)}"
    use = "promptfoo eval -c promptfooconfig.yaml, with your provider for echo, and your examples as tests."
    return Export("promptfoo", "promptfoo", "promptfooconfig.yaml", "application/yaml", text, use)


_MAKERS: tuple[Callable[[RunView, Row], Export], ...] = (_json, _python, _dspy, _mlflow, _promptfoo)


# -- what no text may break ------------------------------------------------------------------------

_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_TAG = re.compile(r"\{\{|\{%|\{#")


def template(text: str, holes: tuple[str, ...] | list[str]) -> str:
    """For Nunjucks or Jinja: renders to the text as it is; the `{holes}` are variables there."""
    found = _TAG.sub(lambda tag: f'{{{{ "{tag[0]}" }}}}', text)
    for hole in holes:
        found = re.sub(rf"(?<!\{{)\{{{re.escape(hole)}\}}", f"{{{{ {hole} }}}}", found)
    return found


def _written(value: JsonValue) -> str:
    """JSON that is YAML too: what YAML does not take as it is stands as an escape."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False)
    return _UNSAFE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n"


def _dictionary(texts: Mapping[str, str]) -> str:
    """As Python, a line of the text on each line."""
    return "{\n" + "".join(f"    {name!r}: {_literal(text)},\n" for name, text in texts.items()) + "}"


def _literal(text: str) -> str:
    lines = text.splitlines(keepends=True)
    if len(lines) < 2:
        return repr(text)
    return "(\n" + "".join(f"        {line!r}\n" for line in lines) + "    )"


def _origin(view: RunView, row: Row) -> str:
    """A line that says whose texts these are. Ids hold nothing that ends a comment or a string."""
    return f"Prompts of candidate {row.id} (#{row.index}) of {view.run.id}, from paretune."


def _source(view: RunView, row: Row) -> dict[str, JsonValue]:
    test = view.finished.test.get(row.id) if view.finished else None
    return {"run": view.run.id, "candidate": row.id, "train_mean": row.mean, "test_mean": test}


def _surface(view: RunView, part: str) -> Mapping[str, JsonValue]:
    found: Mapping[str, JsonValue] = view.run.job.get("surface", {}).get(part, {})
    return found


def _file_name(component: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", component)[:80] or "prompt"


def _mlflow_name(name: str) -> str:
    """Letters, digits, dots, dashes and underscores, as MLflow allows."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:200] or "prompt"
