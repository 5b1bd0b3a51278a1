"""The process that llama.cpp runs in: started, watched, ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_core.errors import ModelUnavailable, PluginError, ProfileError

_SOURCE = "model.llamacpp"
_END_S = 5.0
_NOTICE_S = 0.5
_LAST_WORDS = 600


@dataclass(frozen=True, slots=True)
class LlamaProcess:
    """A llama.cpp that serves.

    Attributes:
        base_url: up to and with `/v1`.
        key: the bearer token that it asks for; empty for none.
    """

    base_url: str
    key: str
    process: Process
    log: IO[bytes]

    @property
    def ended(self) -> str:
        """How it ended and what it said last; empty while it runs."""
        code = self.process.returncode
        if code is None:
            return ""
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return f"{how}{_last_words(self.log)}"

    async def wait_briefly(self) -> None:
        """Give an end that is under way the time to be known."""
        try:
            async with asyncio.timeout(_NOTICE_S):
                await self.process.wait()
        except TimeoutError:
            return  # it runs


@asynccontextmanager
async def llama_process(
    settings: LlamacppSettings,
    gguf: Path,
    alias: str,
    *,
    key: str | None = None,
    log_file: Path | None = None,
) -> AsyncIterator[LlamaProcess]:
    """Run llama.cpp on a model file for as long as the context is held.

    A process beside this one, not threads within it: a fault in native code then costs a call
    and not the run, and it competes for no interpreter lock.

    Args:
        settings: how it runs.
        gguf: the model file.
        alias: the model's name in its answers.
        key: the bearer token that it asks for; None draws one, empty asks for none.
        log_file: where it writes, anew; None keeps that for its last words only.

    Raises:
        PluginError: the extra, or a library of the system, is not installed.
        ProfileError: llama.cpp does not load the file.
        ModelUnavailable: it was not ready in time.
    """
    if find_spec("xllamacpp") is None:
        raise PluginError(
            "the adapter model.llamacpp needs the package xllamacpp",
            "install swe-ai-fleet[llamacpp]",
        )
    key = secrets.token_urlsafe(24) if key is None else key
    given = {
        "gguf": str(gguf),
        "alias": alias,
        "key": key,
        "port": settings.port,
        "slots": settings.slots,
        "n_ctx": settings.n_ctx,
        "threads": settings.threads,
    }
    with tempfile.TemporaryFile() if log_file is None else log_file.open("w+b") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the current folder holds the user's files, not our modules
            "-m",
            "fleet_adapters.llamacpp.serve",
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            start_new_session=True,  # a Ctrl-C is ours to handle
        )
        try:
            address = await _started(process, given, settings.start_timeout_ms, log)
            yield LlamaProcess(f"{address}/v1", key, process, log)
        finally:
            await _end(process)


async def _started(
    process: Process, given: Mapping[str, Any], timeout_ms: int, log: IO[bytes]
) -> str:
    gguf = given["gguf"]
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            process.stdin.write(json.dumps(given).encode() + b"\n")
            line = await process.stdout.readline()
            if not line:
                await process.wait()
    except TimeoutError:
        raise ModelUnavailable(
            f"llama.cpp did not load {gguf} within {timeout_ms} ms",
            "raise model.start_timeout_ms, or take a smaller model",
        ) from None
    if not line:
        said = _last_words(log)
        lacking = re.search(r"(lib[\w.+-]+): cannot open shared object file", said)
        if lacking is not None:
            raise PluginError(
                f"llama.cpp needs the system's library {lacking[1]}, which is not installed",
                "install it; on Debian: apt-get install libgomp1",
            )
        raise ProfileError(
            f"llama.cpp does not load {gguf}: it ended with exit code {process.returncode}{said}",
            "take another GGUF file, less model.n_ctx, or another model.port",
            source=_SOURCE,
            field="gguf",
        )
    return str(json.loads(line)["address"])


async def _end(process: Process) -> None:
    """Close its standard input, which it takes as the word to end; kill it if it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        if process.returncode is None:  # cancelled while it waited
            process.kill()


def _last_words(log: IO[bytes]) -> str:
    if log.closed:  # we have ended it ourselves
        return ""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LAST_WORDS))
    said = " ".join(log.read().decode("utf-8", "replace").split())
    return f"; it said: {said}" if said else ""
