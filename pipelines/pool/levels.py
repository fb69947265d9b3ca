"""Which log records are worth a worker's while, as its parent sees it when the worker starts."""

from __future__ import annotations

import sys

WARNING = 30  # logging.WARNING; logging itself is imported only where somebody logs


def lowest_level() -> int:
    """Return the lowest level that any logger of this process lets through."""
    logging = sys.modules.get("logging")
    if logging is None:
        return WARNING
    levels = [logger.level for logger in list(logging.root.manager.loggerDict.values()) if getattr(logger, "level", 0)]
    return int(min([logging.root.level or WARNING, *levels]))
