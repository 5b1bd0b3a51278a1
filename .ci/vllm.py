"""Walks the chain on real servers with a model behind vLLM: submit, deliberate, decide.

With `--vllm ENVIRONMENT` it serves the default model by the vLLM installed there; with
`--base-url` it takes a server that runs. Ends with 0 once the plan is decided.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_adapters.llamacpp.default_model import ensure_default_model

NAME = "smollm2"
START_S = 600
CHAIN_S = 1800
SMALL = ["councils.DEV.size=2", "councils.DEV.max_tokens=128", "model.structured=off"]
PARTS = ("nats", "valkey", "neo4j", "executor", "context", "orchestrator")
# vLLM reads a model's own format; its weights are taken out of the GGUF once.
CONVERT = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, file, out = sys.argv[1:]
given = {"gguf_file": file}
AutoTokenizer.from_pretrained(folder, **given).save_pretrained(out)
try:
    from transformers import GgufConfig
    given["quantization_config"] = GgufConfig(dequantize=True)
except ImportError:
    pass  # versions without it always dequantise
AutoModelForCausalLM.from_pretrained(folder, **given).save_pretrained(out)
"""


@contextmanager
def child(
    command: list[str], *, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process for as long as the context is held; killed where it does not end by itself."""
    process = subprocess.Popen(  # noqa: S603 -- ours
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def vllm(environment: Path) -> Iterator[str]:
    """Serve the default model with vLLM; yields the URL, up to and with `/v1`."""
    python = str(environment.absolute() / "bin" / "python")
    model = environment / NAME
    if not (model / "config.json").exists():
        gguf = asyncio.run(ensure_default_model(environment / "models"))
        convert = [python, "-c", CONVERT, str(gguf.parent), gguf.name, str(model)]
        subprocess.run(convert, check=True)  # noqa: S603 -- ours
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    options = {"--model": model, "--served-model-name": NAME, "--host": "127.0.0.1", "--port": port}
    options |= {"--dtype": "bfloat16", "--max-model-len": 4096}
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    command += [str(word) for pair in options.items() for word in pair]
    with child(command, environ={"VLLM_CPU_KVCACHE_SPACE": "1"}) as serving:
        _wait(f"http://127.0.0.1:{port}/health", serving)
        yield f"http://127.0.0.1:{port}/v1"


def _wait(url: str, serving: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < START_S:
        if serving.poll() is not None:
            sys.exit(f"vllm: it ended with exit code {serving.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 -- on loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    sys.exit(f"vllm: it does not serve after {START_S} s")


def walk(base_url: str, plan: str, sets: list[str]) -> int:
    """The chain, on a fleet of its own; prints what came of the plan."""
    fleet = str(Path(sys.executable).with_name("fleet"))
    with tempfile.TemporaryDirectory() as home:
        start = [fleet, "--home", home, "up", "--json"]
        start += [word for name in PARTS for word in ("--port", f"{name}=0")]
        wanted = [f"model.base_url={base_url}", *SMALL, *sets]
        start += [word for entry in wanted for word in ("--set", entry)]
        with child(start) as running:
            assert running.stdout is not None
            said = running.stdout.readline()
            if not said:
                return running.wait()
            told = json.loads(said)
            options = [word for entry in told["set"] for word in ("--set", entry)]
            for command in ("submit", "watch"):
                line = [fleet, "--home", home, command, plan, *options]
                ended = subprocess.run(line, check=False, timeout=CHAIN_S)  # noqa: S603 -- ours
                if ended.returncode:
                    return ended.returncode
            return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--vllm", type=Path, help="an environment that vLLM is installed in")
    way.add_argument("--base-url", help="a server that runs, up to and with /v1")
    parser.add_argument("--plan", default="first", help="a plan file or a built-in plan")
    parser.add_argument("--set", action="append", default=[], dest="sets", help="as of fleet up")
    given = parser.parse_args()
    if given.base_url:
        return walk(given.base_url, given.plan, given.sets)
    with vllm(given.vllm) as base_url:
        return walk(base_url, given.plan, ["model.tokenizer=vllm", *given.sets])


if __name__ == "__main__":
    sys.exit(main())
