"""Every key of the configuration arrives where it works: a key that is read and then dropped is a promise broken.

One crawl is run with a value of its own for each key, against a proxy that nobody listens at, and the doors of the
rooms note what they are given. They are watched, not replaced: what is proven is the way from the file to the room,
and what the room does with it is proven by the room's own tests.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Config, Crawl
from crawler.config import loads
from crawler.config.reference import sections
from crawler.config.tree import Key, keys
from crawler.download.downloader import Downloader
from crawler.engine import assemble, bodies, build, loop, open_files, robots, workers
from crawler.engine import crawl as running
from crawler.fetch.options import FetchOptions, OriginSecrets
from crawler.frontier.politeness import Politeness
from crawler.frontier.scope import ScopeRules
from crawler.store.store import Store, StoreOptions
from pipelines.batcher import LossCause, Lost
from pipelines.page import Page
from pipelines.pool.pool import WorkerPool
from pipelines.spec import PipelineSpec
from pipelines.stages.options import StageOptions

TESTS = Path(__file__).parents[1]
KEYS = {key.dotted: key for name, model in sections() for key in keys(model, name)}

EVERYTHING = """
[job]
seeds = ["http://one.test/?z=1&utm_source=x&a=2"]
seeds_file = "seeds.txt"
out = "results"
max_pages = 1001
max_time = "55s"
max_bytes = "1GiB"
max_failed_ratio = 0.25
[scope]
hosts = ["one.test", "two.test"]
domains = ["example.org"]
allow = ['^/']
deny = ['never']
max_depth = 7
max_url_length = 901
max_query_length = 801
max_pages_per_host = 701
max_repeated_segments = 5
max_segments = 41
[url]
drop_query_keys = ["utm_*"]
sort_query = true
[priority]
raise = ['first']
lower = ['last']
[fetch]
concurrency = 9
user_agent = "EveryBot/2 (+https://example.org/bot)"
headers = { X-Team = "blue" }
connect_timeout = "1100ms"
read_timeout = "1200ms"
total_timeout = "1300ms"
min_rate = "50B"
min_rate_after = "1s"
max_wire_bytes = "1MiB"
retries = 1
retry_delay = "11ms"
retry_delay_max = "17ms"
keepalive = "4s"
dns_cache = "6s"
allow_addresses = ["10.0.0.0/8"]
proxy = "http://me:${EVERY_PASSWORD}@127.0.0.1:9"
verify_tls = false
uvloop = false
[[origin]]
url = "http://one.test"
headers = { X-Api-Key = "${EVERY_KEY}" }
cookies = { session = "${EVERY_SESSION}" }
basic_auth = "me:${EVERY_PASSWORD}"
[politeness]
per_host = 3
delay = "1ms"
robots = false
robots_max_age = "1h"
crawl_delay_max = "7s"
retry_after_max = "23ms"
backoff_max = "29ms"
[cpu]
workers = 1
page_timeout = "4s"
batch_pages = 5
batch_bytes = "100kB"
queue_bytes = "2MiB"
worker_memory = "1GiB"
nice = 4
[parse]
max_body_bytes = "3MiB"
max_links = 77
max_text_chars = 99
outlinks = "all"
follow = "anchors"
nofollow = true
stages = ["tests.support.hostile_stages:throw"]
[downloads]
patterns = ["*.zip"]
content_types = ["application/pdf"]
folder = "elsewhere"
concurrency = 3
segments = 2
processes = 1
stall_timeout = "7s"
max_bytes = "2GiB"
require_digest = true
page_digests = false
digests = ["sha512"]
limit_rate = "1MiB"
[[download]]
url = "http://files.test/stars.csv.gz?z=1&a=2"
path = "data/stars.gz"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
digests = ["md5:098f6bcd4621d373cade4e832627b4f6"]
size = "12345B"
mirrors = ["http://mirror.test/stars.csv.gz"]
[output]
compress = "zstd"
bodies = true
headers = ["server"]
fields = ["title"]
durability = "fast"
commit_interval = "1500ms"
[report]
interval = "3s"
"""

SECRETS = {"EVERY_PASSWORD": "pass", "EVERY_KEY": "key", "EVERY_SESSION": "cookie"}


class Doors:
    """Remembers what the doors of rooms were given and what they gave back, in order, by the name of the door."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.given: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.gave: defaultdict[str, list[Any]] = defaultdict(list)

    def watch(self, owner: Any, name: str) -> None:
        """Note the calls of `owner.name`: a class or function as a module knows it, or a method of a class."""
        real = getattr(owner, name)
        signature = inspect.signature(real)
        is_bound = inspect.ismethod(real)  # a classmethod, which knows its class already

        @functools.wraps(real, updated=())
        def door(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self.given[f"{owner.__name__}.{name}"].append(dict(bound.arguments))
            made = real(*args, **kwargs)
            self.gave[f"{owner.__name__}.{name}"].append(made)
            return made

        self._patch.setattr(owner, name, staticmethod(door) if is_bound else door)


class Arrived:
    """What one crawl gave to each room."""

    def __init__(self, doors: Doors, config: Config) -> None:
        def given(owner: Any, name: str) -> dict[str, Any]:
            return doors.given[f"{owner.__name__}.{name}"][0]

        def gave(owner: Any, name: str) -> Any:
            return doors.gave[f"{owner.__name__}.{name}"][0]

        self.config = config
        self.lock = given(running, "JobLock")
        self.store_folder: Path = given(Store, "open")["directory"]
        self.store: StoreOptions = given(Store, "open")["options"]
        self.pool = given(workers, "WorkerPool")
        self.executor = given(WorkerPool, "executor")
        self.engine = gave(build, "Engine")
        self.scope: ScopeRules = given(build, "Engine")["parts"].scope.rules
        self.seeds = [row[1] for row in given(build, "Seeds")["links"]]
        self.fetch: FetchOptions = given(build, "Fetcher")["options"]
        self.is_file_type: Callable[[str], bool] = given(build, "Fetcher")["is_file"]
        self.frontier = given(build, "Frontier")
        self.politeness: Politeness = given(build, "HostClock")["rules"]
        self.held = given(build, "Held")
        self.batcher = given(build, "Batcher")
        self.spec: PipelineSpec = pickle.loads(self.batcher["submit"].args[0])
        self.stages: StageOptions = self.spec.options
        self.page_retry = given(loop, "decide")
        self.robots_retry = given(robots, "decide")
        self.bodies = given(bodies, "BodyStore")
        self.quarantine = given(assemble, "Quarantine")
        self.case = self.quarantine["make"](Page(1, "http://one.test/", 200, (), b"", ""), Lost(LossCause.CRASH, ""))
        self.downloader_folder: Path = given(open_files, "Downloader")["root"]
        self.downloads = given(open_files, "Downloader")["options"]
        self.gate = given(open_files, "FrontierGate")
        self.desk = gave(open_files, "FileDesk")
        self.file_parts = given(open_files, "FileDesk")["parts"]
        self.wanted = given(Downloader, "fetch")["wanted"]

    @property
    def origin(self) -> OriginSecrets:
        """The one origin that has secrets."""
        (origin,) = self.fetch.origins
        return origin


WATCHED = [
    (running, "JobLock"), (Store, "open"), (workers, "WorkerPool"), (WorkerPool, "executor"), (build, "Engine"),
    (build, "Seeds"), (build, "Fetcher"), (build, "Frontier"), (build, "HostClock"), (build, "Held"),
    (build, "Batcher"), (loop, "decide"), (robots, "decide"), (bodies, "BodyStore"), (assemble, "Quarantine"),
    (open_files, "Downloader"), (open_files, "FrontierGate"), (open_files, "FileDesk"), (Downloader, "fetch"),
]  # fmt: skip


async def _crawl(config: Config) -> None:
    async with asyncio.timeout(30), Crawl(config) as crawl:
        await crawl.run()


def configured(folder: Path, text: str = EVERYTHING) -> Config:
    (folder / "seeds.txt").write_text("http://two.test/\n")
    return loads(text, base=folder)


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arrived]:
    """What the rooms were given: of the crawl with everything, and of one that asks for robots.txt too."""
    folder = tmp_path_factory.mktemp("everything")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        config = configured(folder)
        with_robots = configured(folder, EVERYTHING.replace("robots = false", "").replace("results", "with-robots"))
        doors = Doors(patch)
        for owner, name in WATCHED:
            doors.watch(owner, name)
        asyncio.run(_crawl(config))
        asyncio.run(_crawl(with_robots))
        yield Arrived(doors, config)


