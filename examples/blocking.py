"""A whole crawl in one call, and what came of it.

    python examples/blocking.py site.toml [section.key=value ...]

Ends with the exit code that the command `crawl` would have.
"""

from __future__ import annotations

import sys

import crawler
from crawler.errors import CrawlError


def main(path: str, overrides: list[str]) -> int:
    """Crawl, print what failed and why, and return the exit code."""
    try:
        summary = crawler.run(crawler.load(path, overrides))
    except CrawlError as error:  # config, lock, disk: each knows its code, and its text says what to do
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{summary.ended}: {summary.done} pages, {summary.redirected} redirects, {summary.pending} to go")
    for reason, count in summary.failed_by_reason.items():
        print(f"  {count} failed: {reason}")
    assert summary.adds_up()
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
