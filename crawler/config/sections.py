"""The sections of the config: every key with its kind, default, meaning and the rules that tie it to its neighbours.

The descriptions are the one source of the tables in docs/configuration.md and of the JSON Schema; a test holds
sample_config.toml to the keys and defaults.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from crawler.config.kinds import (
    Count,
    FilePath,
    Line,
    Natural,
    Ratio,
    Regex,
    Secret,
    Size,
    SizeOrZero,
    Switch,
    Text,
    Time,
    TimeOrZero,
)
from crawler.config.parsed import Finding, Source, meaning
from crawler.config.section import Section
from crawler.config.seeds import read_seeds
from crawler.config.web import (
    Cidr,
    Domain,
    HeaderName,
    Host,
    OriginUrl,
    Proxy,
    RecordedField,
    RecordedHeader,
    Seed,
    StageName,
    is_secret_name,
    is_token,
)


def default_user_agent() -> str:
    """Return the User-Agent that says who crawls and where to read about it (RFC 9110 10.1.5)."""
    from crawler import __version__

    return f"crawlmill/{__version__} (+https://pypi.org/project/crawlmill/)"


class Job(Section, frozen=True, kw_only=True):
    """What to crawl, where to, and when to stop."""

    seeds: Annotated[
        tuple[Seed, ...], meaning("URLs to start from. Required unless seeds_file or a [[download]] is given.")
    ] = ()
    seeds_file: Annotated[
        FilePath | None,
        meaning("File with further seeds, one URL a line; empty lines and lines that start with # are skipped."),
    ] = None
    out: Annotated[
        FilePath, meaning("Folder for records and state, seen from this file. The same folder resumes the same crawl.")
    ] = Path("out")
    max_pages: Annotated[Count | None, meaning("Stop after this many records, in all runs together.")] = None
    max_time: Annotated[Time | None, meaning("Stop after this time, each run for itself.")] = None
    max_bytes: Annotated[Size | None, meaning("Stop after this many bytes off the wire, in all runs together.")] = None
    max_failed_ratio: Annotated[
        Ratio, meaning("Exit with code 3 when more than this share of the tried pages failed; 0 to 1.")
    ] = 0.5

    def complete(self, source: Source) -> Iterator[Finding]:
        """Put the seeds of the file behind those of the config, and the default folder beside it."""
        seeds = list(self.seeds)
        if self.seeds_file:
            more, problems = read_seeds(self.seeds_file, source)
            if problems:
                yield Finding(("seeds_file",), "expected a file of URLs", problems=tuple(problems))
                return
            seeds += more
        force_setattr(self, "seeds", tuple(dict.fromkeys(seeds)))  # frozen for everybody else
        if "out" not in self.given:
            force_setattr(self, "out", source.locate(self.out))


class Scope(Section, frozen=True, kw_only=True):
    """Which URLs belong to the crawl."""

    hosts: Annotated[
        tuple[Host, ...],
        meaning(
            "Hosts to crawl, without scheme and port; the hosts of the seeds when domains is empty too. "
            '"*" is every host.'
        ),
    ] = ()
    domains: Annotated[
        tuple[Domain, ...], meaning("Domains to crawl with every host below them; public suffixes are refused.")
    ] = ()
    allow: Annotated[
        tuple[Regex, ...],
        meaning("Regular expressions searched in path?query; when there are any, a URL needs one that matches."),
    ] = ()
    deny: Annotated[
        tuple[Regex, ...], meaning("Regular expressions searched in path?query; a URL that matches one is left out.")
    ] = ()
    max_depth: Annotated[Natural | None, meaning("Links to follow from a seed; 0 is the seeds alone.")] = None
    max_url_length: Annotated[Count, meaning("Longest URL, in characters.")] = 8000
    max_query_length: Annotated[Natural, meaning("Longest query, in characters after the question mark.")] = 2000
    max_pages_per_host: Annotated[Count | None, meaning("Pages of one host.")] = None
    max_repeated_segments: Annotated[
        Count, meaning("How often one path segment may occur in a URL; more is taken for a trap.")
    ] = 3
    max_segments: Annotated[Count, meaning("How many segments a path may have; more is taken for a trap.")] = 50


class Url(Section, frozen=True, kw_only=True):
    """Which URLs are the same page, beyond the WHATWG standard."""

    drop_query_keys: Annotated[tuple[Line, ...], meaning('Query keys to remove, as globs: "utm_*".')] = ()
    sort_query: Annotated[Switch, meaning("Sort the query by key: right only for sites that do not mind.")] = False


class Priority(Section, frozen=True, kw_only=True):
    """What comes first. Otherwise: by depth, then in order of discovery."""

    raise_: Annotated[
        tuple[Regex, ...],
        meaning("Regular expressions searched in path?query; each that matches moves a URL forward by one depth."),
    ] = field(default=(), name="raise")
    lower: Annotated[
        tuple[Regex, ...],
        meaning("Regular expressions searched in path?query; each that matches moves a URL back by one depth."),
    ] = ()


class Fetch(Section, frozen=True, kw_only=True):
    """How pages are fetched."""

    concurrency: Annotated[int, Meta(ge=1, le=10_000), meaning("Fetches at a time, over all hosts.")] = 64
    user_agent: Annotated[
        Line, meaning("User-Agent header and name for robots.txt. Say who you are and where to read about it.")
    ] = field(default_factory=default_user_agent)
    headers: Annotated[
        Mapping[HeaderName, Text],
        meaning("Headers sent to every origin. Credentials are refused here: see [[origin]]."),
    ] = {}
    connect_timeout: Annotated[Time, meaning("Longest wait for a connection, TLS included.")] = 10.0
    read_timeout: Annotated[Time, meaning("Longest wait between two pieces of a response.")] = 30.0
    total_timeout: Annotated[Time, meaning("Longest time of one fetch, from request to last byte.")] = 120.0
    min_rate: Annotated[SizeOrZero, meaning("Slowest body, in bytes per second; 0 switches the rule off.")] = 100
    min_rate_after: Annotated[TimeOrZero, meaning("Time a body has before min_rate is asked of it.")] = 10.0
    max_wire_bytes: Annotated[
        Size, meaning("Longest body as sent, before decompression; the rest is cut off and flagged.")
    ] = 16 * 1024**2
    retries: Annotated[int, Meta(ge=0, le=100), meaning("Further attempts after a failure that may heal.")] = 3
    retry_delay: Annotated[TimeOrZero, meaning("Wait before the first retry; doubles with each, with jitter.")] = 1.0
    retry_delay_max: Annotated[Time, meaning("Longest wait before a retry.")] = 300.0
    keepalive: Annotated[TimeOrZero, meaning("How long an idle connection is kept.")] = 30.0
    dns_cache: Annotated[TimeOrZero, meaning("How long a resolved name is remembered.")] = 300.0
    allow_addresses: Annotated[
        tuple[Cidr, ...],
        meaning("Networks that may be reached although they are not globally routable (private, loopback)."),
    ] = ()
    proxy: Annotated[
        Proxy | None,
        meaning("HTTP proxy for all requests; a password in it comes from ${VARIABLE}, or the whole from a file."),
    ] = None
    verify_tls: Annotated[Switch, meaning("Verify certificates.")] = True
    uvloop: Annotated[Switch, meaning("Use uvloop where it is installed, also for downloads.")] = True

    def findings(self) -> Iterator[Finding]:
        """Yield headers that would carry credentials to every origin."""
        for name in self.headers:
            if name.lower() == "user-agent":
                yield Finding(("headers", name), "expected a header other than User-Agent", "set fetch.user_agent")
            elif is_secret_name(name):
                yield Finding(
                    ("headers", name),
                    "expected a header that is no credential: these go to every origin",
                    "put it into the headers of an [[origin]]",
                )


class Origin(Section, frozen=True, kw_only=True):
    """Headers, cookies and credentials for one origin; they are never sent to another, not even after a redirect."""

    url: Annotated[OriginUrl, meaning("Scheme, host and port these belong to.")]
    headers: Annotated[
        Mapping[HeaderName, Secret], meaning("Headers for this origin; credentials as ${VARIABLE} or file.")
    ] = {}
    cookies: Annotated[Mapping[Text, Secret], meaning("Cookies for this origin, each as ${VARIABLE} or file.")] = {}
    basic_auth: Annotated[
        Secret | None, meaning('"user:password" for this origin, the password as ${VARIABLE} or all in a file.')
    ] = None

    def findings(self) -> Iterator[Finding]:
        """Yield a basic_auth that names no user, and cookie names that would break the header."""
        if self.basic_auth and ":" not in self.basic_auth.get_secret_value():
            yield Finding(("basic_auth",), 'expected "user:password"')
        for name in self.cookies:
            if not is_token(name):
                yield Finding(
                    ("cookies", name), "expected a cookie name: letters, digits and hyphens"
                )  # RFC 6265 4.1.1


class Politeness(Section, frozen=True, kw_only=True):
    """What a server is spared."""

    per_host: Annotated[int, Meta(ge=1, le=1000), meaning("Fetches at a time from one host.")] = 2
    delay: Annotated[TimeOrZero, meaning("Least time between the starts of two fetches from one host.")] = 0.5
    robots: Annotated[Switch, meaning("Keep to robots.txt (RFC 9309).")] = True
    robots_max_age: Annotated[Time, meaning("How long a robots.txt is used before it is fetched again.")] = 86400.0
    crawl_delay_max: Annotated[
        TimeOrZero, meaning("Longest Crawl-delay that is kept; a longer one is cut to this.")
    ] = 60.0
    retry_after_max: Annotated[
        TimeOrZero, meaning("Longest Retry-After that is kept; a longer one is cut to this.")
    ] = 3600.0
    backoff_max: Annotated[Time, meaning("Longest pause for a host that keeps failing.")] = 600.0


class Cpu(Section, frozen=True, kw_only=True):
    """The worker processes that decode, parse, hash and verify."""

    workers: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        meaning("Worker processes. When absent: one for each core this process may use."),
    ] = None
    page_timeout: Annotated[
        Time, meaning("Longest time for one page; then its worker is killed and the page fails.")
    ] = 10.0
    batch_pages: Annotated[int, Meta(ge=1, le=10_000), meaning("Most pages sent to a worker at once.")] = 64
    batch_bytes: Annotated[Size, meaning("Most bytes sent to a worker at once; one larger page goes alone.")] = (
        2 * 1024**2
    )
    queue_bytes: Annotated[Size, meaning("Bodies that wait for a worker, in all; when full, fetching pauses.")] = (
        32 * 1024**2
    )
    worker_memory: Annotated[
        Size, meaning("Most memory of one worker; above it the worker is killed and the page fails.")
    ] = 2 * 1024**3
    nice: Annotated[
        int,
        Meta(ge=0, le=19),
        meaning("Niceness of the workers, 0 to 19, so that parsing does not hold up the network."),
    ] = 2


class Parse(Section, frozen=True, kw_only=True):
    """What is taken from a page."""

    max_body_bytes: Annotated[Size, meaning("Longest body after decompression; the rest is cut off and flagged.")] = (
        16 * 1024**2
    )
    max_links: Annotated[Natural, meaning("Most links taken from one page.")] = 10_000
    max_text_chars: Annotated[Natural, meaning("Longest visible text of one page, in characters.")] = 2_000_000
    outlinks: Annotated[
        Literal["anchors", "pages", "all"],
        meaning(
            'Links kept in the record: "anchors" (a, area), "pages" (also frames, refresh, canonical), '
            '"all" (also images, scripts, styles, media).'
        ),
    ] = "pages"
    follow: Annotated[
        Literal["anchors", "pages", "all"], meaning("Links to crawl: the same words, at most what outlinks has.")
    ] = "pages"
    nofollow: Annotated[Switch, meaning("Honour rel=nofollow and meta robots nofollow.")] = False
    stages: Annotated[
        tuple[StageName, ...], meaning('Your own stages, run after verify: "package.module:function".')
    ] = ()

    def findings(self) -> Iterator[Finding]:
        """Yield a `follow` that asks for links which `outlinks` leaves out."""
        order = ("anchors", "pages", "all")
        if order.index(self.follow) > order.index(self.outlinks):
            yield Finding(
                ("follow",),
                f'expected at most what parse.outlinks keeps ("{self.outlinks}")',
                f'set outlinks = "{self.follow}", or follow = "{self.outlinks}"',
                f'"{self.follow}"',
                (("outlinks",),),
            )


class Output(Section, frozen=True, kw_only=True):
    """What is written, and how safely."""

    compress: Annotated[Literal["none", "zstd"], meaning('"zstd" writes pages.jsonl.zst.')] = "none"
    bodies: Annotated[Switch, meaning("Also store each body, decoded, under its SHA-256.")] = False
    headers: Annotated[tuple[RecordedHeader, ...], meaning("Response headers to put into the record.")] = (
        "last-modified",
        "etag",
    )
    fields: Annotated[
        tuple[RecordedField, ...],
        meaning("Keys of the record to write beside schema, url, status and duplicate_of; empty for all."),
    ] = ()
    durability: Annotated[
        Literal["full", "fast"],
        meaning('"full" commits every commit_interval; "fast" once a second, and does not sync bodies.'),
    ] = "full"
    commit_interval: Annotated[Time, meaning("Longest time between two commits while pages come in.")] = 0.2


class Report(Section, frozen=True, kw_only=True):
    """What a person sees while it runs."""

    interval: Annotated[Time, meaning("Time between two progress lines when the output is not a terminal.")] = 10.0