# -- where each key has to arrive

Found = tuple[object, ...]
Where = Callable[[Arrived], Found]

PLACES: dict[str, Where] = {
    "job.out": lambda a: (a.lock["directory"], a.store_folder, a.bodies["directory"].parent),
    "scope.hosts": lambda a: (tuple(sorted(a.scope.hosts)),),
    "scope.domains": lambda a: (tuple(a.scope.domains),),
    "scope.allow": lambda a: (a.scope.allow, a.case.rules.allow),
    "scope.deny": lambda a: (a.scope.deny,),
    "scope.max_depth": lambda a: (a.store.max_depth,),
    "scope.max_url_length": lambda a: (a.scope.max_url_length,),
    "scope.max_query_length": lambda a: (a.scope.max_query_length,),
    "scope.max_pages_per_host": lambda a: (a.store.host_budget,),
    "scope.max_repeated_segments": lambda a: (a.scope.max_repeated_segments,),
    "scope.max_segments": lambda a: (a.scope.max_segments,),
    "url.drop_query_keys": lambda a: (a.stages.drop_query_keys,),
    "url.sort_query": lambda a: (a.stages.sort_query,),
    "priority.raise": lambda a: (a.scope.raise_,),
    "priority.lower": lambda a: (a.scope.lower,),
    "fetch.concurrency": lambda a: (a.fetch.concurrency, a.engine._slots._value),
    "fetch.user_agent": lambda a: (a.fetch.user_agent,),
    "fetch.headers": lambda a: (dict(a.fetch.headers),),
    "fetch.connect_timeout": lambda a: (a.fetch.connect_timeout,),
    "fetch.read_timeout": lambda a: (a.fetch.read_timeout,),
    "fetch.total_timeout": lambda a: (a.fetch.total_timeout,),
    "fetch.min_rate": lambda a: (a.fetch.min_rate,),
    "fetch.min_rate_after": lambda a: (a.fetch.min_rate_after,),
    "fetch.max_wire_bytes": lambda a: (a.fetch.max_wire_bytes,),
    "fetch.retries": lambda a: (a.page_retry["retries"], a.robots_retry["retries"], a.downloads.retries),
    "fetch.retry_delay": lambda a: (
        a.page_retry["base"], a.robots_retry["base"], a.politeness.backoff, a.downloads.retry_delay
    ),
    "fetch.retry_delay_max": lambda a: (
        a.page_retry["maximum"], a.robots_retry["maximum"], a.downloads.retry_delay_max
    ),
    "fetch.keepalive": lambda a: (a.fetch.keepalive,),
    "fetch.dns_cache": lambda a: (a.fetch.dns_cache,),
    "fetch.allow_addresses": lambda a: (a.fetch.allow_addresses,),
    "fetch.verify_tls": lambda a: (a.fetch.verify_tls,),
    "fetch.uvloop": lambda a: (a.downloads.uvloop,),  # and at the command's own loop, as test_cli.py proves
    "origin.url": lambda a: (a.origin.origin,),
    "politeness.per_host": lambda a: (a.politeness.per_host, a.downloads.per_host),
    "politeness.delay": lambda a: (a.politeness.delay,),
    "politeness.robots": lambda a: (a.frontier["use_robots"],),
    "politeness.retry_after_max": lambda a: (
        a.page_retry["retry_after_max"],
        a.robots_retry["retry_after_max"],
        a.gate["retry_after_max"],
        a.downloads.retry_after_max,
    ),
    "politeness.backoff_max": lambda a: (a.politeness.backoff_max,),
    "cpu.workers": lambda a: (a.pool["workers"],),
    "cpu.page_timeout": lambda a: (a.executor["deadline"], a.case.page_timeout),
    "cpu.batch_pages": lambda a: (a.batcher["max_pages"],),
    "cpu.batch_bytes": lambda a: (a.batcher["max_bytes"],),
    "cpu.queue_bytes": lambda a: (a.held["limit"],),
    "cpu.worker_memory": lambda a: (a.pool["memory_limit"], 2 * a.pool["recycle_above"], a.case.memory),
    "cpu.nice": lambda a: (a.pool["nice"],),
    "parse.max_body_bytes": lambda a: (a.stages.max_body_bytes,),
    "parse.max_links": lambda a: (a.stages.max_links,),
    "parse.max_text_chars": lambda a: (a.stages.max_text_chars,),
    "parse.outlinks": lambda a: (a.stages.outlinks,),
    "parse.follow": lambda a: (a.stages.follow,),
    "parse.nofollow": lambda a: (not a.stages.follow_nofollow,),
    "parse.stages": lambda a: (a.stages.stages, a.case.options.stages, a.pool["initializer"].args[0]),
    "downloads.folder": lambda a: (a.downloader_folder,),
    "downloads.concurrency": lambda a: (a.downloads.files, a.desk._places.count),
    "downloads.segments": lambda a: (a.downloads.segments,),
    "downloads.processes": lambda a: (a.downloads.processes,),
    "downloads.stall_timeout": lambda a: (a.downloads.stall_timeout,),
    "downloads.max_bytes": lambda a: (a.downloads.max_bytes,),
    "downloads.require_digest": lambda a: (a.downloads.require_digest,),
    "downloads.page_digests": lambda a: (a.spec.claims is not None,),
    "downloads.digests": lambda a: (a.downloads.algorithms,),
    "downloads.limit_rate": lambda a: (a.downloads.rate_limit,),
    "download.path": lambda a: (a.wanted.path,),
    "download.size": lambda a: (a.wanted.size,),
    "download.mirrors": lambda a: (a.wanted.mirrors,),
    "output.bodies": lambda a: (a.stages.store_body,),
    "output.headers": lambda a: (a.stages.record_headers,),
    "output.fields": lambda a: (a.stages.fields,),
    "output.commit_interval": lambda a: (a.store.commit_interval,),
}  # fmt: skip
"""Keys that arrive as the value they have."""

