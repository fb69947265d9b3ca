"""Exit codes and problems are read by scripts and people: they do not change by accident."""

import pytest

from crawler.errors import ConfigError, CrawlError, ExitCode, LockedError, Problem, StateError, WorkersError


def test_exit_codes_are_the_documented_numbers() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "COMPLETE": 0, "INTERNAL": 1, "USAGE": 2, "FAILURES": 3, "LIMIT": 4, "LOCKED": 5, "STATE": 6,
        "INTERRUPTED": 130, "TERMINATED": 143,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [(CrawlError("x"), 1), (ConfigError([]), 2), (LockedError("x"), 5), (StateError("x"), 6), (WorkersError("x"), 1)],
)
def test_each_error_knows_its_exit_code(error: CrawlError, code: int) -> None:
    assert error.exit_code == code


def test_a_problem_reads_as_one_line() -> None:
    whole = Problem("fetch.retries", "expected a whole number", '"x"', "write 3", "config.toml", 7)
    assert str(whole) == 'config.toml:7: fetch.retries: expected a whole number, got "x"; write 3'
    assert str(Problem("fetch.retries", "expected a whole number")) == "fetch.retries: expected a whole number"
    assert str(Problem("", "no such file", source="a.toml")) == "a.toml: no such file"
    assert str(ConfigError([whole, whole])).count("\n") == 1
