"""What every store does, whatever it is made of."""

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretune.store import (
    Attempt,
    AttemptBegun,
    AttemptEnded,
    Draw,
    Fact,
    MemoryStore,
    Run,
    StatusSet,
    Store,
    StoredDecision,
    StoreError,
    UnknownRun,
    Write,
    as_stored,
    chain,
    new_run_id,
)
from paretune.store.base import RunStatus

Fill = Callable[[Store, str], Run]
NUMBERS = itertools.count()


def new_run(store: Store, run_id: str = "run_1", created_at: str = "2025-01-01T00:00:00Z") -> str:
    store.create_run(Run(run_id, "a run", created_at, {}))
    return run_id


def decision(seq: int, key: str = "", body: int = 0) -> StoredDecision:
    return StoredDecision(seq, key or f"step/{seq}", {"n": body}, chain("before", key, {"n": body}))


def result(key: str, value: float = 0.0, scope: str = "") -> Fact:
    return Fact(key, "rollout", {"reward": value}, scope, paid_by="run_1")


def test_what_is_committed_comes_back_equal(store: Store, fill: Fill) -> None:
    run = fill(store, "run_1")

    assert run == Run(
        "run_1",
        "sort mail",
        "2025-01-01T00:00:00Z",
        {"seed": 3, "model": "m\u00e9\U0001f600"},
        status="running",
        status_detail="step 1",
        wish="pause",
    )
    assert store.runs() == [run]
    fact = store.facts(["r_run_1"])["r_run_1"]
    assert fact == Fact(
        "r_run_1", "rollout", {"reward": 1 / 3, "output": "\ud800 \x00"}, "", "run_1", 0.25, "t1"
    )
    first, second = store.decisions("run_1")
    assert (first.seq, first.key, first.elapsed, first.at) == (0, "start", 0.5, "t3")
    assert first.chain == chain("run_1", "start", first.body)
    assert second.chain == chain(first.chain, "step/1", second.body)
    assert store.attempts("run_1") == [
        Attempt(
            AttemptBegun("a_0", "r_run_1", "rollout", 0, 0.0, "t5"),
            AttemptEnded("a_0", "failed", "rate_limited", "slow down", 0, 0, None, 0.1, "t7"),
        ),
        Attempt(AttemptBegun("a_1", "r_run_1", "rollout", 1, 0.01, "t5")),
        Attempt(
            AttemptBegun("a_2", "r_run_1", "rollout", 2, 0.02, "t5"), AttemptEnded("a_2", "lost", at="t6")
        ),
        Attempt(
            AttemptBegun("a_3", "r_run_1", "rollout", 3, 0.03, "t5"),
            AttemptEnded("a_3", "done", "", "", 10, 20, 0.004, 0.2, "t8"),
        ),
    ]


def test_what_comes_out_is_nobody_elses_to_change(store: Store) -> None:
    body = {"reward": 1.0, "trace": [1]}
    store.commit(new_run(store), [Fact("k", "rollout", body)])
    body["trace"] = []
    store.facts(["k"])["k"].body["trace"].append(2)

    assert store.facts(["k"])["k"].body == {"reward": 1.0, "trace": [1]}


def test_a_run_is_created_once_under_an_id_that_can_name_a_folder(store: Store) -> None:
    new_run(store)

    with pytest.raises(StoreError, match="run_1 exists already"):
        new_run(store)
    for bad in ("", "../run", "a/b", "run\n", ".hidden"):
        with pytest.raises(StoreError, match="run id"):
            new_run(store, bad)


def test_runs_are_listed_newest_first_and_found_by_the_start_of_their_id(store: Store) -> None:
    new_run(store, "run_ab", "2025-01-02T00:00:00Z")
    new_run(store, "run_b", "2025-01-03T00:00:00Z")
    new_run(store, "run_a", "2025-01-01T00:00:00Z")

    assert [run.id for run in store.runs()] == ["run_b", "run_ab", "run_a"]
    assert store.run("run_a").id == "run_a"
    assert store.run("run_ab").id == "run_ab"
    assert store.run("run_b").id == "run_b"
    with pytest.raises(UnknownRun, match="3 runs start with 'run_': run_a, run_ab, run_b"):
        store.run("run_")
    for unknown in ("run_c", "RUN_B", "run%", "un_b"):
        with pytest.raises(UnknownRun, match="no run"):
            store.run(unknown)


