"""`crawl demo --run COMMAND ...`: a command that runs while the demo site is being served."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

NOT_FOUND, NOT_STARTED = 127, 126  # as a shell has them
SIGNALLED = 128


async def run_beside(command: Sequence[str]) -> int:
    """Run `command` to its end and return its exit code, 128 + n when signal n ended it, as a shell does.

    SIGTERM and SIGHUP are passed on. Ctrl-C is not: the terminal sends it to the whole foreground group, the command
    included. Either way the site is there until the command has ended, however long that takes. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _leave_it_to_the_command)
    child = await asyncio.create_subprocess_exec(*command)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _pass_on, child, number)
    code = await child.wait()
    return code if code >= 0 else SIGNALLED - code


def _leave_it_to_the_command() -> None:
    pass


def _pass_on(child: asyncio.subprocess.Process, number: int) -> None:
    try:
        child.send_signal(number)
    except ProcessLookupError:
        pass  # it ended a moment ago
