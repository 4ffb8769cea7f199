"""Exports: whatever a text says, each form gives back exactly that text."""

import ast
import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.demonstrations import Demonstration, dump
from paretune.core.placement import with_demonstrations
from paretune.views.exports import exports, template
from paretune.views.run_view import RunView, read
from support.runs import carry, merging

HOSTILE = (
    "plain",
    "",
    "'''\"\"\"\\",
    "ends with a backslash \\",
    'a "quoted" text\nwith {braces}, {{doubled}}, ${shell} and `ticks`',
    "{% raw %}{{ x }}{% endraw %}{# note #}",
    "---\n- a: b\n... # comment\n*anchor &ref !tag %directive |\n  > @",
    "nul \0, bell \x07, escape \x1b[31m, delete \x7f, next line \x85, \u2028 \u2029 \ufeff",
    "lone \ud800 surrogate, emoji \U0001f600, right to left \u202e",
    "tabs\t and\r\nreturns\rand\n\n\n",
    "</script><script>alert(1)</script>",
    "f'{__import__(\"os\")}' %s %(name)s",
)


@pytest.fixture(scope="module")
def view() -> RunView:
    finished = asyncio.run(carry(merging(2)))
    return read(finished.store, finished.run_id)


def exported(view: RunView, components: dict[str, str]) -> dict[str, str]:
    row = replace(view.seed, components=components)
    return {export.name: export.text for export in exports(view, row)}


def assigned(source: str, name: str) -> Any:
    """The literal that this Python gives to this name; all of it compiles."""
    tree = ast.parse(source)
    compile(tree, "export", "exec")
    found = [node for node in tree.body if isinstance(node, ast.Assign)]
    return next(ast.literal_eval(n.value) for n in found if ast.unparse(n.targets[0]) == name)


def test_every_form_keeps_every_text(view: RunView) -> None:
    components = {f"part {number} '\"\\": text for number, text in enumerate(HOSTILE)}
    found = exported(view, components)
    for number, text in enumerate(HOSTILE, 1):
        assert found[f"text-{number}"] == text
    assert json.loads(found["json"])["components"] == components
    assert assigned(found["python"], "PROMPTS") == components
    assert assigned(found["dspy"], "INSTRUCTIONS") == components
    assert assigned(found["mlflow"], "TEXTS") == components
    # The renderer writes all ends of lines alike.
    assert rendered(found["promptfoo"]) == [*(re.sub("\r\n?", "\n", text) for text in HOSTILE), "asked"]


SHOWN = [Demonstration("What is {x}?\n{{ 1 }}", "one\n'two'", "e1"), Demonstration("Nothing?", "none")]
TEXTS = {"system": "Be brief.", "user": "Q: {query}", "demonstrations": dump(SHOWN)}
SURFACE = {
    "roles": {"system": "system", "user": "user"},
    "placeholders": {"system": [], "user": ["query"]},
    "formats": {"demonstrations": "demonstrations"},
}
TURNS = [
    ("system", "Be brief."),
    ("user", "Q: What is {x}?\n{{ 1 }}"),
    ("assistant", "one\n'two'"),
    ("user", "Q: Nothing?"),
    ("assistant", "none"),
    ("user", "Q: {query}"),
]


def showing(view: RunView, **surface: Any) -> dict[str, str]:
    run = replace(view.run, job={**view.run.job, "surface": {**SURFACE, **surface}})
    return exported(replace(view, run=run), TEXTS)


def test_demonstrations_are_turns_wherever_a_form_has_messages(view: RunView) -> None:
    found = showing(view)
    messages = [{"role": role, "content": text} for role, text in TURNS]
    assert found["messages"] == "\n\n".join(f"[{role}]\n{text}" for role, text in TURNS)
    told = json.loads(found["json"])
    assert (told["messages"], told["components"]) == (messages, TEXTS)
    assert assigned(found["python"], "MESSAGES") == messages
    sent = [text.replace("{query}", "{{ query }}") for _, text in TURNS]
    raw = json.loads(found["promptfoo"].split("\n", 2)[2])["prompts"][0]["raw"]
    asked = [render(m["content"], query="{{ query }}") for m in json.loads(raw)]
    assert [m["role"] for m in json.loads(raw)] == [role for role, _ in TURNS]
    assert asked == sent


def test_demonstrations_without_messages_stand_in_the_instructions(view: RunView) -> None:
    found = showing(view, roles={}, hosts={"demonstrations": "system"})
    text = with_demonstrations("Be brief.", SHOWN)
    assert assigned(found["python"], "PROMPTS") == {"system": text, "user": "Q: {query}"}
    assert assigned(found["mlflow"], "TEXTS") == {"system": text, "user": "Q: {query}"}
    assert found["messages"].startswith(f"[system]\n{text}\n\n[")


def test_dspy_predictors_get_instructions_and_demonstrations(view: RunView) -> None:
    source = showing(view)["dspy"]
    assert assigned(source, "INSTRUCTIONS") == {"system": "Be brief.", "user": "Q: {query}"}
    assert assigned(source, "DEMONSTRATIONS") == {"": [(one.input, one.output) for one in SHOWN]}
    assert "DEMONSTRATIONS" not in exported(view, {"system": "Be brief."})["dspy"]


def test_components_have_names_of_their_own_in_a_registry(view: RunView) -> None:
    found = exported(view, {"a b": "1", "a-b": "2", "a/b": "3"})
    assert len(set(assigned(found["mlflow"], "NAMES").values())) == 3


def test_what_is_handed_out_is_utf8_whatever_the_text(view: RunView) -> None:
    row = replace(view.seed, components=dict.fromkeys(HOSTILE, "\ud800"))
    for export in exports(view, row):
        assert export.encoded().decode("utf-8")
        assert export.file.isascii()
        assert not {"/", "\\", '"', "\n"} & set(export.file)


def test_a_single_text_is_called_text(view: RunView) -> None:
    assert exported(view, {"system": "Be brief."})["text"] == "Be brief."


def rendered(config: str) -> list[str]:
    """The messages as promptfoo sends them."""
    raw = json.loads("\n".join(line for line in config.split("\n") if not line.startswith("#")))["prompts"][
        0
    ]["raw"]
    assert "\n" in raw  # or it would be taken for a file's name
    return [render(message["content"], input="asked") for message in json.loads(raw)]


def render(text: str, **variables: str) -> str:
    made = jinja2.Environment(keep_trailing_newline=True)
    return made.from_string(text).render(**variables)


@given(st.text(alphabet="{}%#ab \n\"'\\-_", max_size=60))
def test_a_template_renders_to_the_text(text: str) -> None:
    assert render(template(text, ()), a="?", b="?") == text


@given(st.text(alphabet="{} x\n", max_size=12), st.text(alphabet="} x\n", max_size=12))
def test_a_placeholder_is_a_variable(before: str, after: str) -> None:
    text = f"{before} {{name}}{after}"
    assert render(template(text, ("name",)), name="{name}") == text
