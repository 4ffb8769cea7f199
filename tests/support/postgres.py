"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any
from urllib.parse import quote


@contextmanager
def postgres_server() -> Iterator[str]:
    """Gives the URL. The server listens on a socket in a temporary folder only, and goes with it."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="paretune-") as folder:
        account = _account()
        if account:
            shutil.chown(folder, account["user"], account["group"])
        log = Path(folder, "log")

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{folder}/data", *arguments]
            # To a file: the server holds on to what pg_ctl wrote to, and a pipe would not end before it does.
            with log.open("ab") as out:
                done = subprocess.run(
                    command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **account
                )
            if done.returncode:
                raise RuntimeError(f"{program} failed:\n{log.read_text()}")

        run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        try:
            run("pg_ctl", "start", "-w", "-o", shlex.join(["-F", "-h", "", "-k", folder]))
            yield f"postgresql://postgres@/postgres?host={quote(folder)}"
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")


def _programs() -> Path:
    # Debian keeps a server's own programs off the PATH.
    places = [os.environ.get("PATH", os.defpath), *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    server = shutil.which("postgres", path=os.pathsep.join(places))
    assert server, "no PostgreSQL server is installed"
    return Path(server).resolve().parent


def _account() -> dict[str, Any]:
    """Who runs the server, for subprocess: nobody when we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return {}
    from pwd import getpwnam  # not on every system

    nobody = getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
