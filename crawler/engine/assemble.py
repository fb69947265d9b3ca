"""From the configuration to the options of each room. The rooms know nothing of TOML."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from crawler.config import Config, Download
from crawler.errors import ConfigError, Problem
from crawler.fetch.options import FetchOptions, OriginSecrets
from crawler.frontier.politeness import Politeness
from crawler.frontier.robots import product_token
from crawler.frontier.scope import Scope, ScopeRules
from crawler.quarantine.case import Case
from crawler.quarantine.keeper import Quarantine
from crawler.store.store import StoreOptions
from pipelines.batcher import Lost
from pipelines.errors import StageError
from pipelines.page import Page
from pipelines.spec import PipelineSpec
from pipelines.stages.options import StageOptions
from pipelines.url import CanonicalUrl, host_of

if TYPE_CHECKING:
    from crawler.engine.bodies import BodyStore
    from crawler.frontier.files import Files

FAST_INTERVAL = 1.0  # seconds between two commits with durability = "fast"


def scope(config: Config) -> Scope:
    """Return the rule that says which URLs belong to the crawl."""
    rules = config.scope
    hosts = frozenset(rules.hosts)
    if not hosts and not rules.domains:
        hosts = frozenset(host_of(seed) for seed in config.job.seeds)
    sums_first: tuple[str, ...] = ()
    if config.has_files and config.downloads.page_digests:
        from crawler.download.proof.beside import SUMS_PATTERN

        sums_first = (SUMS_PATTERN,)
    return Scope(
        ScopeRules(
            hosts=hosts,
            domains=frozenset(rules.domains),
            allow=rules.allow,
            deny=rules.deny,
            max_url_length=rules.max_url_length,
            max_query_length=rules.max_query_length,
            max_repeated_segments=rules.max_repeated_segments,
            max_segments=rules.max_segments,
            raise_=config.priority.raise_ + sums_first,
            lower=config.priority.lower,
        )
    )


def fetch_options(config: Config) -> FetchOptions:
    """Return how pages are fetched."""
    fetch = config.fetch
    return FetchOptions(
        concurrency=fetch.concurrency,
        user_agent=fetch.user_agent,
        headers=tuple(fetch.headers.items()),
        connect_timeout=fetch.connect_timeout,
        read_timeout=fetch.read_timeout,
        total_timeout=fetch.total_timeout,
        min_rate=fetch.min_rate,
        min_rate_after=fetch.min_rate_after,
        max_wire_bytes=fetch.max_wire_bytes,
        keepalive=fetch.keepalive,
        dns_cache=fetch.dns_cache,
        allow_addresses=fetch.allow_addresses,
        proxy=fetch.proxy.get_secret_value() if fetch.proxy else None,
        verify_tls=fetch.verify_tls,
        origins=tuple(
            OriginSecrets(
                origin=origin.url,
                headers=tuple((name, value.get_secret_value()) for name, value in origin.headers.items()),
                cookies=tuple((name, value.get_secret_value()) for name, value in origin.cookies.items()),
                basic_auth=_user_and_password(origin.basic_auth.get_secret_value()) if origin.basic_auth else None,
            )
            for origin in config.origin
        ),
    )


def _user_and_password(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return user, password


def politeness(config: Config) -> Politeness:
    """Return how hosts are treated."""
    return Politeness(
        per_host=config.politeness.per_host,
        delay=config.politeness.delay,
        backoff=config.fetch.retry_delay,
        backoff_max=config.politeness.backoff_max,
    )


def store_options(config: Config, *, keep_lines: bool) -> StoreOptions:
    """Return how state is kept."""
    # Either way a commit is synced, outputs first: a state that reached the disk before the outputs it speaks of would
    # be refused after a power cut. What "fast" saves is most of the commits.
    interval = config.output.commit_interval
    return StoreOptions(
        commit_interval=interval if config.output.durability == "full" else max(FAST_INTERVAL, interval),
        zstd=config.output.compress == "zstd",
        max_depth=config.scope.max_depth,
        host_budget=config.scope.max_pages_per_host,
        keep_lines=keep_lines,
        has_files=config.has_files,
    )


def pipeline_spec(config: Config, admit: Scope, fingerprint_key: bytes) -> PipelineSpec:
    """Return what the workers do with a page. Its nonce is new: what one run reported says nothing to the next."""
    parse = config.parse
    options = StageOptions(
        max_body_bytes=parse.max_body_bytes,
        max_links=parse.max_links,
        max_text_chars=parse.max_text_chars,
        outlinks=parse.outlinks,
        follow=parse.follow,
        follow_nofollow=not parse.nofollow,
        robots_agent=product_token(config.fetch.user_agent).lower(),
        record_headers=config.output.headers,
        fields=config.output.fields,
        store_body=config.output.bodies,
        drop_query_keys=config.url.drop_query_keys,
        sort_query=config.url.sort_query,
        stages=parse.stages,
    )
    claims = None
    if config.has_files and config.downloads.page_digests:
        from crawler.download.proof.beside import Beside  # with its regular expressions, which few crawls need

        claims = Beside(config.downloads.patterns)
    return PipelineSpec(
        options=options, admit=admit, fingerprint_key=fingerprint_key, nonce=os.urandom(8).hex(), claims=claims
    )


def listed(config: Config, tidy: Callable[[CanonicalUrl], CanonicalUrl]) -> dict[str, Download]:
    """Return the files that are listed, by the URL under which the store knows them."""
    return {tidy(CanonicalUrl(file.url)): file for file in config.download}


def files(config: Config, listed: Mapping[str, Download]) -> Files | None:
    """Return the rule that says which URLs are files; None where nothing is.

    Raises ConfigError for a digest that needs a package which is not installed.
    """
    if not config.has_files:
        return None
    from crawler.frontier.files import Files

    _check_algorithms(config)
    return Files(config.downloads.patterns, config.downloads.content_types, listed)


def bodies(config: Config) -> BodyStore | None:
    """Return where bodies are kept, None when they are not. Raises StateError."""
    if not config.output.bodies:
        return None
    from crawler.engine.bodies import BodyStore  # file calls in threads: 6 ms of a start that few crawls need

    return BodyStore(config.job.out / "bodies", durable=config.output.durability == "full")


def _check_algorithms(config: Config) -> None:
    from crawler.download.proof.digests import DigestError, new_hash

    wanted = [(f"downloads.digests[{index}]", name) for index, name in enumerate(config.downloads.digests)]
    for index, file in enumerate(config.download):
        wanted += [(f"download[{index}].digests", text.partition(":")[0]) for text in file.known_digests()]
    problems = []
    for key, name in wanted:
        try:
            new_hash(name)
        except DigestError as exc:
            problems.append(Problem(key=key, rule=str(exc)))
    if problems:
        raise ConfigError(problems)


def quarantine(config: Config, spec: PipelineSpec, rules: ScopeRules) -> Quarantine:
    """Return where pages go that broke their workers."""

    def case(page: Page, lost: Lost) -> Case:
        detail = f"{lost.detail}\n{lost.last_words}".strip()
        cpu = config.cpu
        return Case(
            page, spec.options, rules, lost.cause.value, detail, lost.stage, cpu.page_timeout, cpu.worker_memory, {}
        )

    return Quarantine(config.job.out / "quarantine", case, durable=config.output.durability == "full")


def check(config: Config) -> None:
    """Build everything a run would build, without starting it. Raises ConfigError for a stage that cannot be found."""
    from pipelines.pipeline import (
        Pipeline,  # with the parser behind it, which a running crawl loads in the workers only
    )

    spec = pipeline_spec(config, scope(config), b"\0" * 16)
    try:
        Pipeline(spec)
    except StageError as exc:
        raise ConfigError([Problem(key="parse.stages", rule=str(exc))]) from exc
    fetch_options(config)
    files(config, listed(config, lambda url: url))
