"""The lineage drawn in one HTML file: no script, nothing from elsewhere, texts as text."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.library.lineage import best_of, earlier_parents, frontier_members, spots

ACROSS, DOWN, MARGIN, RADIUS, BELOW = 76, 116, 44, 21, 26
"""Pixels: between neighbours, between layers, around the drawing, of a node, for the mean below it."""

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
  display: flex; flex-direction: column; padding-right: 40%;
  background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
header { padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.1rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0 0 .3rem; }
h3 { font: 600 .9rem/1.4 ui-monospace, monospace; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .2rem 0; color: var(--soft); }
a { color: var(--accent); }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.keys span { display: inline-flex; align-items: center; gap: .5rem; }
main { flex: 1; min-height: 0; overflow: auto; }
#tree { position: relative; margin: 0 auto; }
#tree > svg { display: block; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.5; }
.second { stroke-dasharray: 5 4; }
.node {
  position: absolute; width: 42px; height: 42px; margin: -21px; border-radius: 50%;
  background: var(--raised); color: var(--ink); border: 1.5px solid var(--edge);
  scroll-margin: 64px; font-weight: 600; font-size: 13px; line-height: 39px;
  text-align: center; text-decoration: none;
}
.node i {
  position: absolute; left: -15px; right: -15px; top: 44px; color: var(--soft);
  font: 12px/1.4 system-ui, sans-serif;
}
.sample { position: static; width: 16px; height: 16px; margin: 4px; }
.member { background: var(--member); border-color: var(--accent); }
.best {
  border: 3px solid var(--accent); line-height: 36px;
  box-shadow: 0 0 0 3px var(--paper), 0 0 0 5px var(--accent);
}
.node:target { outline: 2px dashed var(--ink); outline-offset: 4px; }
.node:focus-visible { outline: 3px solid var(--ink); outline-offset: 4px; }
pre {
  margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: 4px; background: var(--paper);
  font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate;
}
.text {
  display: none; position: fixed; inset: 0 0 0 60%; overflow: auto; padding: 1rem;
  border-left: 1px solid var(--line); background: var(--raised);
}
.first { display: block; }
#tree:has(:target, :focus-visible) .first { display: none; }
#tree .node:target + .text { display: block; }
#tree:has(:focus-visible) .node:target + .text { display: none; }
#tree#tree .node:focus-visible + .text, #tree#tree .text:has(:focus-visible), #tree#tree .text:focus-visible {
  display: block;
}
@media (max-width: 50rem) {
  body { padding: 0 0 50vh; }
  .text { inset: 50vh 0 0; border-left: 0; border-top: 1px solid var(--line); }
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
    places = "".join(f"#n{node.number}{{left:{node.x:.1f}px;top:{node.y:.1f}px}}\n" for node in nodes)
    width = max((node.x for node in nodes), default=0) + MARGIN
    height = max((node.y for node in nodes), default=0) + MARGIN + BELOW
    style = f"{STYLE}{places}#tree{{width:{width:.0f}px;height:{height:.0f}px}}\n"
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
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
<h1>Candidate tree</h1>
<div class="keys">
<span>{len(nodes)} candidates, {members} on the frontier.
Select one to read it: click, or Tab and Enter.</span>
<span><b class="node sample best"></b> best mean</span>
<span><b class="node sample member"></b> on the frontier</span>
<span><b class="node sample"></b> other</span>
<span><svg width="30" height="8" aria-hidden="true"><path class="edge second" d="M0 4H30"/></svg>
second parent of a merge</span>
</div>
</header>
<main>
<div id="tree">
<svg width="{width:.0f}" height="{height:.0f}" aria-hidden="true">{_edges(nodes)}</svg>
{chr(10).join(map(_candidate, nodes))}
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


def _edges(nodes: Sequence[_Node]) -> str:
    return "".join(
        f'<path class="edge{" second" if rank else ""}" d="{_curve(nodes[parent], node)}"/>'
        for node in nodes
        for rank, parent in enumerate(node.parents)
    )


def _curve(parent: _Node, child: _Node) -> str:
    top, bottom = parent.y + RADIUS + BELOW, child.y - RADIUS  # from below the mean
    bend = (bottom - top) / 2
    return (
        f"M{parent.x:.1f} {top:.1f}C{parent.x:.1f} {top + bend:.1f} {child.x:.1f} {bottom - bend:.1f} "
        f"{child.x:.1f} {bottom:.1f}"
    )


def _candidate(node: _Node) -> str:
    """The node and, next to it, its texts: a style sheet alone shows them when the node is chosen."""
    kind = f"node{' best' if node.best else ''}{' member' if node.cells else ''}"
    said = f"Candidate {node.number}, mean {node.mean}{', ' if node.roles else ''}{node.roles}"
    origin = " and ".join(f'<a href="#n{p}">#{p}</a>' for p in node.parents)
    held = "not on the frontier"
    if node.cells:
        held = f"holds {node.cells} cell{'s' * (node.cells > 1)} of the frontier"
    # A line break right after `<pre>` is not part of the text.
    texts = "\n".join(
        f"<h3>{_text(name)}</h3>\n<pre>\n{_text(text)}</pre>" for name, text in node.texts.items()
    )
    return (
        f'<a id="n{node.number}" href="#n{node.number}" class="{kind}" aria-label="{said}">{node.number}'
        f"<i>{node.mean}</i></a>\n"
        f'<section id="c{node.number}" class="text{" first" if node.best else ""}">\n'
        f"<h2>Candidate {node.number}{' (' + node.roles + ')' if node.roles else ''}</h2>\n"
        f"<p>Mean {node.mean}; {held}; {'from ' + origin if origin else 'a seed'}.</p>\n{texts}\n</section>"
    )


def _text(text: object) -> str:
    """Text and nothing else; what a file in UTF-8 cannot hold is a question mark."""
    return html.escape(str(text).encode("utf-8", "replace").decode().replace("\0", "\ufffd"))
