from __future__ import annotations

from fleet_bootstraps.telemetry.masks import Masks


def masks(*values: str) -> Masks:
    found = Masks()
    for value in values:
        found.remember(value)
    return found


def test_a_secret_that_was_resolved_is_hidden_wherever_it_stands() -> None:
    found = Masks()
    secret = found.resolving({"KEY": "s3cr3t-value"}.__getitem__)
    assert found.hidden("s3cr3t-value") == "s3cr3t-value"  # nobody knows yet that it is one
    assert secret("KEY") == "s3cr3t-value"
    assert found.hidden("Bearer s3cr3t-value, (s3cr3t-value)") == "Bearer ***, (***)"


def test_the_spelling_of_urls_is_known() -> None:
    found = masks("p@ss/word+1%")
    assert found.hidden("?key=p%40ss%2Fword%2B1%25&x") == "?key=***&x"


def test_a_spelling_of_repr_is_known() -> None:
    secret = "tab\tand\\slash"
    assert masks(secret).hidden(f"{secret!r}") == "'***'"


def test_the_lines_of_a_key_are_hidden_one_by_one() -> None:
    key = "-----BEGIN X-----\nMIIEvQIBADANBgkqhkiG9w0B\nAAOCAQ8AMIIBCgKCAQEA\n-----END X-----\n"
    said = masks(key).hidden("read MIIEvQIBADANBgkqhkiG9w0B, then AAOCAQ8AMIIBCgKCAQEA")
    assert said == "read ***, then ***"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    assert masks("abcdef", "abcdef-ghi").hidden("abcdef-ghi abcdef") == "*** ***"


def test_a_very_short_secret_is_hidden_where_it_stands_alone() -> None:
    assert masks("ab").hidden("token ab in a cab") == "token *** in a cab"
    assert masks("", "  ").hidden("a b") == "a b"


def test_passwords_in_urls_are_never_said() -> None:
    assert Masks().hidden("nats://user:word@host:4222/x") == "nats://***@host:4222/x"
    assert Masks().hidden("http://host:1/user:word@x") == "http://host:1/user:word@x"


def test_variables_named_like_secrets_are_hidden_from_the_start() -> None:
    found = Masks(
        {"HUB_TOKEN": "hub-value-1", "MODEL_API_KEY": "key-value-2", "LANG": "en_GB.UTF-8"}
    )
    assert found.hidden("hub-value-1 key-value-2 en_GB.UTF-8") == "*** *** en_GB.UTF-8"
    assert Masks({"MY_TOKEN": "short"}).hidden("short words") == "short words"
