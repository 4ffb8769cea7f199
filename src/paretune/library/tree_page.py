"""The lineage drawn in one HTML file: no script, nothing from elsewhere, texts as text."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.library.lineage import best_of, earlier_parents, frontier_members, spots

ACROSS, DOWN, MARGIN, RADIUS = 76, 116, 44, 21
"""Pixels: between neighbours, between layers, around the drawing; of a node."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --raised: #fff; --ink: #1b1b19; --soft: #5f5d56; --line: #dedbd2;
  --accent: #b44d08; --member: #f6d9bd; --edge: #8d8a80;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131312; --raised: #1c1c1a; --ink: #ecebe6; --soft: #a8a59b; --line: #34332f;
    --accent: #f08a3c; --member: #5a3719; --edge: #77746b;
  }
}
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body {
  display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 3fr) minmax(20rem, 2fr);
  background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
header { grid-column: 1 / -1; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.1rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0 0 .3rem; }
h3 { font: 600 .9rem/1.4 ui-monospace, monospace; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .2rem 0; color: var(--soft); }
a { color: var(--accent); }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.keys span { display: inline-flex; align-items: center; gap: .4rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; background: var(--raised); padding: .4rem; }
#tree { overflow: auto; }
#tree > svg { display: block; margin: 0 auto; }
#texts { overflow: auto; padding: 1rem; border-left: 1px solid var(--line); background: var(--raised); }
pre {
  margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: 4px; background: var(--paper);
  font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate;
}
.edge { fill: none; stroke: var(--edge); stroke-width: 1.5; }
.second { stroke-dasharray: 5 4; }
.node { fill: var(--raised); stroke: var(--edge); stroke-width: 1.5; }
.member .node { fill: var(--member); stroke: var(--accent); }
.best .node { stroke: var(--accent); stroke-width: 3; }
.halo { fill: none; stroke: none; stroke-width: 2; }
.best .halo { stroke: var(--accent); }
svg text { fill: var(--ink); font: 600 13px system-ui, sans-serif; text-anchor: middle; }
svg .mean {
  fill: var(--soft); font-weight: 400; font-size: 12px;
  stroke: var(--paper); stroke-width: 4; paint-order: stroke;
}
svg a { outline: none; text-decoration: none; }
svg a:focus-visible .node { stroke: var(--ink); stroke-width: 4; }
section { display: none; }
section.first { display: block; }
main:has(svg a:target) section.first, main:has(svg a:focus-visible) section.first { display: none; }
main { display: contents; }
@media (max-width: 50rem) {
  body { grid-template: auto minmax(0, 1fr) minmax(0, 1fr) / minmax(0, 1fr); }
  #texts { border-left: 0; border-top: 1px solid var(--line); }
}
"""


@dataclass(frozen=True, slots=True)
class _Node:
    """One candidate as it is drawn and told of."""

    number: int
    texts: Mapping[str, str]
    parents: Sequence[int]
    x: float
    y: float
    mean: str
    cells: int
    best: bool

    @property
    def roles(self) -> str:
        said = [("best", self.best), ("frontier", self.cells > 0), ("seed", not self.parents)]
        return ", ".join(word for word, true in said if true)


def page(
    candidates: Sequence[Mapping[str, str]],
    parents: Sequence[Sequence[int | None]],
    scores: Sequence[float],
    fronts: Mapping[Any, set[int]],
) -> str:
    """The whole file."""
    nodes = _nodes(candidates, parents, scores, fronts)
    style = STYLE + "".join(_when_chosen(node.number) for node in nodes)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    best = next((node.number for node in nodes if node.best), None)
    members = sum(node.cells > 0 for node in nodes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Candidate tree</title>
<style>{style}</style>
</head>
<body>
<header>
<a class="skip" href="#texts">To the texts</a>
<h1>Candidate tree</h1>
<div class="keys">
<span>{len(nodes)} candidates, {members} on the frontier.
Select one to read it: click, or Tab and Enter.</span>
<span>{_sample("best")} best mean</span><span>{_sample("member")} on the frontier</span>
<span>{_sample("")} other</span>
<span><svg width="30" height="8" aria-hidden="true"><path class="edge second" d="M0 4H30"/></svg>
second parent of a merge</span>
</div>
</header>
<main>
<div id="tree">
{_drawing(nodes)}
</div>
<div id="texts" tabindex="0" role="region" aria-label="Texts of the candidate">
{chr(10).join(_section(node, node.number == best) for node in nodes)}
</div>
</main>
</body>
</html>
"""


