"""What ends an order before its end, as the parent needs it for the next one."""

from __future__ import annotations

from crawler.download.fault import Fault
from crawler.fetch.stream import Broken
from crawler.frontier.reasons import Reason

_FAULTS = {
    Reason.DNS: Fault.DNS,
    Reason.CONNECT: Fault.CONNECT,
    Reason.CONNECT_TIMEOUT: Fault.CONNECT,
    Reason.TLS: Fault.TLS,
    Reason.READ_TIMEOUT: Fault.TIMEOUT,
    Reason.TOTAL_TIMEOUT: Fault.TIMEOUT,
    Reason.TOO_SLOW: Fault.TOO_SLOW,
    Reason.DISCONNECTED: Fault.DISCONNECTED,
    Reason.ADDRESS_BLOCKED: Fault.ADDRESS_BLOCKED,
    Reason.PORT_BLOCKED: Fault.ADDRESS_BLOCKED,
    Reason.AUTH: Fault.AUTH,
}


def fault_of(broken: Broken, *, is_answered: bool) -> Fault:
    """Return what a broken exchange is for a file."""
    if broken.reason is Reason.DISCONNECTED and is_answered and broken.is_early_end:
        return Fault.SHORT_BODY
    return _FAULTS.get(broken.reason, Fault.PROTOCOL)


class Trouble(Exception):
    """What ends an attempt, with all that a decision about the next one needs. Never leaves the worker."""

    def __init__(
        self, fault: Fault, detail: str, status: int = 0, retry_after: float | None = None, target: str = ""
    ) -> None:
        super().__init__(fault, detail)
        self.fault, self.detail, self.status, self.retry_after, self.target = fault, detail, status, retry_after, target
