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
