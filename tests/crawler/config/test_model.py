"""The config as a value: built in Python, frozen, and compared before a crawl is resumed."""

import copy
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from crawler.config import Config, Cpu, Fetch, Parse, scope_changes
from crawler.errors import ConfigError

JOB = {"seeds": ["https://example.org/"]}


def test_tables_and_sections_mix_and_numbers_are_seconds_and_bytes() -> None:
    config = Config(
        job=JOB, fetch={"total_timeout": 60, "max_wire_bytes": "1MiB"}, cpu=Cpu(workers=2, queue_bytes=10**7)
    )
    assert config.fetch.total_timeout == 60.0
    assert config.fetch.max_wire_bytes == 1024**2
    assert config.cpu.workers == 2
    assert config.job.out == Path.cwd() / "out"


def test_a_wrong_value_in_python_is_the_same_error_without_a_file() -> None:
    with pytest.raises(ConfigError) as caught:
        Config(job={"seeds": ["x"]}, fetch={"timeout": 1, "read_timeout": math.nan, "min_rate": 1.5})
    assert [str(problem) for problem in caught.value.problems] == [
        'job.seeds[0]: expected an http or https URL, got "x"; did you mean "https://x"?',
        'fetch.read_timeout: expected a time above 0 with unit ("10s", "2m"), got nan',
        'fetch.min_rate: expected a size of 0 or more with unit ("500kB", "16MiB"), got 1.5',
        'fetch.timeout: unknown key; did you mean "fetch.total_timeout"?',
    ]


def test_a_section_alone_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r'^concurrncy: unknown key; did you mean "concurrency"'):
        Fetch(concurrncy=1)  # type: ignore[call-arg]  # the typing error is the point
    with pytest.raises(ConfigError, match=r"^follow: expected at most"):
        Parse(follow="all")


def test_the_error_does_not_carry_an_error_that_shows_an_input() -> None:
    with pytest.raises(ConfigError) as caught:
        Config(job=JOB, origin=[{"url": "x", "basic_auth": "hunter2"}], parse={"follow": "x"})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hunter2" not in str(caught.value)


def test_a_config_does_not_change() -> None:
    config = Config(job=JOB)
    with pytest.raises(AttributeError, match="immutable"):
        config.fetch = Fetch()  # type: ignore[misc]  # the typing error is the point
    with pytest.raises(AttributeError, match="immutable"):
        config.fetch.retries = 1  # type: ignore[misc]  # the same
    with pytest.raises(AttributeError, match="immutable"):
        del config.fetch
    assert isinstance(config.scope.hosts, tuple)


def test_two_configs_share_nothing_that_can_change() -> None:
    one, two = Config(job=JOB), Config(job=JOB)
    assert one.fetch.headers is not two.fetch.headers


def test_a_config_travels_and_comes_back() -> None:
    config = Config(
        job=JOB, scope={"max_depth": 3}, priority={"raise_": ["^/news/"]}, fetch={"allow_addresses": ["10.0.0.0/8"]}
    )
    assert pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config) == config
    assert copy.copy(config) == config
    assert Config(**asdict(config)) == config
    assert Config(**{name: asdict(section) for name, section in asdict(config).items() if section}) == config
    assert config.priority.raise_ == ("^/news/",)


def test_a_dump_can_be_read_again_as_a_file() -> None:
    """What `redacted` prints is the language of the file: units and names as a person writes them."""
    config = Config(job=JOB, priority={"raise": ["a"]}, fetch={"total_timeout": 90, "max_wire_bytes": 1500})
    dump = config.redacted()
    assert dump["fetch"]["total_timeout"] == "90s"
    assert dump["fetch"]["max_wire_bytes"] == "1500B"
    assert dump["priority"] == {"raise": ["a"], "lower": []}
    assert Config(**_without_none(dump)) == config


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(item) if isinstance(item, dict) else item for key, item in value.items() if item is not None
    }


