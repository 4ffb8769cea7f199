"""The merge of texts: tables of edits as proposers make them, and laws over texts with many equal lines.

In the tables `|` is a line break, `old => new` an edit of the table's text, and ` & ` stands between edits.
"""

import json
import re
import time
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.core.textmerge import Clash, Merge, merge_components, only_adds


def merged(base: str, ours: str, theirs: str) -> str | None:
    result = merge_components({"p": base}, {"p": ours}, {"p": theirs})
    return None if result.components is None else result.components["p"]


def put(text: str, edits: str) -> str:
    for edit in edits.replace("|", "\n").split(" & "):
        old, new = edit.split(" => ")
        assert old in text
        text = text.replace(old, new, 1)
    return text


def check(base: str, ours: str, theirs: str, expected: str | None) -> None:
    """Ours, theirs and the merge as edits of the base."""
    one, other = put(base, ours), put(base, theirs)
    assert merged(base, one, other) == (None if expected is None else put(base, expected))
    assert (merged(base, other, one) is None) == (expected is None)


def written(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


# -- tables ---------------------------------------------------------------------------------------

PROMPT = """\
You sort letters of a bank's customers.

Rules:
- Answer with one label.
- A lost card is card_lost, even if it was stolen.
- If two fit, take the first.

Text: {text}
Label:
"""


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        # additions at one place: ours, theirs, equal lines once
        ("first. => first.|- a b", "first. => first.|- c d", "first. => first.|- a b|- c d"),
        ("first. => first.|- a|- x", "first. => first.|- b|- x|- c", "first. => first.|- a|- b|- x|- c"),
        ("first. => first.|- a|- b", "first. => first.|- b|- a", "first. => first.|- a|- b"),
        ("first. => first.|- a", "first. => first.|  - a|- b", "first. => first.|- a|- b"),
        ("first. => first.|- a", "first. => first.|- a|- a", "first. => first.|- a|- a"),
        ("Rules => Be brief.||Rules", "Rules => Be kind.||Rules", "Rules => Be brief.||Be kind.||Rules"),
        ("Text => Notes:|- a||Text", "Text => Notes:|- b||Text", "Text => Notes:|- a||- b||Text"),
        ("Text => Rules:|- a||Text", "Text => Rules:|- b||Text", "Text => Rules:|- a||Rules:|- b||Text"),
        ("Label:| => Label:||Be brief.|", "Label:| => Label:||So.|", "Label:| => Label:||Be brief.||So.|"),
        # additions elsewhere, and beside other edits
        ("label. => label.|- a", "first. => first.|- b", "label. => label.|- a & first. => first.|- b"),
        ("one label => a label", "label. => label.|- a", "one label. => a label.|- a"),
        ("- A lost => None|- A lost", "- A lost => - A missing", "- A lost => None|- A missing"),
        ("- If two fit, take the first. => No more.", "Text => - a||Text", "- If two fit, take the first. => No more. & Text => - a||Text"),
        ("Rules:| => ", "Rules => Be kind.||Rules", "Rules:| => Be kind.||"),
        # deletions
        ("Rules:| => ", "a bank's => our", "Rules:| => & a bank's => our"),
        ("Rules:| => & a bank's => our", "Rules:| => ", "Rules:| => & a bank's => our"),
        ("Rules:|- Answer with one label.| => ", "Rules:| => ", "Rules:|- Answer with one label.| => "),
        # words
        ("A lost => A missing", "was stolen => was robbed", "A lost => A missing & was stolen => was robbed"),
        ("A lost => A gone & one label => a label", "A lost => A gone", "A lost => A gone & one label => a label"),
        ("label. => label. No doubts.", "label. => label. Be kind.", "label. => label. No doubts. Be kind."),
        ("label. => label. Be so. Go.", "label. => label. Go. Do.", "label. => label. Be so. Go. Do."),
        ("label. => label. Never say no.", "label. => label. Say no.", "label. => label. Never say no. Say no."),
        ("one label. => a label. Go.", "label. => label. Do.", "one label. => a label. Go. Do."),
        # the end as ours has it
        ("Label:| => Label:|Be brief.", "Label:| => Label:|Be kind.|", "Label:| => Label:|Be brief.|Be kind."),
        ("Label:| => Label:", "Label:| => Label:|Be kind.", "Label:| => Label:|Be kind."),
        ("Label:| => Label:||", "first. => first.|- a", "first. => first.|- a & Label:| => Label:||"),
        # moves
        ("Text: {text}|Label: => Label:|Text: {text}", "first. => first.|- a", "first. => first.|- a & Text: {text}|Label: => Label:|Text: {text}"),
        ("Text: {text}|Label: => Label:|Text: {text}", "Text: {text}|Label: => Label:|Text: {text} & a bank => our bank", "Text: {text}|Label: => Label:|Text: {text} & a bank => our bank"),
    ],
)  # fmt: skip
def test_edits_that_merge(ours: str, theirs: str, expected: str) -> None:
    check(PROMPT, ours, theirs, expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("- If two fit, take the first.| => ", "two fit => both fit"),
        ("- If two fit, take the first.| => ", "- If two fit, take the first. => No more."),
        ("- If two fit, take the first. => Go.", "- If two fit, take the first. => No more."),
        ("- If two fit, take the first. => Go.", "- If two fit, take the first. => Go.|No more."),
        ("Rules:|- Answer with one label.| => ", "Rules: => Rules:|- None."),
        ("one label => a label", "one label => some label"),
        ("one label => a label", "label. => word."),
        ("with one label => by label", "one label => a label"),
        ("stolen. => stolen. No doubts", "stolen. => stolen. Be kind."),
        ("Label: => Label: one", "Label: => Label: two"),
        ("Text: {text}|Label: => Label:|Text: {text}", "Text: => The text:"),
        ("Text: {text}|Label: => Label:|Text: {text}", "Label: => The label:"),
        ("Text: {text}|Label: => Label:|Text: {text}", "Text: {text}| => "),
        ("Text: {text}|Label: => Label:|Text: {text}", "Label: => So:|Label:"),
        ("|Text: {text}|Label: => |Label:|Text: {text}", "Rules: => Text: {text}|Rules: & |Text: {text}|Label => |Label"),
    ],
)  # fmt: skip
def test_edits_that_clash(ours: str, theirs: str) -> None:
    check(PROMPT, ours, theirs, None)


