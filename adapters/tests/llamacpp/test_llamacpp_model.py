"""The real llama.cpp on the default model."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet_adapters.llamacpp.model import LlamacppModel, open_model
from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_adapters.openai.plugin import OpenaiSettings
from fleet_adapters.openai.plugin import model as openai_plugin
from fleet_core.errors import ModelRefused, ModelUnavailable, ProfileError
from fleet_core.ports.model import Model
from fleet_plugins.api import FactoryContext
from fleet_plugins.contracts.model import ModelContract, asked, budget

pytestmark = [pytest.mark.anyio, pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


def _ctx(home: Path, key: str = "") -> FactoryContext:
    return FactoryContext(clock=lambda: 0, secret=lambda _: key, home=home)


@pytest.fixture(scope="module")
async def model(gguf: Path) -> AsyncIterator[Model]:
    """One llama.cpp for the module: it takes seconds to load."""
    settings = LlamacppSettings(models_dir=str(gguf.parent), n_ctx=1024, slots=2)
    async with open_model(settings, _ctx(gguf.parent)) as model:
        yield model


class TestLlamacppModel(ModelContract):
    counts_exactly = True


class TestOpenaiModelOnLlamacpp(ModelContract):
    """The adapter `openai` against a real server."""

    counts_exactly = True

    @pytest.fixture(scope="class")
    async def model(self, gguf: Path) -> AsyncIterator[Model]:
        async with open_model(LlamacppSettings(gguf=str(gguf), n_ctx=1024), _ctx(gguf)) as beside:
            settings = OpenaiSettings(
                base_url=beside.process.base_url, api_key="KEY", tokenizer="llamacpp"
            )
            factory = openai_plugin.fleet_adapter().factory
            async with factory(settings, _ctx(gguf, beside.process.key)) as model:
                yield model


async def test_marks_within_a_text_are_text(model: Model) -> None:
    mark, plain = await model.count(["<|im_end|>", "im_end"])
    assert mark > plain


async def test_a_prompt_beyond_the_context_is_refused_with_the_reason(model: Model) -> None:
    with pytest.raises(ModelRefused, match="context"):
        await model.complete(asked("word " * 3000), budget())


async def test_the_same_seed_gives_the_same_answer(model: Model) -> None:
    first = await model.complete(asked("Name a colour."), budget())
    second = await model.complete(asked("Name a colour."), budget())
    assert first.text == second.text


async def test_only_who_has_its_key_may_ask(model: LlamacppModel, tmp_path: Path) -> None:
    settings = OpenaiSettings(base_url=model.process.base_url, model="any")
    async with openai_plugin.fleet_adapter().factory(settings, _ctx(tmp_path)) as stranger:
        with pytest.raises(ModelRefused, match="401"):
            await stranger.complete(asked(), budget())


async def test_its_death_is_told_as_such(gguf: Path) -> None:
    async with open_model(LlamacppSettings(gguf=str(gguf), n_ctx=512), _ctx(gguf)) as model:
        call = asyncio.create_task(model.complete(asked(max_tokens=400), budget()))
        text = asyncio.Event()
        streamed = asyncio.create_task(
            model.complete(asked(max_tokens=400), budget(), lambda _: text.set())
        )
        await text.wait()
        model.process.process.send_signal(signal.SIGKILL)
        for ended in (call, streamed):
            with pytest.raises(ModelUnavailable, match=r"llama\.cpp ended by signal 9"):
                await ended
        health = await model.health()
        assert not health.ready


async def test_it_ends_of_itself_when_the_model_is_closed(gguf: Path) -> None:
    async with open_model(LlamacppSettings(gguf=str(gguf), n_ctx=512), _ctx(gguf)) as model:
        began = asyncio.Event()
        call = asyncio.create_task(
            model.complete(asked(max_tokens=400), budget(), lambda _: began.set())
        )
        await began.wait()
    assert model.process.process.returncode == 0
    with pytest.raises(ModelUnavailable):
        await call


async def test_a_file_that_only_begins_as_a_model_is_refused(tmp_path: Path, gguf: Path) -> None:
    path = tmp_path / "torn.gguf"
    with gguf.open("rb") as whole:
        path.write_bytes(whole.read(100_000))
    with pytest.raises(ProfileError, match=r"torn\.gguf") as caught:
        async with open_model(LlamacppSettings(gguf=str(path)), _ctx(tmp_path)):
            pass
    assert caught.value.field == "gguf"


_PARENT = """
import asyncio, signal, sys
from pathlib import Path
from fleet_adapters.llamacpp.model import open_model
from fleet_adapters.llamacpp.plugin import LlamacppSettings
from fleet_plugins.api import FactoryContext

async def main():
    ctx = FactoryContext(clock=lambda: 0, secret=str, home=Path())
    async with open_model(LlamacppSettings(gguf=sys.argv[1], n_ctx=512), ctx) as model:
        print(model.process.process.pid, flush=True)
        await asyncio.sleep(600)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_process_that_started_it(gguf: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(gguf)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it runs
        parent.send_signal(number)
        parent.wait(timeout=30)
        deadline = time.monotonic() + 30
        while _runs(child):
            assert time.monotonic() < deadline, "llama.cpp outlived its parent"
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
