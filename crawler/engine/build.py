"""Puts a crawl together: from configuration, store and workers to an engine that has its seeds."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from crawler.config import Config
from crawler.engine import assemble
from crawler.engine.clock import Clock
from crawler.engine.held import Held
from crawler.engine.loop import Engine
from crawler.engine.parts import Parts
from crawler.engine.workers import Workers
from crawler.fetch.fetcher import Fetcher
from crawler.frontier.frontier import Frontier
from crawler.frontier.politeness import HostClock
from crawler.frontier.reasons import Reason
from crawler.store.group import Seeds
from crawler.store.store import Opened, Store
from pipelines.batcher import Batcher
from pipelines.page import Page
from pipelines.stages.query import query_rules
from pipelines.url import CanonicalUrl, fingerprinter, host_of


async def build_engine(
    stack: AsyncExitStack, config: Config, store: Store, opened: Opened, workers: Workers, clock: Clock
) -> Engine:
    """Return an engine for a job that was opened. What it needs beside store and workers is closed with `stack`."""
    key = bytes.fromhex(opened.meta["fingerprint_key"])
    scope = assemble.scope(config)
    tidy = query_rules(config.url.drop_query_keys, config.url.sort_query) or _as_it_is
    listed = assemble.listed(config, tidy)
    files = assemble.files(config, listed)
    # A run that was killed may have asked a host a moment ago and never noted it: every pause starts anew.
    last_start = clock.now() if opened.resumed else float("-inf")
    frontier = Frontier(
        partial(HostClock, assemble.politeness(config), last_start=last_start),
        pending=opened.counters.get("pending", 0),
        use_robots=config.politeness.robots,
        slots=config.fetch.concurrency,
        is_file=files.is_file_row if files else None,
    )
    spec = assemble.pipeline_spec(config, scope, key)
    held = Held(config.cpu.queue_bytes)
    batcher = Batcher(
        partial(workers.process, spec.dumps()),
        slots=2 * workers.count,
        max_pages=config.cpu.batch_pages,
        max_bytes=config.cpu.batch_bytes,
        wanted=held.wants_results,
    )
    is_file_type = files.is_file_type if files and files.has_types else None
    fetcher = Fetcher(assemble.fetch_options(config), is_file=is_file_type)
    parts = Parts(
        config=config,
        frontier=frontier,
        scope=scope,
        fingerprint=fingerprinter(key),
        tidy=tidy,
        fetcher=await stack.enter_async_context(fetcher),
        store=store,
        batcher=batcher,
        held=held,
        judge=partial(workers.judge, scope),
        decode=partial(_decode, workers),
        bodies=assemble.bodies(config),
        quarantine=assemble.quarantine(config, spec, scope.rules),
        clock=clock,
    )
    engine = Engine(parts)
    if files:
        from crawler.engine.files import FileParts  # with the downloads behind it
        from crawler.engine.open_files import open_files

        needs = FileParts(config.downloads, listed, files, frontier, store, parts.fingerprint, engine.wake)
        engine.files = await stack.enter_async_context(open_files(config, needs, clock))
    return engine


async def seeds_of(config: Config, engine: Engine, workers: Workers) -> Seeds:
    """Return where the crawl starts: its seeds, as its scope judges them, and its listed files, wherever they are."""
    links, refused = [], []
    urls = [engine.tidy(CanonicalUrl(seed)) for seed in config.job.seeds]
    for url, verdict in zip(urls, await workers.judge(engine.scope, urls), strict=True):
        if verdict is None:
            refused.append((engine.fingerprint(url), url, Reason.PATTERN_TIMEOUT.value))
        elif isinstance(verdict, str):
            refused.append((engine.fingerprint(url), url, verdict))
        else:
            links.append((engine.fingerprint(url), url, host_of(url), verdict[1]))
    files = [engine.tidy(CanonicalUrl(file.url)) for file in config.download]
    links += [(engine.fingerprint(url), url, host_of(url), 0) for url in files]
    return Seeds(links, refused)


async def _decode(workers: Workers, page: Page) -> bytes | None:
    if not any(name == "content-encoding" for name, _ in page.headers):
        return page.body
    return await workers.decode(page)


def _as_it_is(url: CanonicalUrl) -> CanonicalUrl:
    return url
