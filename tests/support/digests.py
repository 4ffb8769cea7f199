"""`python -m support.digests`: one line a case and seed, the digest of its canonical record and result.

For a fresh process with another PYTHONHASHSEED.
"""

from __future__ import annotations

import asyncio
import sys

from paretune.core.canonical import digest
from support.runs import CASES, Finished, carry


def fingerprint(finished: Finished) -> str:
    return digest([finished.canonical(), finished.result()])


async def main(seeds: list[int]) -> None:
    for name, make in CASES.items():
        for seed in seeds:
            print(name, seed, fingerprint(await carry(make(seed))))


if __name__ == "__main__":
    asyncio.run(main([int(argument) for argument in sys.argv[1:]]))
