"""Runs one case of the fault catalogue against our own downloader, and holds the outcome against the oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from crawler.download.downloader import Downloader
from crawler.download.proof.digests import parse_digest
from crawler.download.values import DownloadOptions, FileResult, Wanted
from crawler.fetch.options import FetchOptions, OriginSecrets
from crawler.testing.bodies import digest
from crawler.testing.cases import PATH, Case, Need, Setting
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import serve, version
from crawler.testing.oracle import Verdict, judge, strays, where_wrong
from pipelines.pool.pool import WorkerPool

NAME = "data.bin"
LIMIT_SECONDS = 40.0
SPARE_BYTES = 1024 * 1024
"""What a resume may fetch beside what is missing: overlaps to compare, and the last pieces twice, to win a race."""


def options(segments: int, fetch: FetchOptions | None = None) -> DownloadOptions:
    """Return options with little patience for faults; for a machine that has much else to do there is enough."""
    unhurried = replace(fetch_options(), connect_timeout=20.0, read_timeout=20.0, min_rate=0.0)
    return DownloadOptions(
        segments=segments, processes=2, retries=3, retry_delay=0.02, retry_delay_max=0.1, retry_after_max=2.0,
        is_durable=False, fetch=fetch or unhurried,
    )  # fmt: skip


def fetch_options(case: Case | None = None, server: FaultServer | None = None) -> FetchOptions:
    """Return how to fetch from loopback, and what a case needs beyond it."""
    base = FetchOptions(
        connect_timeout=2.0, read_timeout=0.7, min_rate=1000.0, min_rate_after=0.7,
        allow_addresses=("127.0.0.0/8", "::1/128"),
    )  # fmt: skip
    if case is None or server is None:
        return base
    if Need.TRUST in case.needs:
        base = replace(base, verify_tls=False)
    if Need.PROXY in case.needs:
        base = replace(base, proxy=server.url("").rstrip("/"))
    if Need.SECRET in case.needs:
        base = replace(base, origins=(OriginSecrets(origin=server.url("/"), basic_auth=("user", "secret")),))
    return base


@dataclass(frozen=True)
class Ended:
    """How one download ended."""

    result: FileResult
    verdict: Verdict
    path: Path
    requests: int


@contextmanager
def set_up(case: Case) -> Iterator[Setting]:
    """Serve a case."""
    with FaultServer(case.origins, greet=case.greet) as server:
        setting = Setting(server, case.size)
        server.mount(PATH, case.build(setting))
        yield setting


def heal(setting: Setting) -> None:
    """Let the server be honest from now on, with the file as it was at first."""
    file = version("A", setting.size)
    setting.server.greet = None
    setting.server.mount(PATH, lambda request: serve(request, file))
    setting.right[:] = [file.body]


async def fetch(
    case: Case, setting: Setting, root: Path, pool: WorkerPool, segments: int, *, name: str | None = NAME
) -> Ended:
    """Download the file of a case once; raises TimeoutError when that does not end."""
    digests = (parse_digest(f"sha256:{digest(setting.file.body)}"),) if Need.DIGEST in case.needs else ()
    wanted = Wanted(setting.url, name, digests, mirrors=tuple(setting.mirrors))
    before = len(setting.server.exchanges)
    chosen = options(segments, fetch_options(case, setting.server))
    async with Downloader(root, chosen, pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(wanted), LIMIT_SECONDS)
    path = root / (result.path or NAME)
    says = result.status in ("verified", "unverified")
    return Ended(result, judge(path, setting.right, says_success=says), path, len(setting.server.exchanges) - before)


def check(case: Case, setting: Setting, ended: Ended, root: Path) -> None:
    """Hold an outcome against the oracle: right bytes and nothing else, or a reason that fits and no file."""
    result, told = ended.result, f"{case.name}: {ended.result.status} {ended.result.fault}: {ended.result.detail}"
    keep = [root / ".crawlmill" / "receipts", root / ".crawlmill" / "locks"]
    if ended.verdict is Verdict.RIGHT:
        assert case.may_be_right, told
        assert result.fault is None, told
        assert result.size == ended.path.stat().st_size, told
        assert case.must_verify is None or (result.status == "verified") is case.must_verify, told
        assert strays(root, [*keep, ended.path]) == [], told
    else:
        wrong = where_wrong(ended.path, setting.right)[:5] if ended.verdict is Verdict.WRONG else ""
        assert ended.verdict is Verdict.FAILED, f"{told}: {ended.verdict.upper()} {wrong}"
        assert result.fault in case.faults, f"{told}; expected {sorted(case.faults)}"
        assert result.detail, told
        assert not ended.path.exists(), told
        assert result.path is None, told
    assert case.most_requests is None or ended.requests <= case.most_requests, f"{told}: {ended.requests} requests"
