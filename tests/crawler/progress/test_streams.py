"""Whether the result got out decides the exit code; whether anybody waited to read it does not."""

from __future__ import annotations

import os

import pytest

from crawler.errors import ExitCode
from crawler.progress.output import Output
from crawler.progress.streams import Streams


@pytest.fixture
def streams() -> Streams:
    """A result that goes to a full disk."""
    streams = Streams()
    streams.out = Output(os.open("/dev/full", os.O_WRONLY))
    return streams


def test_what_was_written_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    streams = Streams()
    streams.say("a\tb")
    assert streams.verdict(0) == 0
    assert tuple(capfd.readouterr()) == ("a\\tb\n", "")


def test_a_result_that_was_not_written_is_no_success(streams: Streams, capfd: pytest.CaptureFixture[str]) -> None:
    streams.result("lost")
    assert streams.verdict(0) == ExitCode.STATE
    assert capfd.readouterr().err == "crawl: stdout: No space left on device\n"


@pytest.mark.parametrize("code", [code for code in ExitCode if code])
def test_what_went_wrong_before_stays_the_code(
    code: ExitCode, streams: Streams, capfd: pytest.CaptureFixture[str]
) -> None:
    streams.result("lost")
    assert streams.verdict(code) == code
    assert "No space left" in capfd.readouterr().err


def test_a_log_that_cannot_be_written_is_no_trouble(capfd: pytest.CaptureFixture[str]) -> None:
    streams = Streams()
    streams.err = Output(os.open("/dev/full", os.O_WRONLY))
    streams.tell("lost")
    assert streams.verdict(0) == 0
