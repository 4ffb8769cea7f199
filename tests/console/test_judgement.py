"""The pages of judgement, from a real run: what they say is what the record says."""

import asyncio
import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from paretune.console.bounds import between
from paretune.console.pages import BY_NAME, Paths, fragment
from paretune.console.paging import page_of
from paretune.console.view import Asked, NoSuchView
from paretune.console.views import compare, cost, errors, events, objectives
from paretune.console.views.export import exported
from paretune.core.errors import FailureKind
from paretune.core.statistics import Interval, compare_paired
from paretune.propose.guards import Reason
from paretune.store import MemoryStore, Store
from paretune.store.base import Attempt, AttemptBegun, AttemptEnded, Role
from paretune.views.faults import Fault, Signature, signature
from paretune.views.lift import flips
from paretune.views.pool import pool_course
from paretune.views.run_view import RunView, read
from support.runs import POOLED, begin, carry, lanes, merging

HOSTILE = "<script>alert(1)</script>\"'{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def run() -> tuple[Store, RunView]:
    finished = asyncio.run(carry(merging(2)))
    return finished.store, read(finished.store, finished.run_id)


def asked(run: tuple[Store, RunView], **query: str) -> Asked:
    store, view = run
    return Asked(view, view.run.status, store, Paths("", view.run.id), {}, query)


PAGES = ("compare", "objectives", "heldout", "pipeline", "cost", "events", "errors", "export")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_there_whatever_is_asked(run: tuple[Store, RunView], name: str) -> None:
    for query in (
        {},
        dict.fromkeys(("x", "y", "by", "kind", "text", "order", "page", "from", "split"), HOSTILE),
    ):
        html = fragment(BY_NAME[name], asked(run, **query))
        assert html.startswith("<h1>") or "<h1>" in html[:80]
        assert "<script>alert" not in html


async def test_every_page_is_there_from_the_first_moment_of_a_run_on() -> None:
    case, store = lanes(3), MemoryStore()
    run_id = begin(store, case.job(), case.proposer())
    work = asyncio.create_task(carry(case, store=store, run_id=run_id))
    seen = set[int]()
    while not work.done():
        decided = len(store.decisions(run_id)) // 150
        if decided not in seen:
            seen.add(decided)
            view = read(store, run_id)
            for name in PAGES:
                now = Asked(view, "running", store, Paths("", run_id))
                assert "<h1>" in fragment(BY_NAME[name], now)
        await asyncio.sleep(0.005)  # who looks all the time keeps the run from its store
    await work
    assert len(seen) > 1


def test_compare_is_seed_against_best_and_agrees_with_the_statistics(run: tuple[Store, RunView]) -> None:
    view, shown = run[1], compare.show(asked(run))
    best = view.best
    assert best
    assert (shown["a"].id, shown["b"].id) == (view.seed.id, best.id)
    paired = compare_paired(
        view.rewards(view.seed.id, "test"),
        view.rewards(best.id, "test"),
        seed=view.run.job["settings"]["seed"],
    )
    assert shown["comparison"] == replace(paired, difference=paired.difference.within(-1.0, 1.0))
    assert [flip.example for flip in shown["flips"].items] == [flip.example for flip in flips(view, "test")]
    assert sum(line.gained + line.lost for line in shown["lines"] if line.split == "test") == len(
        shown["flips"].items
    )


def test_outputs_of_others_than_seed_and_best_are_fetched(run: tuple[Store, RunView]) -> None:
    view = run[1]
    best = view.best
    others = [
        row
        for row in view.rows.values()
        if row.mean is not None and row.id not in (view.seed.id, best and best.id)
    ]
    shown = compare.show(asked(run, a="0", b=f"#{others[0].index}", split="pareto"))
    assert shown["flips"].items
    assert all(flip.after.answer.output for flip in shown["flips"].items)


def test_unknown_candidates_are_refused(run: tuple[Store, RunView]) -> None:
    for text in ("9999", "c_nobody", HOSTILE):
        with pytest.raises(NoSuchView):
            compare.show(asked(run, a=text))
    with pytest.raises(NoSuchView):
        exported(asked(run), "../../etc/passwd")


def test_the_front_is_whoever_nobody_beats() -> None:
    points = [(1.0, 3.0), (2.0, 2.0), (2.0, 2.0), (3.0, 1.0), (1.0, 2.0), (2.0, 1.0)]
    beaten = {
        at
        for at, (x, y) in enumerate(points)
        if any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    }
    assert objectives.pareto(points) == set(range(len(points))) - beaten


def test_objectives_offer_the_tasks_own(run: tuple[Store, RunView]) -> None:
    view, shown = run[1], objectives.show(asked(run, x="length", y="score"))
    names = {name for r in view.rollouts.values() for name in r.answer.objectives}
    assert {f"objective:{name}" for name in names} <= {axis.name for axis in shown["axes"]}
    assert all(point.y == point.row.mean for point in shown["points"])
    assert shown["front"]


def numbers(found: Mapping[str, object]) -> list[int]:
    return [entry.seq for entry in found["entries"]]  # type: ignore[attr-defined]


