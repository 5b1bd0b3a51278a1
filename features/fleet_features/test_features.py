"""Every scenario of the folder `features`."""

from __future__ import annotations

from pytest_bdd import scenarios

scenarios("features")
