"""Steps: the command `fleet`."""

from __future__ import annotations
