"""Drawing examples so that what was drawn still speaks for all: known chances, and an order that spreads."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from paretune.core.example import ExampleId

T = TypeVar("T")

WORDS = 256
"""Columns that words are hashed into."""
AT_ONCE = 1024
"""So many examples are ordered together: distances of all pairs are in memory."""

_WORD = re.compile(r"\w+")


def inclusion(sizes: Sequence[float], count: int) -> list[float]:
    """Probabilities in proportion to `sizes` (above 0), none above 1, that add up to `count`."""
    count = min(count, len(sizes))
    certain: set[int] = set()
    while True:
        rest = math.fsum(size for i, size in enumerate(sizes) if i not in certain)
        left = count - len(certain)
        more = {
            i
            for i, size in enumerate(sizes)
            if i not in certain and rest and left * size >= rest * (1 - 1e-12)
        }
        if not more or not left:
            return [1.0 if i in certain else left * size / rest for i, size in enumerate(sizes)]
        certain |= more


def systematic(items: Sequence[T], probabilities: Sequence[float], rng: Random) -> list[T]:
    """Items drawn along their order in equal steps from a random start.

    Each one has exactly its probability, and as many are drawn as the probabilities add up to (a whole
    number); neighbours seldom come together.
    """
    count, start, passed = round(math.fsum(probabilities)), rng.random(), 0.0
    drawn: list[T] = []
    last = len(items) - 1
    for place, (item, probability) in enumerate(zip(items, probabilities, strict=True)):
        passed = float(count) if place == last else min(passed + probability, count)
        if math.floor(passed + start) > len(drawn):
            drawn.append(item)
    return drawn


def spread(
    examples: Sequence[ExampleId],
    scores: Sequence[Mapping[ExampleId, float]],
    texts: Mapping[ExampleId, str],
    rng: Random,
) -> list[ExampleId]:
    """The examples in the order of the leaves of a clustering: like ones stand together.

    By their `scores` under several prompts; by their texts as long as fewer than three are known. In random
    order where neither tells anything.
    """
    mixed = rng.sample(list(examples), len(examples))
    parts = (mixed[start : start + AT_ONCE] for start in range(0, len(mixed), AT_ONCE))
    return [example for part in parts for example in _leaves(part, scores, texts)]


LEAST_PROMPTS = 3
"""Under fewer prompts the scores of an example say less than its text."""


def _leaves(
    part: list[ExampleId], scores: Sequence[Mapping[ExampleId, float]], texts: Mapping[ExampleId, str]
) -> Iterator[ExampleId]:
    columns = _score_columns(part, scores)
    if len(scores) < LEAST_PROMPTS and any(texts.get(e) for e in part):
        columns = np.hstack([columns, _word_columns(part, texts)])
    if len(part) < 3 or not columns.size or np.all(columns == columns[0]):
        return iter(part)
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second, which most runs can do without

    leaves = leaves_list(linkage(columns, method="average", metric="euclidean"))
    return (part[int(place)] for place in leaves)


def _score_columns(
    part: Sequence[ExampleId], scores: Sequence[Mapping[ExampleId, float]]
) -> NDArray[np.float64]:
    """Examples x prompts; where a prompt has no score, the example's mean under the others."""
    rows = []
    for example in part:
        known = [line[example] for line in scores if example in line]
        mean = math.fsum(known) / len(known) if known else 0.0
        rows.append([line.get(example, mean) for line in scores])
    return np.array(rows, dtype=np.float64).reshape(len(part), len(scores))


def _word_columns(part: Sequence[ExampleId], texts: Mapping[ExampleId, str]) -> NDArray[np.float64]:
    """Examples x hashed words, each row of length 1."""
    rows = np.zeros((len(part), WORDS))
    for place, example in enumerate(part):
        for word in _WORD.findall(texts.get(example, "").lower()):
            rows[place, zlib.crc32(word.encode()) % WORDS] += 1.0
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 0, lengths, 1.0)
    return rows
