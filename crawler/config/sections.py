"""The sections of the config: every key with its kind, default, meaning and the rules that tie it to its neighbours.

The descriptions are the one source of the tables in docs/configuration.md and of the JSON Schema; a test holds
sample_config.toml to the keys and defaults.
"""

from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

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
from crawler.config.parsed import Finding, refuse_all, refuse_file, source_of
from crawler.config.section import Section
from crawler.config.seeds import read_seeds
from crawler.config.web import (
    Cidr,
    Domain,
    HeaderName,
    Host,
    OriginUrl,
    Proxy,
    RecordedHeader,
    Seed,
    StageName,
    is_secret_name,
    is_token,
)


def default_user_agent() -> str:
    """Return the User-Agent that says who crawls and where to read about it (RFC 9110 10.1.5)."""
    try:
        version = metadata.version("crawlmill")
    except metadata.PackageNotFoundError:  # run from a source tree
        version = "0"
    return f"crawlmill/{version} (+https://pypi.org/project/crawlmill/)"


class Job(Section):
    """What to crawl, where to, and when to stop."""

    seeds: tuple[Seed, ...] = Field(default=(), description="URLs to start from. Required unless seeds_file is given.")
    seeds_file: FilePath | None = Field(
        default=None,
        description="File with further seeds, one URL a line; empty lines and lines that start with # are skipped.",
    )
    out: FilePath = Field(
        default=Path("out"),
        validate_default=True,
        description="Folder for records and state, seen from this file. The same folder resumes the same crawl.",
    )
    max_pages: Count | None = Field(default=None, description="Stop after this many records, in all runs together.")
    max_time: Time | None = Field(default=None, description="Stop after this time, each run for itself.")
    max_bytes: Size | None = Field(
        default=None, description="Stop after this many bytes off the wire, in all runs together."
    )
    max_failed_ratio: Ratio = Field(
        default=0.5, description="Exit with code 3 when more than this share of the tried pages failed; 0 to 1."
    )

    @model_validator(mode="after")
    def _collect_seeds(self, info: ValidationInfo) -> Self:
        seeds = list(self.seeds)
        if self.seeds_file:
            more, problems = read_seeds(self.seeds_file, source_of(info))
            if problems:
                raise refuse_file("seeds_file", problems)
            seeds += more
        if not seeds:
            remedy = 'write seeds = ["https://example.org/"]'
            raise refuse_all([Finding(("seeds",), "expected at least one URL", remedy, others=(("seeds_file",),))])
        self.__dict__["seeds"] = tuple(dict.fromkeys(seeds))  # frozen for everybody else
        return self


class Scope(Section):
    """Which URLs belong to the crawl."""

    hosts: tuple[Host, ...] = Field(
        default=(),
        description="Hosts to crawl, without scheme and port; the hosts of the seeds when domains is empty too. "
        '"*" is every host.',
    )
    domains: tuple[Domain, ...] = Field(
        default=(), description="Domains to crawl with every host below them; public suffixes are refused."
    )
    allow: tuple[Regex, ...] = Field(
        default=(),
        description="Regular expressions searched in path?query; when there are any, a URL needs one that matches.",
    )
    deny: tuple[Regex, ...] = Field(
        default=(), description="Regular expressions searched in path?query; a URL that matches one is left out."
    )
    max_depth: Natural | None = Field(default=None, description="Links to follow from a seed; 0 is the seeds alone.")
    max_url_length: Count = Field(default=8000, description="Longest URL, in characters.")
    max_query_length: Natural = Field(default=2000, description="Longest query, in characters after the question mark.")
    max_pages_per_host: Count | None = Field(default=None, description="Pages of one host.")
    max_repeated_segments: Count = Field(
        default=3, description="How often one path segment may occur in a URL; more is taken for a trap."
    )
    max_segments: Count = Field(default=50, description="How many segments a path may have; more is taken for a trap.")


class Url(Section):
    """Which URLs are the same page, beyond the WHATWG standard."""

    drop_query_keys: tuple[Line, ...] = Field(default=(), description='Query keys to remove, as globs: "utm_*".')
    sort_query: Switch = Field(
        default=False, description="Sort the query by key: right only for sites that do not mind."
    )


class Priority(Section):
    """What comes first. Otherwise: by depth, then in order of discovery."""

    raise_: tuple[Regex, ...] = Field(
        default=(),
        alias="raise",
        description="Regular expressions searched in path?query; each that matches moves a URL forward by one depth.",
    )
    lower: tuple[Regex, ...] = Field(
        default=(),
        description="Regular expressions searched in path?query; each that matches moves a URL back by one depth.",
    )


class Fetch(Section):
    """How pages are fetched."""

    concurrency: Annotated[Count, Field(le=10_000)] = Field(
        default=64, description="Fetches at a time, over all hosts."
    )
    user_agent: Line = Field(
        default_factory=default_user_agent,
        description="User-Agent header and name for robots.txt. Say who you are and where to read about it.",
    )
    headers: Mapping[HeaderName, Text] = Field(
        default={}, description="Headers sent to every origin. Credentials are refused here: see [[origin]]."
    )
    connect_timeout: Time = Field(default=10.0, description="Longest wait for a connection, TLS included.")
    read_timeout: Time = Field(default=30.0, description="Longest wait between two pieces of a response.")
    total_timeout: Time = Field(default=120.0, description="Longest time of one fetch, from request to last byte.")
    min_rate: SizeOrZero = Field(default=100, description="Slowest body, in bytes per second; 0 switches the rule off.")
    min_rate_after: TimeOrZero = Field(default=10.0, description="Time a body has before min_rate is asked of it.")
    max_wire_bytes: Size = Field(
        default=16 * 1024**2, description="Longest body as sent, before decompression; the rest is cut off and flagged."
    )
    retries: Annotated[Natural, Field(le=100)] = Field(
        default=3, description="Further attempts after a failure that may heal."
    )
    retry_delay: TimeOrZero = Field(
        default=1.0, description="Wait before the first retry; doubles with each, with jitter."
    )
    retry_delay_max: Time = Field(default=300.0, description="Longest wait before a retry.")
    keepalive: TimeOrZero = Field(default=30.0, description="How long an idle connection is kept.")
    dns_cache: TimeOrZero = Field(default=300.0, description="How long a resolved name is remembered.")
    allow_addresses: tuple[Cidr, ...] = Field(
        default=(),
        description="Networks that may be reached although they are not globally routable (private, loopback).",
    )
    proxy: Proxy | None = Field(
        default=None,
        description="HTTP proxy for all requests; a password in it comes from ${VARIABLE}, or the whole from a file.",
    )
    verify_tls: Switch = Field(default=True, description="Verify certificates.")
    uvloop: Switch = Field(default=True, description="Use uvloop where it is installed.")

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


