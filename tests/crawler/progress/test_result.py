"""The final table: everything counted, every reason, where it is, what it means, how to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawler.engine.summary import Summary
from crawler.errors import ExitCode
from crawler.progress.result import result


def summary(code: ExitCode = ExitCode.COMPLETE, **changes: Any) -> Summary:
    figures: dict[str, Any] = {
        "exit_code": code, "ended": code.name.lower(), "discovered": 1260, "done": 1200, "redirected": 15, "failed": 4,
        "skipped": 41, "pending": 0, "failed_by_reason": {"http_4xx": 3, "dns": 1}, "skipped_by_reason": {"robots": 41},
        "duplicates": 12, "wire_bytes": 12_345_678, "body_bytes": 0, "retries": 0,
        "run": {"seconds": 2.5, "pages_per_second": 480.0}, "outputs": {"pages": "/data/out/pages.jsonl"},
    }  # fmt: skip
    return Summary(**{**figures, **changes})


def shown(*args: Any, command: tuple[str, ...] = ("crawl", "c.toml"), **changes: Any) -> list[str]:
    return result(summary(*args, **changes), Path("/data/out"), command)


def test_a_complete_crawl() -> None:
    assert shown() == [
        "crawl: complete after 2.50 s, 480 pages/s, 12.3 MB received",
        "",
        "pages         1,200",
        "  duplicates     12",
        "redirects        15",
        "failed            4",
        "  http_4xx        3",
        "  dns             1",
        "skipped          41",
        "  robots         41",
        "pending           0",
        "",
        "pages         /data/out/pages.jsonl",
        "summary       /data/out/summary.json",
        "",
        "exit code 0: complete",
    ]


@pytest.mark.parametrize("code", [ExitCode.LIMIT, ExitCode.INTERRUPTED, ExitCode.TERMINATED])
def test_how_to_go_on(code: ExitCode) -> None:
    lines = shown(code, pending=7, command=("crawl", "my config.toml", "--out", "x\x1b"))
    assert lines[-1].startswith("to go on:  crawl 'my config.toml' --out 'x\\x1b'")
    assert ("higher limit" in lines[-1]) == (code is ExitCode.LIMIT)


@pytest.mark.parametrize("code", [ExitCode.COMPLETE, ExitCode.FAILURES, ExitCode.INTERNAL])
def test_what_is_over_is_not_to_be_gone_on_with(code: ExitCode) -> None:
    assert shown(code)[-1].startswith(f"exit code {int(code)}: ")


def test_paths_are_text() -> None:
    lines = shown(outputs={"pages": "/data/\x1b[31m/pages.jsonl"})
    assert "pages         /data/\\x1b[31m/pages.jsonl" in lines


def test_files_are_counted_by_what_became_of_them() -> None:
    lines = shown(files=12, files_by_status={"verified": 11, "failed": 1})
    at = lines.index("files            12")
    assert lines[at : at + 3] == ["files            12", "  verified       11", "  failed          1"]