def _nodes(
    candidates: Sequence[Mapping[str, str]],
    parents: Sequence[Sequence[int | None]],
    scores: Sequence[float],
    fronts: Mapping[Any, set[int]],
) -> list[_Node]:
    best, members = best_of(scores), frontier_members(fronts, scores)
    lines = earlier_parents(parents, len(candidates))
    return [
        _Node(
            number=i,
            texts=candidates[i],
            parents=lines[i],
            x=MARGIN + spot.across * ACROSS,
            y=MARGIN + spot.layer * DOWN,
            mean=f"{scores[i]:.3f}" if i < len(scores) else "not scored",
            cells=members.get(i, 0),
            best=i == best,
        )
        for i, spot in enumerate(spots(parents, len(candidates)))
    ]


def _when_chosen(number: int) -> str:
    """Each rule names one node: a style sheet alone cannot say "the section of the node that was chosen"."""
    chosen, looked_at = f"main:has(#n{number}:target)", f"main:has(#n{number}:focus-visible)"
    return (
        f"{chosen}:not(:has(svg a:focus-visible)) #c{number},{looked_at} #c{number}{{display:block}}"
        f"{chosen} #n{number} .node{{stroke:var(--ink);stroke-width:4}}\n"
    )


def _drawing(nodes: Sequence[_Node]) -> str:
    width = max((node.x for node in nodes), default=0) + MARGIN
    height = max((node.y for node in nodes), default=0) + MARGIN + 24
    edges = [
        f'<path class="edge{" second" if rank else ""}" d="{_curve(nodes[parent], node)}"/>'
        for node in nodes
        for rank, parent in enumerate(node.parents)
    ]
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="group" '
        f'aria-label="Lineage">{"".join(edges)}\n{chr(10).join(map(_circle, nodes))}</svg>'
    )


def _curve(parent: _Node, child: _Node) -> str:
    top, bottom = parent.y + RADIUS + 26, child.y - RADIUS  # from below the mean
    bend = (bottom - top) / 2
    return (
        f"M{parent.x:.1f} {top:.1f}C{parent.x:.1f} {top + bend:.1f} {child.x:.1f} {bottom - bend:.1f} "
        f"{child.x:.1f} {bottom:.1f}"
    )


def _circle(node: _Node) -> str:
    kind = f"{'best ' if node.best else ''}{'member' if node.cells else ''}".strip()
    said = f"Candidate {node.number}, mean {node.mean}{', ' if node.roles else ''}{node.roles}"
    return (
        f'<a id="n{node.number}" href="#n{node.number}" class="{kind}" aria-label="{said}">'
        f'<circle class="node" cx="{node.x:.1f}" cy="{node.y:.1f}" r="{RADIUS}"/>'
        f'<circle class="halo" cx="{node.x:.1f}" cy="{node.y:.1f}" r="{RADIUS + 5}"/>'
        f'<text x="{node.x:.1f}" y="{node.y + 5:.1f}">{node.number}</text>'
        f'<text class="mean" x="{node.x:.1f}" y="{node.y + RADIUS + 20:.1f}">{node.mean}</text></a>'
    )


def _sample(kind: str) -> str:
    """A node of the legend."""
    return (
        f'<svg width="26" height="26" class="{kind}" aria-hidden="true"><circle class="node" cx="13" cy="13" '
        'r="8"/><circle class="halo" cx="13" cy="13" r="11.5"/></svg>'
    )


def _section(node: _Node, first: bool) -> str:
    origin = " and ".join(f'<a href="#n{p}">#{p}</a>' for p in node.parents)
    held = (
        f"holds {node.cells} cell{'s' * (node.cells > 1)} of the frontier"
        if node.cells
        else "not on the frontier"
    )
    # A line break right after `<pre>` is not part of the text.
    texts = "\n".join(
        f"<h3>{_text(name)}</h3>\n<pre>\n{_text(text)}</pre>" for name, text in node.texts.items()
    )
    return (
        f'<section id="c{node.number}"{" class=first" if first else ""}>\n'
        f"<h2>Candidate {node.number}{' (' + node.roles + ')' if node.roles else ''}</h2>\n"
        f"<p>Mean {node.mean}; {held}; {'from ' + origin if origin else 'a seed'}.</p>\n{texts}\n</section>"
    )


def _text(text: object) -> str:
    """Text and nothing else; what a file in UTF-8 cannot hold is a question mark."""
    return html.escape(str(text).encode("utf-8", "replace").decode().replace("\0", "\ufffd"))
