"""Secrets do not reach agents; what is none does, word for word."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fleet_plugins.kit.redaction import redacted

pytestmark = pytest.mark.anyio
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3\n-----END RSA PRIVATE KEY-----"
SECRETS = [
    ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("password = 'correct-horse-battery'", "correct-horse-battery"),
    ("the token is ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abc"),
    ("the token is ghp_abcdefghijklmnopqrstuvwxyz0123456789", "wxyz0123456789"),
    ("connect to postgres://bob:s3cretpw@db/shop first", "s3cretpw"),
    (f"use this:\n{KEY}\nfor the server", "MIIEow"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg", "MIIEvQ"),
    (
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3",
        "dozjgNryP4J3",
    ),
]
HARMLESS = """Use OAuth2 with PKCE; the password must have 12 characters.
def login(user, password):
    key = os.environ["API_KEY"]
    return check_password(password, user.password_hash)
The commit is 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12; see https://example.org/a_long_path/to/it.
"""


@pytest.mark.parametrize(("text", "secret"), SECRETS)
async def test_a_secret_is_replaced_by_what_it_was(text: str, secret: str) -> None:
    assert secret in text
    (clean,) = await redacted([text])
    assert secret not in clean
    assert "[redacted: " in clean
    assert await redacted([text]) == [clean]


async def test_words_around_it_stay() -> None:
    (clean,) = await redacted([f"use this:\n{KEY}\nfor the server"])
    assert clean == "use this:\n[redacted: Private Key]\nfor the server"


async def test_what_is_no_secret_stays_word_for_word() -> None:
    assert await redacted([HARMLESS, "", "\n"]) == [HARMLESS, "", "\n"]


async def test_large_texts_are_looked_through_too() -> None:
    text = ("nothing to see\n" * 5_000) + SECRETS[0][0]
    (clean,) = await redacted([text])
    assert clean.startswith("nothing to see\n" * 5_000)
    assert SECRETS[0][1] not in clean


def test_it_is_not_imported_before_it_is_needed() -> None:
    program = """
import asyncio, sys
from fleet_plugins.kit.redaction import redacted
asyncio.run(redacted(["Add a login button."]))
print("detect_secrets" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"
