from paretune.algorithms.settings import GepaSettings, Pipeline
from paretune.algorithms.validation import Incumbent, Pace, choose_panel
from paretune.core.candidate import Candidate
from support.rulebook import Rulebook

ONE, OTHER = Candidate({"a": "one"}), Candidate({"a": "other"})


def test_the_larger_sum_on_what_both_were_scored_on_is_the_incumbent() -> None:
    incumbent = Incumbent(ONE, {"x": 1.0, "y": 0.0, "z": 0.5})
    duel = incumbent.challenge(OTHER, {"x": 0.0, "y": 0.5, "only": 1.0})
    assert (duel.wins, duel.losses, duel.difference, duel.won) == (1, 1, -0.5, False)
    assert (incumbent.candidate, incumbent.idle) == (ONE, 1)
    assert incumbent.challenge(OTHER, {"z": 1.0}).won
    assert (incumbent.candidate, incumbent.idle) == (OTHER, 0)


def test_a_draw_keeps_the_incumbent() -> None:
    incumbent = Incumbent(ONE, {"x": 1.0})
    assert not incumbent.challenge(OTHER, {"x": 1.0}).won
    assert incumbent.candidate == ONE


def test_clearly_worse_is_more_than_a_coin_would_do() -> None:
    line = {f"e{i}": 1.0 for i in range(9)}
    incumbent = Incumbent(ONE, line)
    lost = [{**line, **{f"e{i}": 0.0 for i in range(n)}} for n in (1, 2)]
    assert [incumbent.challenge(OTHER, rewards).clearly_worse for rewards in lost] == [False, True]


def test_the_panel_is_a_small_fixed_part_of_the_reflect_examples() -> None:
    book, settings = Rulebook(), GepaSettings(pipeline=Pipeline(lanes=1, panel=9))
    splits = book.splits(reflect=40, pareto=20)
    panel = choose_panel(splits, settings, None)
    assert len(panel) == 9
    assert set(panel) < set(splits.reflect)
    assert panel == choose_panel(splits, settings, None)
    assert len(choose_panel(splits, settings, budget=120)) == 3
    assert choose_panel(book.splits(shared=True), settings, None) == ()


def test_validations_in_vain_bring_the_next_one_forward_and_successes_put_it_off_again() -> None:
    pace = Pace(every=4, share=0.2)

    def due_after() -> tuple[int, int]:
        edits = next(n for n in range(100) if pace.due(n, 10_000, 100))
        return edits, next(n for n in range(10_000) if pace.due(100, n, 100))

    seen = [due_after()]
    for won in (False, False, False, False, True, True, True, True):
        pace.heard(won=won)
        seen.append(due_after())
    assert seen[0] == (4, 400)
    assert seen[:4] == [(4, 400), (4, 150), (2, 67), (1, 67)]
    assert seen[8] == seen[0]


def test_a_share_that_was_asked_for_is_kept_however_large() -> None:
    pace = Pace(every=1, share=1.0)
    pace.heard(won=False)
    assert pace.due(1, 0, 100)