def test_nothing_is_written_to_or_read_from_an_unknown_run(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.commit("run_1", [Draw("k")]),
        lambda: store.wish("run_1", "cancel"),
        lambda: store.forget_failures("run_1", ["k"]),
        lambda: store.drawn("run_1"),
        lambda: store.decisions("run_1"),
        lambda: store.attempts("run_1"),
    ]
    for call in calls:
        with pytest.raises(UnknownRun):
            call()


def test_a_fact_or_draw_that_is_there_stays_as_it_is(store: Store) -> None:
    run = new_run(store)
    store.commit(run, [result("k", 1.0), Draw("k"), result("k", 2.0)])
    store.commit(run, [result("k", 3.0), Draw("k"), Draw("j")])

    assert store.facts(["k", "unknown"]) == {"k": result("k", 1.0)}
    assert store.drawn(run) == ["j", "k"]


def test_a_commit_names_the_facts_that_something_else_is_kept_for(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    assert store.commit(run, [result("k", 1.0), Draw("k")]) == frozenset()
    assert store.commit(other, [result("k", 2.0), result("j", 2.0), Draw("k")]) == {"k"}
    assert store.commit(other, [result("j", 2.0)]) == frozenset(), "the same again"
    assert store.commit(other, [result("i", 1.0), result("i", 2.0)]) == {"i"}
    own = Fact("k", "failure", {}, scope=other)
    assert store.commit(other, [own]) == frozenset(), "each run's own are apart from everybody's"
    assert store.commit(other, [result("k", 2.0), own]) == {"k"}

    assert store.facts(["i", "j", "k"]) == {
        "i": result("i", 1.0),
        "j": result("j", 2.0),
        "k": result("k", 1.0),
    }


def test_what_a_store_gives_back_is_known_without_it(store: Store) -> None:
    body = {"z": (1, 0.1 + 0.2), "a": {"y": "\ud800 \x00 m\u00e9", "b": None}, "n": 1e300}
    fact = Fact("k", "rollout", body, seconds=0.25, at="t")
    store.commit(new_run(store), [fact])

    assert as_stored(fact) == store.facts(["k"])["k"]
    assert json.dumps(as_stored(fact).body) == json.dumps(store.facts(["k"])["k"].body), "in this order"


def test_an_attempt_that_is_done_draws_its_fact(store: Store) -> None:
    run = new_run(store)
    store.commit(run, [*(AttemptBegun(key, key, "rollout", 1) for key in "abcd"), Draw("e"), Draw("d")])
    ends = [AttemptEnded("a", "lost"), AttemptEnded("b", "failed"), AttemptEnded("d", "done")]
    assert store.drawn(run) == ["d", "e"]
    store.commit(run, [*ends, AttemptEnded("c", "done"), result("c"), result("d")])

    assert store.drawn(run) == ["c", "d", "e"]
    assert store.drawn(new_run(store, "run_2")) == []


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 3), st.integers(0, 99))),
    size=st.integers(1, 5),
    reader=st.sampled_from(["", "a", "b"]),
)
def test_a_run_reads_its_own_facts_first_then_everybodys(
    store: Store, written: list[tuple[str, int, int]], size: int, reader: str
) -> None:
    world = f"w{next(NUMBERS)}"
    ids = {"": "", "a": new_run(store, f"{world}_a"), "b": new_run(store, f"{world}_b")}
    expected: dict[tuple[str, str], Fact] = {}
    for start in range(0, len(written), size):
        for owner in ids:
            some = [(n, v) for o, n, v in written[start : start + size] if o == owner]
            facts = [result(f"{world}/{n}", v, ids[owner]) for n, v in some]
            store.commit(ids[owner or "a"], facts)
            for fact in facts:
                expected.setdefault((owner, fact.key), fact)

    keys = [f"{world}/{n}" for n in range(4)]
    readable = {key: expected.get((reader, key)) or expected.get(("", key)) for key in keys}
    assert store.facts(keys, ids[reader]) == {key: fact for key, fact in readable.items() if fact}


