"""What the outcome of an exchange says about its host, and what the loss of a page is called."""

from __future__ import annotations

from typing import assert_never

from crawler.fetch.outcome import Failed, Fetched, FileHead, Outcome, Redirected, Refused
from crawler.frontier.politeness import Verdict
from crawler.frontier.reasons import Reason
from pipelines.batcher import LossCause

REASON_OF = {
    LossCause.TIMEOUT: Reason.PARSE_TIMEOUT,
    LossCause.MEMORY: Reason.PARSE_MEMORY,
    LossCause.CRASH: Reason.PARSE_CRASH,
}
"""Why a page that broke its worker failed."""


def verdict(outcome: Outcome) -> Verdict:
    """Return what an outcome says about its host."""
    match outcome:
        case Fetched() | FileHead() | Redirected():
            return Verdict.ALIVE
        case Refused():
            return Verdict.UNKNOWN
        case Failed(reason):
            return _VERDICTS.get(reason, Verdict.ALIVE)
        case other:
            assert_never(other)


_VERDICTS = dict.fromkeys(
    (
        Reason.DNS,
        Reason.CONNECT,
        Reason.TLS,
        Reason.CONNECT_TIMEOUT,
        Reason.READ_TIMEOUT,
        Reason.TOTAL_TIMEOUT,
        Reason.TOO_SLOW,
        Reason.DISCONNECTED,
        Reason.HTTP_5XX,
    ),
    Verdict.FAILED,
) | {Reason.RATE_LIMITED: Verdict.OVERLOADED, Reason.INTERNAL: Verdict.UNKNOWN}