def test_events_can_be_filtered_and_linked_to(run: tuple[Store, RunView]) -> None:
    view = run[1]
    gates = [seq for seq, d in enumerate(view.decisions) if d.kind == "gate_decided"]
    assert numbers(events.show(asked(run, kind="gate_decided", order="old"))) == gates[: events.SIZE]
    about = view.decisions[gates[0]]
    child = view.rows[about.child]  # type: ignore[union-attr]
    found = numbers(events.show(asked(run, candidate=str(child.index), order="old")))
    assert gates[0] in found
    assert all(child.id in str(view.decisions[seq]) for seq in found)
    linked = events.show(asked(run, order="old", **{"from": str(gates[-1])}))
    assert gates[-1] in numbers(linked)
    assert linked["wanted"] == gates[-1]


def test_events_find_text_in_what_was_written(run: tuple[Store, RunView]) -> None:
    view = run[1]
    row = next(row for row in view.rows.values() if row.parents)
    line = next(iter(row.components.values())).strip().split("\n")[-1].casefold()
    found = numbers(events.show(asked(run, text=line.upper(), kind="everything")))
    assert found
    assert all(line in str(view.decisions[seq]).casefold() for seq in found)


def test_pages_of_a_table() -> None:
    items = list(range(25))
    assert page_of(items, {}, 10).items == items[:10]
    last = page_of(items, {"page": "99"}, 10)
    assert (list(last.items), last.first, last.pages) == ([20, 21, 22, 23, 24], 21, 3)
    assert page_of([], {"page": "x"}, 10).pages == 1


def test_a_turned_down_proposal_is_told_with_its_reason(run: tuple[Store, RunView]) -> None:
    view, shown = run[1], errors.show(asked(run))
    reasons = [getattr(d, "reason", "") for d in view.decisions if d.kind == "proposal_rejected"]
    assert sum(group.count for group in shown["turned"]) == len(reasons)
    assert {group.reason for group in shown["turned"]} == set(reasons)


def test_every_failure_has_advice() -> None:
    assert set(errors.ADVICE) == set(FailureKind)
    assert set(errors.REJECTED) == set(Reason)
    assert set(errors.MODEL_ADVICE) < set(FailureKind)


def late(place: int, role: Role, key: str) -> Attempt:
    begun = AttemptBegun(f"a{place}", key, role, 1)
    ended = AttemptEnded(f"a{place}", "failed", "timeout", "late", at="2026-01-01T00:00:01+00:00")
    return Attempt(begun, ended, place)


def test_task_and_proposer_fail_apart_and_success_is_what_is_known(run: tuple[Store, RunView]) -> None:
    store, view = run
    known = sorted(key for key in store.drawn(view.run.id) if key in view.ledger.drawn)
    faults = dict[Signature, Fault]()
    calls: list[tuple[Role, str]] = [("rollout", known[0]), ("rollout", known[1]), ("proposal", "p_1")]
    for place, (role, key) in enumerate(calls):
        faults.setdefault(signature(role, "timeout", "late"), Fault()).add(late(place, role, key))
    shown = errors.show(asked((store, replace(view, faults=faults, failures=()))))
    of_task, of_proposer = shown["groups"]
    assert (of_task.error.role, of_proposer.error.role) == ("rollout", "proposal")
    assert (of_task.again, of_proposer.again) == ("asked again, with success", "asked again")
    assert "proposer" in of_proposer.advice
    assert "rollout.timeout" in of_task.advice


def test_exports_are_shown_as_text(run: tuple[Store, RunView]) -> None:
    html = fragment(BY_NAME["export"], asked(run))
    best = run[1].best
    assert best
    shown = re.findall(r"<pre[^>]*>(.*?)</pre>", html, re.DOTALL)
    assert len(shown) == len(best.components) + 5


def test_zeros_are_not_drawn(run: tuple[Store, RunView]) -> None:
    store, view = run
    free = view.spent.copy()
    free["usd"] = 0.0
    shown = cost.show(asked((store, replace(view, spent=free)), by="money"))
    assert shown["chart"] is None
    assert cost.show(asked(run, by="calls"))["chart"]


def test_no_interval_goes_beyond_what_a_reward_can_be() -> None:
    wide = Interval(0.64, 0.224, 1.062, 5)
    assert between(wide.within(0.0, 1.0)) == "0.224 to 1.000"
    assert between(wide) == "0.224 to 1.062"
    assert between(Interval(-0.5, -1.2, 0.2, 5).within(-1.0, 1.0), True) == "-1.000 to +0.200"
    assert between(Interval(1.0, 1.0, 1.0, 5)) == ""
    assert between(Interval(1.0, -math.inf, math.inf, 1)) == ""
    assert between(Interval(1.0, -math.inf, math.inf, 1).within(0.0, 1.0)) == ""


@pytest.mark.parametrize("name", POOLED)
def test_the_pipeline_has_the_pool_over_time(name: str) -> None:
    finished = asyncio.run(carry(POOLED[name](0)))
    view = read(finished.store, finished.run_id)
    html = fragment(BY_NAME["pipeline"], asked((finished.store, view)))
    course = pool_course(view)
    assert course
    assert 'data-part="pool"' in html
    assert f"{course.spared:,} rollouts were not asked for" in html
    assert all(fragment(BY_NAME[page], asked((finished.store, view))) for page in PAGES)
