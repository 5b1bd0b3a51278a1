"""A process that runs a plan, made to be killed.

`python -m fleet_features.victim ERRAND.json` opens the profile that the errand names over its
FLEET_HOME, approves the plan, waits for its end and exits with 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleet_bootstraps.fleet import open_fleet, system_clock
from fleet_bootstraps.plans import parse_plan
from fleet_bootstraps.profile import Profile
from fleet_bootstraps.secrets import secrets_from
from fleet_core.domain.plan import Plan, plan_id
from fleet_core.errors import NotFound
from fleet_features.profiles import ROLES, ProfileSource
from fleet_plugins.api import FactoryContext

_LOOK_S = 0.02
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Errand:
    """What the process is to do; see `ProfileSource.with_terms` for profile, terms and model."""

    profile: str
    sets: tuple[str, ...]
    terms: Mapping[str, Any]
    base_url: str
    home: str
    plan: str

    def bound(self) -> Profile:
        """The profile that the process opens."""
        source = ProfileSource(self.profile, tuple(self.sets))
        return source.with_terms(self.terms, base_url=self.base_url)

    def context(self) -> FactoryContext:
        """What its adapters are opened with."""
        return FactoryContext(system_clock, secrets_from(os.environ), Path(self.home))

    def parsed(self) -> Plan:
        """The plan."""
        return parse_plan(self.plan.encode(), "the errand's plan", ROLES)


class Victim:
    """The process on its errand; killed at the latest when the context is left.

    Args:
        errand: what it is to do.
        folder: where its errand and what it prints are kept.
    """

    def __init__(self, errand: Errand, folder: Path) -> None:
        path = folder / "errand.json"
        path.write_text(json.dumps(asdict(errand)), encoding="utf-8")
        self._said = folder / "victim.log"
        with self._said.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fleet_features.victim", str(path)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> int:
        """SIGKILL; the exit code, which is that of its own end where it was faster."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait(_END_S)

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll()

    @property
    def said(self) -> str:
        """What it printed."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """See that it is gone."""
        if self._process.poll() is None:
            self.kill()


async def run(errand: Errand) -> None:
    """Run the errand's plan to its end."""
    plan = errand.parsed()
    async with open_fleet(errand.bound(), errand.context()) as fleet:
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