@pytest.mark.parametrize(
    "change",
    [
        {"job": {"seeds": ["https://example.org/", "https://example.org/b"]}},
        {"scope": {"hosts": ["example.org", "b.org"]}},
        {"scope": {"max_depth": 1}},
        {"scope": {"deny": ["x"]}},
        {"url": {"drop_query_keys": ["utm_*"]}},
        {"parse": {"follow": "anchors"}},
        {"parse": {"nofollow": True}},
    ],
)
def test_what_decides_about_urls_changes_the_digest(change: dict[str, Any]) -> None:
    one, two = Config(job=JOB), Config(**({"job": JOB} | change))
    assert one.scope_digest() != two.scope_digest()
    assert len(scope_changes(one.scope_dump(), two.scope_dump())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"fetch": {"concurrency": 1}},
        {"job": JOB | {"max_pages": 5, "out": "elsewhere"}},
        {"politeness": {"delay": 9}},
        {"parse": {"max_links": 1}},
        {"scope": {"hosts": ["example.org"]}},  # said, or taken from the seeds: the same
        {"priority": {"raise": ["x"]}},
    ],
)
def test_what_decides_nothing_about_urls_may_change_between_runs(change: dict[str, Any]) -> None:
    assert Config(job=JOB).scope_digest() == Config(**({"job": JOB} | change)).scope_digest()


def test_the_order_of_a_list_is_no_change() -> None:
    seeds = [f"https://example.org/{number}" for number in range(5)]
    one, two = Config(job={"seeds": seeds}), Config(job={"seeds": seeds[::-1]})
    assert one.scope_digest() == two.scope_digest()
    assert scope_changes(one.scope_dump(), two.scope_dump()) == []


def test_the_digest_is_the_same_in_every_process_and_version() -> None:
    """It is stored: a change of this number makes every crawl in the world ask whether its scope changed."""
    assert Config(job=JOB).scope_digest() == "9ab2e900cb0182fd4272ae0f6fd651193017ccf0536d06f08477f8db967ee2ba"


def test_changes_of_scope_are_told_in_a_few_words() -> None:
    old = Config(job={"seeds": [f"https://example.org/{number}" for number in range(9)]}, scope={"max_depth": 3})
    new = Config(job={"seeds": ["https://example.org/0", "https://b.org/"]}, scope={"deny": [r"\.pdf$"]})
    assert scope_changes(old.scope_dump(), new.scope_dump()) == [
        (
            'job.seeds: removed "https://example.org/1", "https://example.org/2", "https://example.org/3" and 5 more, '
            'added "https://b.org/"'
        ),
        'scope.hosts: added "b.org"',
        'scope.deny: added "\\\\.pdf$"',
        "scope.max_depth: 3 → none",
    ]


def test_seeds_outside_the_scope_are_a_warning_unless_all_are() -> None:
    config = Config(job={"seeds": ["https://a.org/", "https://b.org/"]}, scope={"hosts": ["a.org"]})
    assert config.warnings == ("job.seeds: 1 outside scope.hosts and scope.domains, the first is https://b.org/",)
    assert Config(job={"seeds": ["https://w.a.org/"]}, scope={"domains": ["a.org"]}).warnings == ()
    assert Config(job={"seeds": ["https://x.org/"]}, scope={"hosts": ["*"]}).warnings == ()
    with pytest.raises(ConfigError, match=r"scope\.hosts: expected the host of at least one seed \(b\.org\)"):
        Config(job={"seeds": ["https://b.org/"]}, scope={"hosts": ["a.org"]})


def test_limits_that_contradict_each_other_are_a_warning() -> None:
    (warning,) = Config(job=JOB | {"max_time": 5}, politeness={"delay": 10}).warnings
    assert "politeness.delay: 10s leaves time for one page of a host within job.max_time (5s)" in warning
    (warning,) = Config(job=JOB, fetch={"read_timeout": 200}).warnings
    assert warning == "fetch.read_timeout: never comes into play, because it is above fetch.total_timeout"
    assert (
        Config(job=JOB, fetch={"total_timeout": 5}).warnings == ()
    )  # the others are at their defaults: nothing was meant
    (warning,) = Config(job=JOB, fetch={"verify_tls": False}).warnings
    assert "certificates are not verified" in warning


def test_the_user_agent_names_the_product_and_a_page() -> None:
    agent = Config(job=JOB).fetch.user_agent
    assert agent.startswith("crawlmill/")
    assert agent.endswith(" (+https://pypi.org/project/crawlmill/)")


def test_reading_a_config_loads_neither_the_network_nor_the_suffix_list() -> None:
    """A crawl of a second must not spend a tenth of it on its settings; the list is read only where domains are."""
    heavy = ["ssl", "asyncio", "aiohttp", "rich", "publicsuffixlist", "sqlite3"]
    heavy += ["difflib", "importlib.metadata", "json", "crawler.config.problems"]
    code = (
        "import sys; from crawler.config import loads; loads('[job]\\nseeds=[\"http://127.0.0.1/\"]');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
