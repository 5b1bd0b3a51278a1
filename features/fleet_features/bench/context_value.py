"""What a context pack is worth: questions whose right answer depends on an earlier decision.

A real model answers eighty tasks of a made-up project (`value/story.py`), each with four contexts
(`value/arms.py`): nothing but the task, every decision of the story, the pack that the fleet makes,
and as many tokens drawn at random. An answer is right by an exact rule (`value/scoring.py`). The
model is asked as an agent of the profile `embedded` is, at temperature 0, so that a second round
would say the same; the questions are the sample, and the intervals (`value/intervals.py`) are over
them.

Everything is put only where the model's trained window holds it whole; otherwise that arm is not
run, and the report says so. The four bars: the pack beats nothing and chance clearly, which is to
say that the lower end of the difference is above 20 points; it matches everything, with a lower
end above -5 points; and it takes at most a tenth of its tokens. Tokens are those of the whole
prompt as the server counts them, persona and example included.

    make bench BENCH=context-value MODEL=FILE.gguf ARGS="--questions 10 --seed 1"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fleet_bootstraps.layers import home
from fleet_core.domain.context import ContextPack
from fleet_features.bench.value.arms import ARMS, EVERYTHING, PACK, contexts, recorded
from fleet_features.bench.value.asking import (
    Answer,
    Machine,
    answers,
    longest,
    opened,
    prompt,
    trained_window,
)
from fleet_features.bench.value.facts import by_kind
from fleet_features.bench.value.outcome import Outcome, reported
from fleet_features.bench.value.scoring import right
from fleet_features.bench.value.story import Question, story
from fleet_plugins.api import PortName

Kinds = Mapping[str, frozenset[str]]

_SLOTS = 4
_BESIDES_PACK = 640  # tokens of a prompt around its pack, and of the answer


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code is 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(prog="context-value", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="", help="a GGUF file; empty: the embedded one")
    parser.add_argument("--questions", type=int, default=80, help="fewer than 50 are a trial")
    parser.add_argument("--budget", type=int, default=700, help="tokens of a pack")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--arms", default=",".join(ARMS), help="those to be asked")
    parser.add_argument("--answers", type=Path, help="add every answer there, as JSON lines")
    return asyncio.run(_run(parser.parse_args(arguments)))


async def _run(given: argparse.Namespace) -> int:
    told = story(given.seed)
    kinds = by_kind([question.fact for question in told.questions])
    questions = told.questions[: given.questions]
    arms = [arm for arm in ARMS if arm in given.arms.split(",")]
    with tempfile.TemporaryDirectory(prefix="fleet-value-") as name:
        models = home() / "models"
        machine = Machine(given.model, models, Path(name) / "short", given.threads)
        called = Path(given.model).name or "the embedded one"
        sys.stdout.write(
            f"model: {called}; {len(questions)} questions of seed {given.seed}, "
            f"packs of at most {given.budget} tokens\n"
        )
        async with opened(machine, given.budget + _BESIDES_PACK, _SLOTS) as ports:
            model = ports[PortName.MODEL]["default"]
            await recorded(ports[PortName.GRAPH], told)
            hydrator = ports[PortName.HYDRATOR]
            made = [await contexts(hydrator, model, told, q, given.budget) for q in questions]
            prompts = [prompt(q, one[EVERYTHING]) for q, one in zip(questions, made, strict=True)]
            wants, window = await longest(model, prompts), await trained_window(model)
            said = {
                arm: await answers(
                    model, _asked(questions, made, arm), _SLOTS, _telling(arm, kinds, given.answers)
                )
                for arm in arms
                if arm != EVERYTHING
            }
        if EVERYTHING in arms and wants <= window:
            machine = Machine(given.model, models, Path(name) / "long", given.threads)
            async with opened(machine, wants, 1, only=(PortName.MODEL,)) as ports:
                model = ports[PortName.MODEL]["default"]
                pairs = _asked(questions, made, EVERYTHING)
                said[EVERYTHING] = await answers(
                    model, pairs, 1, _telling(EVERYTHING, kinds, given.answers)
                )
        elif EVERYTHING in arms:
            sys.stdout.write(
                f"everything is not run: with its answer it takes {wants} tokens, "
                f"and the model was trained to read {window}\n"
            )
    found = _outcomes(questions, said, kinds)
    return reported(questions, found, [one[PACK] for one in made])


def _asked(
    questions: Sequence[Question], made: Sequence[Mapping[str, ContextPack]], arm: str
) -> list[tuple[Question, ContextPack]]:
    return [(question, one[arm]) for question, one in zip(questions, made, strict=True)]


def _telling(arm: str, kinds: Kinds, keep: Path | None) -> Callable[[Question, Answer], None]:
    """Shows how far an arm has come, and keeps each answer as it comes."""
    begun, count = time.monotonic(), 0

    def tell(question: Question, answer: Answer) -> None:
        nonlocal count
        count += 1
        sys.stderr.write(f"\r{arm}: {count} answers, {time.monotonic() - begun:.0f} s ")
        sys.stderr.flush()
        if keep is None:
            return
        line = {
            "arm": arm,
            "task": question.task.task_id,
            "relation": question.relation,
            "value": question.fact.value,
            "right": _right(question, answer, kinds),
            "prompt_tokens": answer.prompt_tokens,
            "answer": answer.text,
        }
        with keep.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    return tell


def _outcomes(
    questions: Sequence[Question], said: Mapping[str, Sequence[Answer]], kinds: Kinds
) -> dict[str, Outcome]:
    return {
        arm: Outcome(
            tuple(answer.prompt_tokens for answer in got),
            tuple(_right(q, a, kinds) for q, a in zip(questions, got, strict=True)),
        )
        for arm, got in said.items()
    }


def _right(question: Question, answer: Answer, kinds: Kinds) -> bool:
    return right(answer.text, question.fact.value, kinds[question.fact.kind.name])
