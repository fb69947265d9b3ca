"""The configuration as a value: frozen, every default visible, unknown keys refused.

`Config(job={"seeds": ["https://example.org/"]})` builds one in Python, where times may be plain seconds and sizes
plain bytes; `crawler.config.load` builds one from a file. Either way values that break a rule raise one `ConfigError`
with all of them.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import field
from msgspec.structs import force_setattr, replace

from crawler.config.downloads import Download, Downloads
from crawler.config.parsed import Finding, Source
from crawler.config.resume import SECTIONS, digest, scope_dump
from crawler.config.section import Section, assemble
from crawler.config.sections import Cpu, Fetch, Job, Origin, Output, Parse, Politeness, Priority, Report, Scope, Url
from crawler.config.tree import dump
from crawler.config.units import format_size, format_time
from pipelines.url import host_of

_LIMITS = (
    ("fetch", "connect_timeout", "total_timeout"),
    ("fetch", "read_timeout", "total_timeout"),
    ("fetch", "min_rate_after", "total_timeout"),
    ("fetch", "retry_delay", "retry_delay_max"),
    ("cpu", "batch_bytes", "queue_bytes"),
)
"""What a person set and a stronger limit makes void: harmless, but not what was meant."""


def _absent(section: type[Section]) -> Any:
    """Return the field of a table that may be left out; its defaults need no validation."""
    return field(default_factory=partial(assemble, section, {}))


class Config(Section, frozen=True, kw_only=True):
    """Everything a crawl can be told. Immutable; safe to print, because secrets show as asterisks."""

    job: Job
    scope: Scope = _absent(Scope)
    url: Url = _absent(Url)
    priority: Priority = _absent(Priority)
    fetch: Fetch = _absent(Fetch)
    origin: tuple[Origin, ...] = ()
    politeness: Politeness = _absent(Politeness)
    cpu: Cpu = _absent(Cpu)
    parse: Parse = _absent(Parse)
    downloads: Downloads = _absent(Downloads)
    download: tuple[Download, ...] = ()
    output: Output = _absent(Output)
    report: Report = _absent(Report)

    _warnings: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:  # tables and sections alike: Config(job={"seeds": [...]}, cpu=Cpu(workers=2))

        def __init__(self, **sections: Any) -> None: ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but looks wrong; for the person at the terminal."""
        return self._warnings

    @property
    def has_files(self) -> bool:
        """Whether anything can be a file to this crawl."""
        return bool(self.download or self.downloads.patterns or self.downloads.content_types)

    def redacted(self) -> dict[str, Any]:
        """Return the config in the form of the file, for logs and `summary.json`: units written out, secrets hidden."""
        return dump(self)

    def scope_dump(self) -> dict[str, Any]:
        """Return what decides which URLs belong to the crawl, as the file has it: stored, and compared on resume."""
        return scope_dump({name: dump(getattr(self, name)) for name in SECTIONS})  # all of it takes 4 ms at start

    def scope_digest(self) -> str:
        """Return the SHA-256 of `scope_dump()`, in hex."""
        return digest(self.scope_dump())

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong between keys of different sections."""
        if self.fetch.max_wire_bytes > self.cpu.queue_bytes:
            yield Finding(
                ("fetch", "max_wire_bytes"),
                f"expected at most cpu.queue_bytes ({format_size(self.cpu.queue_bytes)}), too small for the page",
                remedy="raise cpu.queue_bytes",
                value=format_size(self.fetch.max_wire_bytes),
                others=(("cpu", "queue_bytes"),),
            )
        if not self.job.seeds and not self.download:
            remedy = 'write seeds = ["https://example.org/"]'
            others = (("job", "seeds_file"), ("download",))
            yield Finding(("job", "seeds"), "expected at least one URL", remedy, others=others)
        elif self.job.seeds and not any(self._is_in_scope(seed) for seed in self.job.seeds):
            yield Finding(
                ("scope", "hosts" if self.scope.hosts else "domains"),
                f"expected the host of at least one seed ({host_of(self.job.seeds[0])})",
                others=(("job",), ("scope",)),
            )
        seen: set[str] = set()
        for index, origin in enumerate(self.origin):
            if origin.url in seen:
                yield Finding(
                    ("origin", index, "url"), f"expected one [[origin]] for {origin.url}, found another", "merge them"
                )
            seen.add(origin.url)
        yield from self._clashes()

    def _clashes(self) -> Iterator[Finding]:
        """Yield files that are listed twice, or would get the same name."""
        for key in ("url", "path"):
            seen: set[str] = set()
            for index, file in enumerate(self.download):
                value = getattr(file, key)
                if value in seen:
                    rule = f"expected one [[download]] with {key} {value}, found another"
                    yield Finding(("download", index, key), rule, "merge them" if key == "url" else "rename one")
                seen |= {value} - {None}

    def complete(self, source: Source) -> Iterator[Finding]:
        """Take the scope from the seeds where none is given, and note what looks wrong."""
        yield from ()
        if not self.scope.hosts and not self.scope.domains:
            hosts = tuple(dict.fromkeys(map(host_of, self.job.seeds)))
            force_setattr(self, "scope", replace(self.scope, hosts=hosts))  # frozen for everybody else
        force_setattr(self, "_warnings", (*source.warnings, *self._doubts()))

    def _is_in_scope(self, url: str) -> bool:
        host = host_of(url)
        hosts, domains = self.scope.hosts, self.scope.domains
        if (not hosts and not domains) or "*" in hosts or host in hosts:
            return True
        return any(host == domain or host.endswith(f".{domain}") for domain in domains)

    def _doubts(self) -> Iterator[str]:
        outside = [seed for seed in self.job.seeds if not self._is_in_scope(seed)]
        if outside:
            yield f"job.seeds: {len(outside)} outside scope.hosts and scope.domains, the first is {outside[0]}"
        for section, key, other in _LIMITS:
            table = getattr(self, section)
            if key in table.given and getattr(table, key) > getattr(table, other):
                yield f"{section}.{key}: never comes into play, because it is above {section}.{other}"
        if self.job.max_time is not None and self.politeness.delay >= self.job.max_time:
            delay, most = format_time(self.politeness.delay), format_time(self.job.max_time)
            yield f"politeness.delay: {delay} leaves time for one page of a host within job.max_time ({most})"
        if not self.fetch.verify_tls:
            yield "fetch.verify_tls: certificates are not verified" + (
                ", credentials may reach anybody" if self.origin else ""
            )
        for origin in self.origin:
            if origin.url.startswith("http://") and not host_of(origin.url).startswith(("127.", "localhost", "[::1]")):
                yield f"origin: credentials for {origin.url} travel unencrypted"
