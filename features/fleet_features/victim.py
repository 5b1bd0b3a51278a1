"""A process that runs a plan, made to be killed.

`python -m fleet_features.victim ERRAND.json` opens the profile that the errand names over its
FLEET_HOME, approves the plan, waits for its end and exits with 0. It is what `fleet run` is, with
the councils and terms of a scenario.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.fleet import open_fleet, system_clock
from fleet_bootstraps.plans import parse_plan
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.plan import plan_id
from fleet_core.errors import NotFound
from fleet_features.profiles import ROLES, ProfileSource
from fleet_plugins.api import FactoryContext

_LOOK_S = 0.02
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Errand:
    """What the process is to do; see `ProfileSource.with_terms` for profile, terms and model."""

    profile: str
    sets: Sequence[str]
    terms: Mapping[str, Any]
    base_url: str
    home: str
    plan: str

    def command(self, folder: Path) -> list[str]:
        """The command that runs it; writes the errand into the folder."""
        path = folder / "errand.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return [sys.executable, "-m", "fleet_features.victim", str(path)]


class Victim:
    """A process; killed at the latest when it is closed.

    Args:
        command: what is run.
        said: a file that what it prints is added to.
        environ: laid over this process's environment.
    """

    def __init__(
        self, command: Sequence[str], said: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self._said = said
        with said.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environ or {})}
            )

    def kill(self) -> int:
        """SIGKILL; the exit code, which is that of its own end where it was faster."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait(_END_S)

    def wait(self, seconds: float) -> int:
        """Its exit code, once it ends by itself; subprocess.TimeoutExpired where it does not."""
        return self._process.wait(seconds)

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    @property
    def said(self) -> str:
        """What it, and those before it, printed."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """See that it is gone."""
        if self._process.poll() is None:
            self.kill()


async def run(errand: Errand) -> None:
    """Run the errand's plan to its end."""
    plan = parse_plan(errand.plan.encode(), "the errand's plan", ROLES)
    source = ProfileSource(errand.profile, tuple(errand.sets))
    profile = source.with_terms(errand.terms, base_url=errand.base_url)
    context = FactoryContext(system_clock, secrets_from(os.environ), Path(errand.home))
    async with open_fleet(profile, context) as fleet:
        await fleet.plans.approve(plan)
        while True:
            try:
                if (await fleet.plans.get(plan_id(plan))).settled:
                    return
            except NotFound:
                pass  # not taken up yet
            await asyncio.sleep(_LOOK_S)


if __name__ == "__main__":
    asyncio.run(run(Errand(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