class Origin(Section):
    """Headers, cookies and credentials for one origin; they are never sent to another, not even after a redirect."""

    url: OriginUrl = Field(description="Scheme, host and port these belong to.")
    headers: Mapping[HeaderName, Secret] = Field(
        default={}, description="Headers for this origin; credentials as ${VARIABLE} or file."
    )
    cookies: Mapping[Text, Secret] = Field(
        default={}, description="Cookies for this origin, each as ${VARIABLE} or file."
    )
    basic_auth: Secret | None = Field(
        default=None, description='"user:password" for this origin, the password as ${VARIABLE} or all in a file.'
    )

    def findings(self) -> Iterator[Finding]:
        """Yield a basic_auth that names no user, and cookie names that would break the header."""
        if self.basic_auth and ":" not in self.basic_auth.get_secret_value():
            yield Finding(("basic_auth",), 'expected "user:password"')
        for name in self.cookies:
            if not is_token(name):
                yield Finding(
                    ("cookies", name), "expected a cookie name: letters, digits and hyphens"
                )  # RFC 6265 4.1.1


class Politeness(Section):
    """What a server is spared."""

    per_host: Annotated[Count, Field(le=1000)] = Field(default=2, description="Fetches at a time from one host.")
    delay: TimeOrZero = Field(default=0.5, description="Least time between the starts of two fetches from one host.")
    robots: Switch = Field(default=True, description="Keep to robots.txt (RFC 9309).")
    robots_max_age: Time = Field(
        default=86400.0, description="How long a robots.txt is used before it is fetched again."
    )
    crawl_delay_max: TimeOrZero = Field(
        default=60.0, description="Longest Crawl-delay that is kept; a longer one is cut to this."
    )
    retry_after_max: TimeOrZero = Field(
        default=3600.0, description="Longest Retry-After that is kept; a longer one is cut to this."
    )
    backoff_max: Time = Field(default=600.0, description="Longest pause for a host that keeps failing.")


class Cpu(Section):
    """The worker processes that decode, parse, hash and verify."""

    workers: Annotated[Count, Field(le=1024)] | None = Field(
        default=None, description="Worker processes. When absent: one for each core this process may use."
    )
    page_timeout: Time = Field(
        default=10.0, description="Longest time for one page; then its worker is killed and the page fails."
    )
    batch_pages: Annotated[Count, Field(le=10_000)] = Field(
        default=64, description="Most pages sent to a worker at once."
    )
    batch_bytes: Size = Field(
        default=2 * 1024**2, description="Most bytes sent to a worker at once; one larger page goes alone."
    )
    queue_bytes: Size = Field(
        default=32 * 1024**2, description="Bodies that wait for a worker, in all; when full, fetching pauses."
    )
    nice: Annotated[Natural, Field(le=19)] = Field(
        default=2, description="Niceness of the workers, 0 to 19, so that parsing does not hold up the network."
    )


class Parse(Section):
    """What is taken from a page."""

    max_body_bytes: Size = Field(
        default=16 * 1024**2, description="Longest body after decompression; the rest is cut off and flagged."
    )
    max_links: Natural = Field(default=10_000, description="Most links taken from one page.")
    max_text_chars: Natural = Field(default=2_000_000, description="Longest visible text of one page, in characters.")
    outlinks: Literal["anchors", "pages", "all"] = Field(
        default="pages",
        description='Links kept in the record: "anchors" (a, area), "pages" (also frames, refresh, canonical), '
        '"all" (also images, scripts, styles, media).',
    )
    follow: Literal["anchors", "pages", "all"] = Field(
        default="pages", description="Links to crawl: the same words, at most what outlinks has."
    )
    nofollow: Switch = Field(default=False, description="Honour rel=nofollow and meta robots nofollow.")
    stages: tuple[StageName, ...] = Field(
        default=(), description='Your own stages, run after verify: "package.module:function".'
    )

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


class Output(Section):
    """What is written, and how safely."""

    compress: Literal["none", "zstd"] = Field(default="none", description='"zstd" writes pages.jsonl.zst.')
    bodies: Switch = Field(default=False, description="Also store each body, decoded, under its SHA-256.")
    headers: tuple[RecordedHeader, ...] = Field(
        default=("last-modified", "etag"), description="Response headers to put into the record."
    )
    durability: Literal["full", "fast"] = Field(
        default="full",
        description='"full" commits every commit_interval; "fast" once a second, and does not sync bodies.',
    )
    commit_interval: Time = Field(default=0.2, description="Longest time between two commits while pages come in.")


class Report(Section):
    """What a person sees while it runs."""

    interval: Time = Field(
        default=10.0, description="Time between two progress lines when the output is not a terminal."
    )