def test_thousands_of_keys_can_be_asked_at_once(store: Store) -> None:
    run = new_run(store)
    keys = [f"k{n}" for n in range(2500)]
    store.commit(run, [result(key) for key in keys])

    assert store.facts([*keys, "unknown"]).keys() == set(keys)
    assert store.facts([]) == {}


def test_failures_are_never_handed_to_another_run(store: Store) -> None:
    failure = Fact("k", "failure", {}, scope="run_1")
    new_run(store)
    store.commit("run_1", [failure])

    assert store.facts(["k"], new_run(store, "run_2")) == {}
    assert store.facts(["k"]) == {}
    with pytest.raises(StoreError, match="other runs"):
        store.commit("run_1", [Fact("j", "failure", {})])
    with pytest.raises(StoreError, match="is of run run_1"):
        store.commit("run_2", [failure])


def test_the_log_counts_from_zero_without_gaps(store: Store) -> None:
    run = new_run(store)
    with pytest.raises(StoreError, match="decision 1 does not follow a log of 0"):
        store.commit(run, [decision(1)])
    store.commit(run, [decision(0), decision(1)])
    with pytest.raises(StoreError, match="decision 3 does not follow a log of 2"):
        store.commit(run, [decision(3)])
    store.commit(run, [decision(2)])

    assert store.decisions(run) == [decision(0), decision(1), decision(2)]
    assert store.decisions(run, since=2) == [decision(2)]
    assert store.decisions(run, since=3) == []


def test_a_place_or_key_in_the_log_is_never_given_to_another_decision(store: Store) -> None:
    run = new_run(store)
    store.commit(run, [decision(0, "a"), decision(1, "b")])
    store.commit(run, [decision(0, "a")])  # the same one again

    for other in (decision(1, "c"), decision(1, "b", body=1), decision(2, "a"), decision(0, "b")):
        with pytest.raises(StoreError, match="run_1: decision"):
            store.commit(run, [other])
    with pytest.raises(StoreError, match="run_1: decision"):
        store.commit(run, [decision(2, "d"), decision(3, "d")])
    assert store.decisions(run) == [decision(0, "a"), decision(1, "b")]
    store.commit(new_run(store, "run_2"), [decision(0, "b")])


def test_attempts_keep_the_order_in_which_they_began_and_end_once(store: Store) -> None:
    run = new_run(store)
    store.commit(run, [AttemptBegun("z", "k", "rollout", 1)])
    store.commit(run, [AttemptBegun("a", "k", "proposal", 1), AttemptEnded("a", "done", cost_usd=0.0)])
    store.commit(run, [AttemptEnded("z", "lost")])
    store.commit(run, [AttemptEnded("z", "done", cost_usd=1.0)])

    assert [attempt.begun.id for attempt in store.attempts(run)] == ["z", "a"]
    assert [attempt.ended for attempt in store.attempts(run)] == [
        AttemptEnded("z", "lost"),
        AttemptEnded("a", "done", cost_usd=0.0),
    ]
    with pytest.raises(StoreError, match="attempt z began already"):
        store.commit(run, [AttemptBegun("z", "k", "rollout", 2)])
    for again in (AttemptBegun("z", "k", "rollout", 1), AttemptBegun("n", "k", "rollout", 1)):
        with pytest.raises(StoreError, match=f"attempt {again.id} began already"):
            store.commit(run, [AttemptBegun("n", "k", "rollout", 1), again, AttemptEnded("n", "done")])
    assert [attempt.begun.id for attempt in store.attempts(run)] == ["z", "a"]
    store.commit(new_run(store, "run_2"), [AttemptBegun("z", "k", "rollout", 1)])
    with pytest.raises(StoreError, match="attempt a ended but never began"):
        store.commit("run_2", [AttemptEnded("a", "done")])


