"""A run in one file: its size, and its script."""

from __future__ import annotations

import pytest
from markupsafe import escape

from paretune.console.bundle import bundle
from paretune.console.pages import LISTED
from paretune.console.report import MOST_BYTES, Fragments, report
from paretune.views.run_view import read
from support.runs import CASES, carry


async def test_a_report_is_small_enough_and_names_what_is_left_out() -> None:
    done = await carry(next(iter(CASES.values()))(3))
    view = read(done.store, done.run_id)
    whole = report(view, "succeeded", done.store)
    assert len(whole.html) < MOST_BYTES
    small = report(view, "succeeded", done.store, len(whole.html) - 2_000)
    assert len(small.html) <= len(whole.html) - 2_000
    named = [line for line in small.left_out if "too large" in line]
    assert named
    assert all(escape(line) in small.html.decode() for line in small.left_out)


async def test_no_view_crowds_out_another() -> None:
    done = await carry(next(iter(CASES.values()))(3))
    view = read(done.store, done.run_id)
    whole = report(view, "succeeded", done.store)
    first = {each.name: f'data-page="{Fragments()(each.name)[1:]}"' for each in LISTED}
    for size in (len(whole.html) - 100_000, len(whole.html) - 200_000):
        text = report(view, "succeeded", done.store, size).html.decode()
        assert [name for name, page in first.items() if page not in text] == []


def test_modules_become_one_script() -> None:
    modules = {
        "a.js": 'import { one, two as both } from "./b.js";\nimport "./c.js";\nboth(one);\n',
        "b.js": "export const one = 1;\nexport function two(n) { return n; }\nlet own = 2;\n",
        "c.js": "let own = 3;\n",
    }
    script = bundle("a", modules.__getitem__)
    assert script.index("module_b =") < script.index("module_a =")
    assert "const { one, two: both } = module_b;" in script
    for wrong in ('import it from "./b.js";', 'import("./b.js")', "export default 1;"):
        with pytest.raises(ValueError, match="cannot be bundled"):
            bundle("a", {"a.js": wrong}.__getitem__)
    with pytest.raises(ValueError, match="each other"):
        bundle("a", {"a.js": 'import "./b.js";', "b.js": 'import "./a.js";'}.__getitem__)