LIST = "Rules:\n1. one\n2. two\n3. three\n\nThe format is:\n1. a label\n2. a reason\n"
NESTED = "1. one rule\n   1. its case\n   2. its last\n2. two rules\n   1. no case\n3. End."
STEPS = "## 1. Read\nAll of {x}.\n\n## 2. Decide\nAt once.\n"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (LIST, "three => three|4. more", "three => three|4. less", "three => three|4. more|5. less"),
        (LIST, "1. one|2. two|3. => 1. new|2. one|3. two|4.", "1. one|2. two|3. => 1. late|2. one|3. two|4.", "1. one|2. two|3. => 1. new|2. late|3. one|4. two|5."),
        (LIST, "1. one|2. two|3. => 1. two|2.", "2. a => 2. why|3. a", "1. one|2. two|3. => 1. two|2. & 2. a => 2. why|3. a"),
        (LIST, "The format => The exact format", "is: => is this: & 3. three => 3. new|4. three", "The format is => The exact format is this & 3. three => 3. new|4. three"),
        (LIST, "2. two => 2. both", "1. one|2. two|3. => 1. x|2. one|3. two|4.", "1. one|2. two|3. => 1. x|2. one|3. both|4."),
        (NESTED, "2. two => 3. more|2. two & 3. => |   3.", "3. End => 3. So|4. End", "2. two => |   3. more|2. two"),
        (STEPS, "once.| => once.||## 3. Say|Once.|", "## 2. => ## 2. Think|Twice.||## 3.", "once.| => once.||## 4. Say|Once.| & ## 2. => ## 2. Think|Twice.||## 3."),
        ("In\n2019. was\n", "was => was|2020. too", "was => was|- so", "was => was|2020. too|- so"),
        ("1. a\n3. c", "c => c|- o", "a => a|b", "c => c|- o & a => a|b"),
        ("See 3. and # 4.", "4. => 4.|x", "See => z|See", "4. => 4.|x & See => z|See"),
        ("```\n1. a\n1. b\n```\n1. c", "c => c|2. d", "c => c|2. e", "c => c|2. d|3. e"),
        ("1. a\n3. c", "c => c|4. d", "c => c|4. e", None),
    ],
)  # fmt: skip
def test_numbers_of_lists(base: str, ours: str, theirs: str, expected: str | None) -> None:
    check(base, ours, theirs, expected)
