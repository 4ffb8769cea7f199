"""A candidate's texts, in the forms in which other programs take them. Every form keeps each text exactly.

Demonstrations are turns of user and assistant wherever a form has messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paretune.core.canonical import JsonValue, finite
from paretune.core.demonstrations import stage_of
from paretune.core.placement import Turn
from paretune.views.conversation import conversation, demonstrations, sent
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
    """All forms of this candidate: first its texts as they are, one for each component.

    With demonstrations also the whole prompt, as the task receives it.
    """
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
    whole = [_whole(view, row)] if _surface(view, "formats") else []
    return [*texts, *whole, *(make(view, row) for make in _MAKERS)]


def _whole(view: RunView, row: Row) -> Export:
    text = "\n\n".join(f"[{turn.role}]\n{turn.text}" for turn in _turns(view, row))
    use = "To read: each message behind its role, solved examples before the question."
    return Export("messages", "Messages", "messages.txt", "text/plain", text, use)


def _json(view: RunView, row: Row) -> Export:
    record: dict[str, JsonValue] = {
        "kind": "paretune.prompt",
        "version": VERSION,
        **_source(view, row),
        "components": dict(row.components),
        "roles": dict(_surface(view, "roles")),
        "placeholders": {name: list(found) for name, found in _surface(view, "placeholders").items()},
    }
    if _surface(view, "formats"):
        record["messages"] = _messages(view, row)
    text = _written(record)
    return Export("json", "JSON", "prompt.json", "application/json", text, "Texts, their roles, and whose.")


def _python(view: RunView, row: Row) -> Export:
    text = f'"""{_origin(view, row)}"""\n\nPROMPTS = {_dictionary(_texts(view, row))}\n'
    if _surface(view, "formats"):
        text += f"\nMESSAGES = {_list(_messages(view, row))}\n"
    use = "Put it beside your code: from prompts import PROMPTS."
    return Export("python", "Python", "prompts.py", "text/x-python", text, use)


def _dspy(view: RunView, row: Row) -> Export:
    text = f'''"""{_origin(view, row)}"""

INSTRUCTIONS = {_dictionary(_prose(view, row))}
{_dspy_demonstrations(view, row)}

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
{_DSPY_SHOWS if _surface(view, "formats") else ""}    return program
'''
    use = "apply(program) before you compile, save or call it; components are matched to predictors by name."
    return Export("dspy", "DSPy", "dspy_instructions.py", "text/x-python", text, use)


def _mlflow(view: RunView, row: Row) -> Export:
    prefix = _mlflow_name(view.run.name or "prompt")
    names: dict[str, str] = {}
    for name in _texts(view, row):
        made = _mlflow_name(f"{prefix}-{name}")
        names[name] = f"{made}-{len(names)}" if made in names.values() else made
    text = f'''"""{_origin(view, row)}"""

import mlflow

TEXTS = {_dictionary(_texts(view, row))}
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
    holes = _surface(view, "placeholders")
    messages = [
        {"role": turn.role, "content": template(turn.text, holes.get(turn.name, ()))}
        for turn in _turns(view, row)
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


# -- demonstrations --------------------------------------------------------------------------------


def _turns(view: RunView, row: Row) -> list[Turn]:
    return conversation(row.components, list(row.components), view.run.job.get("surface", {}))


def _messages(view: RunView, row: Row) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.text} for turn in _turns(view, row)]


def _texts(view: RunView, row: Row) -> dict[str, str]:
    """The components as they are sent: demonstrations may stand in one of them."""
    return sent(row.components, view.run.job.get("surface", {}))


def _prose(view: RunView, row: Row) -> dict[str, str]:
    formats = _surface(view, "formats")
    return {name: text for name, text in row.components.items() if name not in formats}


def _dspy_demonstrations(view: RunView, row: Row) -> str:
    """Stage -> what its predictor is to show."""
    shown = demonstrations(row.components, view.run.job.get("surface", {}))
    if not shown:
        return ""
    rows = {stage_of(name): [(one.input, one.output) for one in found] for name, found in shown.items()}
    return f"\nDEMONSTRATIONS = {_nested(rows)}\n"


_DSPY_SHOWS = """\
    import dspy

    for name, shown in DEMONSTRATIONS.items():
        predictor = predictors[name] if name else list(predictors.values())[-1]
        inputs, outputs = predictor.signature.input_fields, predictor.signature.output_fields
        predictor.demos = [
            dspy.Example(**(given if isinstance(given, dict) else {list(inputs)[-1]: given}),
                         **{list(outputs)[-1]: answer}).with_inputs(*inputs)
            for given, answer in shown
        ]
"""


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


def _list(messages: list[dict[str, str]]) -> str:
    lines = (f"    {{'role': {m['role']!r}, 'content': {_literal(m['content'])}}},\n" for m in messages)
    return "[\n" + "".join(lines) + "]"


def _nested(rows: Mapping[str, Sequence[tuple[object, str]]]) -> str:
    lines = (
        f"    {stage!r}: [\n" + "".join(f"        {row!r},\n" for row in shown) + "    ],\n"
        for stage, shown in rows.items()
    )
    return "{\n" + "".join(lines) + "}"


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
