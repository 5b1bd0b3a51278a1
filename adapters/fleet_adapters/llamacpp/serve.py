"""llama.cpp's own HTTP server, in a process that ends with the one that started it.

Reads one line of JSON from standard input, writes the address as one line of JSON to standard
output, and serves until standard input ends: a parent that is killed closes it.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

_PARENT_POLL_S = 1.0


def main() -> None:
    """Serve until the parent goes away."""
    given = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what llama.cpp prints must not mix with the answer

    # imported once standard output is out of its reach
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415 -- it has no types

    server = xllamacpp.Server(_params(xllamacpp, given))
    answer.write(json.dumps({"address": server.listening_address}) + "\n")
    answer.flush()
    _wait_for_parent(os.getppid())
    # llama.cpp has nothing to save, and a call under way may keep its threads for minutes
    os._exit(0)


def _params(xllamacpp: Any, given: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = given["gguf"]
    params.model_alias = {given["alias"]}
    params.api_keys = [given["key"]] if given["key"] else []
    params.hostnames = ["127.0.0.1"]
    params.port = given["port"]
    params.n_parallel = given["slots"]
    params.n_ctx = given["n_ctx"] * given["slots"]  # llama.cpp divides it among the slots
    params.cpuparams.n_threads = given["threads"]
    params.cpuparams_batch.n_threads = given["threads"]
    params.cache_ram_mib = 0  # prompts are not kept beyond their slot; the default is 8 GiB
    params.warmup = False
    params.ui = False
    params.verbosity = 1  # errors only
    return params


def _wait_for_parent(parent: int) -> None:
    """Until standard input ends, or the parent is another one (its pipe may live on in a fork)."""
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], _PARENT_POLL_S)
        if ready and not os.read(0, 4096):
            return


if __name__ == "__main__":
    main()