def test_who_has_seen_attempts_reads_the_new_ones_and_those_that_were_open(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    for number in range(4):
        store.commit(run, [AttemptBegun(f"a{number}", f"r{number}", "rollout", 1)])
        store.commit(other, [AttemptBegun("x" * (number + 1), "r", "rollout", 1)])
    seen = store.attempts(run)
    places = [attempt.place for attempt in seen]
    assert places == sorted(set(places))
    assert places[0] > 0
    assert store.attempts(run, places[-1]) == []
    assert [a.begun.id for a in store.attempts(run, places[1])] == ["a2", "a3"]

    store.commit(run, [AttemptEnded("a1", "done"), AttemptBegun("a4", "r4", "rollout", 1)])
    again = store.attempts(run, places[-1], [places[2], places[1]])
    assert [(a.begun.id, a.ended is None) for a in again] == [("a1", False), ("a2", True), ("a4", True)]
    assert store.attempts(run, places[1], [places[0], places[3]]) == [seen[0], *again[1:2], seen[3], again[2]]


def test_the_attempts_of_one_key_are_those_of_the_run_in_order(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    store.commit(run, [AttemptBegun("z", "k", "rollout", 1), AttemptBegun("y", "l", "rollout", 1)])
    store.commit(other, [AttemptBegun("x", "k", "rollout", 1)])
    store.commit(run, [AttemptEnded("z", "failed", "timeout"), AttemptBegun("a", "k", "rollout", 2)])
    assert [(a.begun.id, a.ended is None) for a in store.attempts_of(run, "k")] == [("z", False), ("a", True)]
    assert store.attempts_of(run, "m") == []


def test_the_draws_of_a_run_are_read_when_there_are_other_ones(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    assert store.draws(run) == store.draws(run, known=0) == []
    store.commit(run, [Draw("b"), Draw("a"), AttemptBegun("z", "k", "rollout", 1), AttemptEnded("z", "done")])
    store.commit(other, [Draw("c")])
    assert store.draws(run) == store.draws(run, known=1) == ["a", "b"]
    assert store.draws(run, known=2) == []


def test_a_list_of_runs_leaves_out_the_jobs_that_nothing_changes_any_more(store: Store) -> None:
    states: tuple[RunStatus, ...] = ("queued", "failed", "succeeded", "cancelled")
    for number, state in enumerate(states):
        store.create_run(Run(f"run_{number}", state, f"2025-01-0{9 - number}", {"seed": 3}, state))
    whole, listed = store.runs(), store.headings()
    assert [run.job for run in listed] == [{"seed": 3}, {"seed": 3}, {}, {}]
    assert [replace(run, job={"seed": 3}) for run in listed] == whole


def test_what_no_other_run_may_use_is_a_runs_own(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    store.commit(run, [Fact("f", "failure", {}, scope=run), result("e", scope=run), result("r"), Draw("r")])
    store.commit(other, [Fact("g", "failure", {}, scope=other)])
    assert store.own(run) == ["e", "f"]


@pytest.mark.parametrize(
    "wrong",
    [decision(5), AttemptEnded("unknown", "done"), Fact("n", "rollout", {"reward": float("nan")})],
    ids=["gap", "attempt", "not JSON"],
)
def test_a_commit_is_all_or_nothing(store: Store, wrong: Write) -> None:
    run = new_run(store)
    begun = AttemptBegun("a", "k", "rollout", 1)
    with pytest.raises(StoreError):
        store.commit(run, [result("k"), Draw("k"), decision(0), begun, StatusSet("failed"), wrong])

    assert store.facts(["k"]) == {}
    assert store.drawn(run) == []
    assert store.decisions(run) == []
    assert store.attempts(run) == []
    assert store.run(run).status == "queued"
    store.commit(run, [])


def test_a_wish_stays_until_a_status_clears_it(store: Store) -> None:
    run = new_run(store)
    asked: Literal["pause"] = "pause"
    store.wish(run, asked)
    store.commit(run, [StatusSet("running", "so far")])
    assert store.run(run).wish == "pause"

    store.commit(run, [StatusSet("paused", "asked to", clear_wish=True)])
    now = store.run(run)
    assert (now.status, now.status_detail, now.wish) == ("paused", "asked to", "")


def test_new_limits_stand_in_the_job_and_leave_the_rest_of_the_run(store: Store) -> None:
    first = Run("run_1", "a", "t", {"limits": {"tokens": None, "rollouts": 9}, "seed": {"text": "\ud83d"}})
    store.create_run(first)
    new_run(store, "run_2")
    store.wish("run_1", "pause")
    store.set_limits("run_1", {"tokens": 5, "rollouts": 9})

    now = store.run("run_1")
    assert now.job == {**first.job, "limits": {"tokens": 5, "rollouts": 9}}
    assert (now.name, now.created_at, now.status, now.wish) == ("a", "t", "queued", "pause")
    assert "limits" not in store.run("run_2").job
    with pytest.raises(UnknownRun):
        store.set_limits("run_3", {})


def test_forgotten_failures_leave_everything_else(store: Store) -> None:
    run, other = new_run(store), new_run(store, "run_2")
    own = [Fact(key, "failure", {}, scope=run) for key in ("f1", "f2")]
    store.commit(run, [*own, result("r"), *map(Draw, ("f1", "f2", "r"))])
    store.commit(other, [Fact("f1", "failure", {}, scope=other), Draw("f1")])

    store.forget_failures(run, ["f1", "r", "unknown"])

    assert store.facts(["f1", "f2", "r"], run).keys() == {"f2", "r"}
    assert store.drawn(run) == ["f2", "r"]
    assert store.facts(["f1"], other).keys() == {"f1"}
    assert store.drawn(other) == ["f1"]
    store.commit(run, [result("f1"), Draw("f1")])
    assert store.facts(["f1"], run)["f1"].kind == "rollout"


def test_text_that_no_database_takes_does_not_stop_a_run(store: Store) -> None:
    run = new_run(store)
    store.commit(
        run,
        [
            AttemptBegun("a", "k", "rollout", 1),
            AttemptEnded("a", "failed", message="half \ud83d, nothing \x00"),
            StatusSet("failed", "\udcff"),
        ],
    )

    ended = store.attempts(run)[0].ended
    assert ended
    assert ended.message == "half \ufffd, nothing \ufffd"
    assert store.run(run).status_detail == "\ufffd"


def test_threads_share_a_store(store: Store) -> None:
    runs = [new_run(store, f"run_{n}") for n in range(4)]
    errors: list[BaseException] = []

    def work(run: str) -> None:
        try:
            for n in range(10):
                store.commit(run, [result(f"k{n}"), Draw(f"k{n}"), decision(n)])
                assert len(store.facts([f"k{n}"], run)) == 1
                assert len(store.decisions(run)) == n + 1
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not errors
    assert [len(store.drawn(run)) for run in runs] == [10] * 4


def test_a_store_may_be_closed_twice_and_only_one_in_memory_goes_on(store: Store) -> None:
    run = new_run(store)
    store.close()
    store.close()

    if isinstance(store, MemoryStore):
        assert store.run(run).id == run
    else:
        with pytest.raises(StoreError, match="closed"):
            store.run(run)


def test_later_run_ids_sort_later_and_are_never_the_same(store: Store) -> None:
    ids = [new_run_id() for _ in range(200)]

    assert len(set(ids)) == 200
    assert [run_id[:21] for run_id in ids] == sorted(run_id[:21] for run_id in ids)
    new_run(store, ids[0])
