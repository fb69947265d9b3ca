"""A URL is in the crawl or it is not, and the reason is named."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections import Counter
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.frontier.reasons import Reason
from crawler.frontier.scope import MAX_PATTERN_TEXT, MAX_REMEMBERED_ORIGINS, Scope, ScopeRules
from pipelines.url import CanonicalUrl, canonicalize


def ask(rules: ScopeRules, url: str) -> tuple[str, int] | str:
    canonical = canonicalize(url)
    assert canonical is not None
    return Scope(rules)(canonical)


def one_host(host: str = "a.test") -> frozenset[str]:
    return frozenset({host})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.test/", "a.test"),
        ("https://a.test:8443/x?y", "a.test"),
        ("https://A.TEST/x", "a.test"),
        ("http://b.test/", "b.test"),
        ("http://www.b.test/", "www.b.test"),
        ("http://x.y.b.test/", "x.y.b.test"),
        ("http://[::1]:8080/", "[::1]"),
        ("http://127.0.0.2:8080/", "127.0.0.2"),
    ],
)
def test_a_host_of_the_scope_is_admitted_under_its_name(url: str, host: str) -> None:
    rules = ScopeRules(hosts=frozenset({"a.test", "[::1]", "127.0.0.2"}), domains=frozenset({"b.test"}))
    assert ask(rules, url) == (host, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://www.a.test/",  # hosts are exact
        "http://notb.test/",  # a domain ends at a dot
        "http://b.test.evil/",
        "http://test/",
        "http://a.test.evil/",
        "http://a.test@evil.test/",  # credentials are not the host
        "http://evil.test/a.test/",
        "http://b.test./",  # WHATWG: another host
    ],
)
def test_any_other_host_is_refused(url: str) -> None:
    assert ask(ScopeRules(hosts=one_host(), domains=frozenset({"b.test"})), url) == Reason.HOST


def test_no_hosts_admit_nothing_and_a_star_admits_all() -> None:
    assert ask(ScopeRules(), "http://a.test/") == Reason.HOST
    assert ask(ScopeRules(hosts=frozenset({"*"})), "http://a.test/") == ("a.test", 0)


@pytest.mark.parametrize(
    ("port", "refused"), [(22, True), (25, True), (6667, True), (10080, True), (80, False), (8080, False)]
)
def test_ports_of_other_protocols_are_blocked(port: int, refused: bool) -> None:
    for host in ("a.test", "[::22]"):
        answer = ask(ScopeRules(hosts=one_host(host)), f"http://{host}:{port}/")
        assert answer == (Reason.PORT_BLOCKED if refused else (host, 0))


def test_a_blocked_port_can_be_allowed() -> None:
    rules = ScopeRules(hosts=one_host(), allow_ports=frozenset({22}))
    assert ask(rules, "http://a.test:22/") == ("a.test", 0)
    assert ask(rules, "http://a.test:25/") == Reason.PORT_BLOCKED


def test_the_host_is_refused_before_its_port() -> None:
    assert ask(ScopeRules(hosts=one_host()), "http://b.test:22/") == Reason.HOST


def test_limits_of_length_are_inclusive() -> None:
    rules = ScopeRules(hosts=one_host(), max_url_length=30, max_query_length=5)
    path = "http://a.test/"
    assert ask(rules, path + "x" * (30 - len(path))) == ("a.test", 0)
    assert ask(rules, path + "x" * (31 - len(path))) == Reason.URL_TOO_LONG
    assert ask(rules, path + "?12345") == ("a.test", 0)
    assert ask(rules, path + "?123456") == Reason.QUERY_TOO_LONG


@pytest.mark.parametrize(
    ("path", "is_trap"),
    [
        ("/a/b/a/b/c", False),
        ("/a/b/a/b/a", True),  # FAULTS F02: anywhere in the path, not only side by side
        ("/a/a", False),
        ("/a/a/a", True),
        ("/a/a/a/", True),
        ("/a/a/", False),
        ("/a//", False),
        ("/a////b", True),  # empty segments repeat too
        ("/1/2/3/4/5/6", False),
        ("/1/2/3/4/5/6/", False),
        ("/1/2/3/4/5/6/7", True),
        ("/x?/a/a/a/a/a/1/2/3/4/5/6/7", False),  # the query has no segments
    ],
)
def test_a_path_that_repeats_itself_or_never_ends_is_a_trap(path: str, is_trap: bool) -> None:
    rules = ScopeRules(hosts=one_host(), max_repeated_segments=2, max_segments=6)
    assert ask(rules, "http://a.test" + path) == (Reason.TRAP if is_trap else ("a.test", 0))


@given(
    st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=9),
    st.integers(1, 4),
    st.integers(1, 8),
    st.sampled_from(["", "/"]),
)
def test_the_trap_rule_is_what_it_says(segments: list[str], alike: int, most: int, end: str) -> None:
    """The rule takes shortcuts for speed; here is the sentence of the documentation, counted out."""
    url = CanonicalUrl("http://a.test/" + "/".join(segments) + end)
    path = urlsplit(url).path[1:].removesuffix("/").split("/")
    is_trap = len(path) > most or max(Counter(path).values()) > alike
    rules = ScopeRules(hosts=one_host(), max_repeated_segments=alike, max_segments=most)
    assert Scope(rules)(url) == (Reason.TRAP if is_trap else ("a.test", 0))


def test_deny_is_stronger_than_allow() -> None:
    rules = ScopeRules(hosts=one_host(), allow=("^/docs/", r"\.pdf$"), deny=("[?&]print=",))
    assert ask(rules, "http://a.test/docs/x") == ("a.test", 0)
    assert ask(rules, "http://a.test/x.pdf") == ("a.test", 0)
    assert ask(rules, "http://a.test/x") == Reason.NOT_ALLOWED
    assert ask(rules, "http://a.test/docs/x?print=1") == Reason.DENIED
    assert ask(rules, "http://a.test/x?print=1") == Reason.DENIED


def test_patterns_see_path_and_query_and_nothing_else() -> None:
    rules = ScopeRules(hosts=one_host(), deny=("a.test", "http"))
    assert ask(rules, "http://a.test/x?y") == ("a.test", 0)
    assert ask(rules, "http://a.test/?u=http") == Reason.DENIED


def test_every_matching_pattern_moves_the_priority_by_one() -> None:
    rules = ScopeRules(hosts=one_host(), raise_=("^/news", "today"), lower=("archive", r"\?"))
    for path, adjustment in [("/", 0), ("/news", -1), ("/news/today", -2), ("/news/archive", 0), ("/archive?x", 2)]:
        assert ask(rules, "http://a.test" + path) == ("a.test", adjustment)


def test_the_text_that_patterns_see_is_cut() -> None:
    """A quadratic pattern on an 8,000-character URL would hold up a worker for a second; on 2,048 it does not."""
    rules = ScopeRules(hosts=one_host(), deny=("needle", "x.*x.*y$"))
    assert ask(rules, "http://a.test/" + "-" * (MAX_PATTERN_TEXT - 7) + "needle") == Reason.DENIED
    assert ask(rules, "http://a.test/" + "-" * MAX_PATTERN_TEXT + "needle") == ("a.test", 0)


def test_a_bad_pattern_is_refused_when_the_scope_is_built() -> None:
    with pytest.raises(re.error):
        Scope(ScopeRules(deny=("(",)))


def test_it_goes_to_a_worker_and_answers_alike() -> None:
    rules = ScopeRules(hosts=one_host(), domains=frozenset({"b.test"}), deny=("x",), raise_=("y",), max_query_length=3)
    scope = Scope(rules)
    twin = pickle.loads(pickle.dumps(scope))
    for url in ("http://a.test/", "http://c.b.test/y", "http://a.test/x", "http://a.test/?1234", "http://z.test/"):
        assert scope(CanonicalUrl(url)) == twin(CanonicalUrl(url))


def test_the_memory_of_origins_is_bounded() -> None:
    """A page can link to a million hosts (FAULTS F07)."""
    scope = Scope(ScopeRules(domains=frozenset({"a.test"})))
    for number in range(MAX_REMEMBERED_ORIGINS + 10):
        assert scope(CanonicalUrl(f"http://h{number}.a.test/")) == (f"h{number}.a.test", 0)
    assert len(scope._origins) <= MAX_REMEMBERED_ORIGINS


@given(
    st.text(alphabet="ab/?.:#@[]%\\ é0", max_size=20),
    st.sampled_from(["http://a.test/", "http://a.test", "https://a.test:8/"]),
)
def test_every_canonical_url_gets_an_answer(tail: str, start: str) -> None:
    url = canonicalize(start + tail)
    if url is not None:
        answer = Scope(ScopeRules(hosts=one_host(), domains=frozenset({"b"}), allow=(".",), raise_=("a",)))(url)
        assert answer in set(Reason) or answer[0] in url


def test_a_worker_imports_next_to_nothing_with_it() -> None:
    """Start-up counts: every worker process pays for what this module pulls in."""
    code = "import sys, crawler.frontier.scope; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert not {"asyncio", "aiohttp", "msgspec", "rich", "protego", "logging", "sqlite3", "socket"} & set(loaded)
