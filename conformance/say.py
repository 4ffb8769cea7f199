"""What a client script says to the harness: one JSON line a call. It runs in the vendor's environment.

After each line the client stands still until the harness has read the store and says go on. What the vendor's
code prints itself goes to standard error.
"""

import json
import os
import sys
import time

_channel = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def told(call, fact, got, **about):
    """`call` gave `got`; `fact`, with what else is said `about` it, names what the store must say."""
    _channel.write(json.dumps({"call": call, "fact": fact, "got": got, "about": about}) + "\n")
    _channel.flush()
    if not sys.stdin.readline():
        sys.exit("the harness has gone")


def refused(call, function, names, **about):
    """`function` must raise; `names` are words of the error that tell the user what is wrong."""
    try:
        got = {"error": None, "returned": str(function())[:200]}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the vendor's code makes of it
        text = str(error)
        got = {
            "error": type(error).__name__,
            "names": [name for name in names if name in text],
            "traceback": "Traceback" in text,
        }
        if got["names"] != list(names):
            got["text"] = text[:300]
    told(call, "refusal", got, names=list(names), **about)


def until(condition, seconds=60.0):
    """Ask again and again until there is an answer that counts; the last one."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def full_text(prompt):
    """`best_prompt` as the clients write a prompt."""
    sections = sorted(prompt["sections"], key=lambda section: section["order"])
    return "\n\n".join(f"[{s['role']} | {s['name']}]\n{s['content']}" for s in sections)