FORMS: dict[str, tuple[Where, object]] = {
    "job.seeds": (lambda a: (a.seeds[0],), "http://one.test/?a=2&z=1"),  # by the rules of [url]
    "job.seeds_file": (lambda a: (a.seeds[1],), "http://two.test/"),
    "fetch.proxy": (lambda a: (a.fetch.proxy,), "http://me:pass@127.0.0.1:9/"),
    "origin.headers": (lambda a: (a.origin.headers,), (("X-Api-Key", "key"),)),
    "origin.cookies": (lambda a: (a.origin.cookies,), (("session", "cookie"),)),
    "origin.basic_auth": (lambda a: (a.origin.basic_auth,), ("me", "pass")),
    "downloads.patterns": (
        lambda a: (a.file_parts.files.is_file("http://one.test/a.zip") > a.file_parts.files.is_file("http://one.test/"),),
        True,
    ),
    "downloads.content_types": (lambda a: (a.is_file_type("application/pdf") > a.is_file_type("image/png"),), True),
    "download.url": (
        lambda a: (a.seeds[2], a.wanted.url, *a.file_parts.listed), "http://files.test/stars.csv.gz?a=2&z=1"
    ),
    "download.sha256": (
        lambda a: (str(a.wanted.digests[0]),),
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    "download.digests": (lambda a: (str(a.wanted.digests[1]),), "md5:098f6bcd4621d373cade4e832627b4f6"),
    "output.compress": (lambda a: (a.store.zstd,), True),
    "output.durability": (
        lambda a: (a.bodies["durable"], a.quarantine["durable"], a.downloads.is_durable), False
    ),
}  # fmt: skip
"""Keys that arrive in another form."""

PROVEN: dict[str, str] = {
    "job.max_pages": "engine/test_limits.py::test_a_page_limit_is_exact_and_no_limit_when_nothing_is_left",
    "job.max_time": "engine/test_limits.py::test_a_time_limit_ends_the_run_in_time",
    "job.max_bytes": "engine/test_limits.py::test_a_byte_limit_ends_the_run",
    "job.max_failed_ratio": "engine/test_seen_by_servers.py::test_too_many_failures_are_no_success",
    "politeness.robots_max_age": "engine/test_robots.py::test_a_robots_txt_is_asked_for_anew_when_it_is_old",
    "politeness.crawl_delay_max": "engine/test_robots.py::test_a_crawl_delay_is_kept_up_to_its_limit",
    "report.interval": "test_cli.py::test_progress_goes_to_stderr_and_the_result_to_stdout",
}
"""Keys that the engine and the command read themselves, and the tests of what they do with them."""


def value_of(config: Config, key: Key) -> Any:
    section = getattr(config, key.section)
    return getattr(section[0] if isinstance(section, tuple) else section, key.field.attribute)


@pytest.mark.parametrize("name", KEYS)
def test_every_key_arrives(name: str, arrived: Arrived) -> None:
    if name in PROVEN:
        path, _, test = PROVEN[name].partition("::")
        assert f"def {test}(" in (TESTS / path).read_text("utf-8")
        return
    assert (name in PLACES) + (name in FORMS) == 1, "say where this key arrives"
    if name in FORMS:
        where, wanted = FORMS[name]
    else:
        where, wanted = PLACES[name], value_of(arrived.config, KEYS[name])
    found = where(arrived)
    assert found == (wanted,) * len(found)


@pytest.mark.parametrize("name", KEYS)
def test_every_key_has_a_value_that_is_not_its_default(name: str, arrived: Arrived) -> None:
    """Else it would arrive without having been on the way."""
    key = KEYS[name]
    assert key.field.is_required() or value_of(arrived.config, key) != key.field.default()


def test_nothing_is_listed_that_is_no_key() -> None:
    assert {*PLACES, *FORMS, *PROVEN} == set(KEYS)


def test_a_download_fetches_as_pages_are_fetched(arrived: Arrived) -> None:
    assert arrived.downloads.fetch == arrived.fetch


def test_the_name_of_the_robot_arrives_as_robots_txt_knows_it(arrived: Arrived) -> None:
    assert arrived.stages.robots_agent == "everybot"


@pytest.mark.parametrize(
    ("durability", "interval", "seconds"),
    [("full", 0.05, 0.05), ("full", 3.0, 3.0), ("fast", 0.05, 1.0), ("fast", 3.0, 3.0)],
)
def test_fast_commits_once_a_second_and_full_as_configured(durability: str, interval: float, seconds: float) -> None:
    output = {"durability": durability, "commit_interval": interval}
    config = Config(job={"seeds": ["http://one.test/"]}, output=output)
    options = assemble.store_options(config, keep_lines=False)
    assert options.commit_interval == seconds
    assert options.durable, "a commit is synced either way: it must not speak of outputs that a power cut takes back"


@pytest.mark.parametrize("durability", ["full", "fast"])
def test_full_syncs_what_stands_beside_the_records_and_fast_does_not(durability: str, tmp_path: Path) -> None:
    job = {"seeds": ["http://one.test/"], "out": tmp_path}
    config = Config(job=job, output={"durability": durability, "bodies": True}, downloads={"patterns": ["*.zip"]})
    store = assemble.bodies(config)
    assert store is not None
    spec = assemble.pipeline_spec(config, assemble.scope(config), b"")
    kept = assemble.quarantine(config, spec, assemble.scope(config).rules)
    is_durable = open_files.download_options(config).is_durable
    assert (store._durable, kept._durable, is_durable) == (durability == "full",) * 3


def test_mirrors_of_a_crawl_are_for_failures() -> None:
    """Nobody asked for the robots.txt of their hosts: they get no requests that the place itself could answer."""
    assert not open_files.download_options(Config(job={"seeds": ["http://one.test/"]})).spread_mirrors


def test_page_digests_are_looked_for_and_their_lists_come_first() -> None:
    """On by default, where there can be files; without files nothing looks for them."""
    job = {"seeds": ["http://one.test/"]}
    for downloads, has_claims in ({"patterns": ["*.zip"]}, True), ({}, False):
        config = Config(job=job, downloads=downloads, priority={"raise": ["x"]})
        admit = assemble.scope(config)
        assert (assemble.pipeline_spec(config, admit, b"").claims is not None) == has_claims
        assert len(admit.rules.raise_) == 1 + has_claims
