"""The harness refuses what would pass without having been looked at."""

from __future__ import annotations

import textwrap

import pytest

pytest_plugins = ("pytester",)

FEATURE = """
Feature: A feature
  {tags}
  Scenario: Something happens
    When something happens
"""


def run(
    pytester: pytest.Pytester, step: str, *options: str, tags: str = "@scripted"
) -> pytest.RunResult:
    pytester.makefile(".feature", a=FEATURE.format(tags=tags))
    body = "from pytest_bdd import scenarios, when\nscenarios('a.feature')\n"
    pytester.makepyfile(test_a=body + textwrap.dedent(step))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers")
    return pytester.runpytest_subprocess("-p", "fleet_features.plugin", *options)


PLAIN = """
    @when("something happens")
    def happens():
        assert {holds}
"""


def test_a_plain_step_is_run(pytester: pytest.Pytester) -> None:
    run(pytester, PLAIN.format(holds=True)).assert_outcomes(passed=1)
    run(pytester, PLAIN.format(holds=False)).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    "step",
    [
        """
        @when("something happens")
        async def happens():
            assert False
        """,
        """
        @when("something happens")
        def happens():
            assert True
            yield
            assert False
        """,
        """
        @when("something happens")
        async def happens():
            yield
        """,
    ],
)
def test_a_step_that_nobody_awaits_is_refused_before_anything_runs(
    pytester: pytest.Pytester, step: str
) -> None:
    result = run(pytester, step)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*steps must be plain functions*test_a.happens*"])


def test_a_scenario_without_a_tag_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAIN.format(holds=True), tags="")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_something_happens carries none of the tags scripted*"])


def test_what_a_profile_lacks_is_counted_and_not_run(pytester: pytest.Pytester) -> None:
    options = ("--profile", "scripted")
    result = run(pytester, PLAIN.format(holds=False), *options, tags="@scripted @durable")
    result.assert_outcomes(deselected=1)
    result.stdout.fnmatch_lines(
        ["not applicable to profile scripted: 1", "*1: what it keeps ends with the process"]
    )
    result = run(pytester, PLAIN.format(holds=False), tags="@scripted @durable")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["not applicable to profile embedded: 0"])


def test_an_unknown_profile_is_refused_with_its_close_matches(pytester: pytest.Pytester) -> None:
    result = run(pytester, PLAIN.format(holds=True), "--profile", "embeded")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no profile 'embeded'*embedded*"])


def test_a_profile_file_of_ones_own_is_taken(pytester: pytest.Pytester) -> None:
    own = pytester.path / "own.toml"
    own.write_text('extends = "scripted"\n[lease]\ntokens = 5\n', encoding="utf-8")
    result = run(pytester, PLAIN.format(holds=True), "--profile", str(own))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*profile: *own.toml (*bus.memory*"])
