"""The lineage of the candidates, as Graphviz source and as a page in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from paretune.library.lineage import best_of, earlier_parents, frontier_members
from paretune.library.tree_page import page

if TYPE_CHECKING:
    from paretune.library.state import GEPAState, ProgramIdx


def candidate_tree_dot_from_data(
    candidates: Sequence[dict[str, str]],
    parents: Sequence[Sequence[int | None]],
    val_scores: Sequence[float],
    pareto_front_programs: Mapping[Any, set[ProgramIdx]],
) -> str:
    """Graphviz source: a node a candidate with its mean, the best cyan, frontier members orange, the texts as
    tooltips. Texts stand in quoted strings and are nothing but text to Graphviz."""
    best = best_of(val_scores)
    members = frontier_members(pareto_front_programs, val_scores)
    lines = [
        "digraph G {",
        "    rankdir=TB;",
        "    node [style=filled, shape=circle, fontsize=14, width=0.6, height=0.6];",
    ]
    for i, texts in enumerate(candidates):
        score = f"\\n({val_scores[i]:.2f})" if i < len(val_scores) else ""
        colour = "cyan" if i == best else "orange" if i in members else "lightgray"
        about = _quoted("\n\n".join(f"{name}:\n{text}" for name, text in texts.items()))
        lines.append(f'    {i} [label="{i}{score}", fillcolor={colour}, tooltip="{about or " "}"];')
    for child, known in enumerate(earlier_parents(parents, len(candidates))):
        lines += [f"    {parent} -> {child};" for parent in known]
    return "\n".join([*lines, "}"])


def candidate_tree_html_from_data(
    candidates: Sequence[dict[str, str]],
    parents: Sequence[Sequence[int | None]],
    val_scores: Sequence[float],
    pareto_front_programs: Mapping[Any, set[ProgramIdx]],
) -> str:
    """A page in one file that asks nothing of the network and has no script. Selecting a candidate, by click
    or by Tab and Enter, shows its texts."""
    return page(candidates, parents, val_scores, pareto_front_programs)


def candidate_tree_dot(state: GEPAState[Any, Any]) -> str:
    """As `candidate_tree_dot_from_data`, of a run."""
    return candidate_tree_dot_from_data(*_data(state))


def candidate_tree_html(state: GEPAState[Any, Any]) -> str:
    """As `candidate_tree_html_from_data`, of a run."""
    return candidate_tree_html_from_data(*_data(state))


def _data(
    state: GEPAState[Any, Any],
) -> tuple[list[dict[str, str]], list[list[int | None]], list[float], Mapping[Any, set[int]]]:
    return (
        state.program_candidates,
        state.parent_program_for_candidate,
        state.program_full_scores_val_set,
        state.program_at_pareto_front_valset,
    )


def _quoted(text: str) -> str:
    """For within double quotes. Graphviz also reads entities and escapes (\\N) there, and a NUL ends it."""
    for this, that in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("&", "&amp;"),
        ("\r", ""),
        ("\n", "\\n"),
        ("\0", "\ufffd"),
    ):
        text = text.replace(this, that)
    return text
