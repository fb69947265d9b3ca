"""What names something on the web: seeds, hosts, domains, origins, patterns."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config import Config
from crawler.config.kinds import MAX_PATTERN_CHARS
from crawler.errors import ConfigError
from pipelines.url import canonicalize


def build(section: str, **values: Any) -> Config:
    sections: dict[str, Any] = {"job": {"seeds": ["https://example.org/"]}}
    sections.setdefault(section, {}).update(values)
    return Config(**sections)


def refusal(section: str, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(section, **values)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("seed", "url"),
    [
        ("HTTPS://Example.ORG:443/a/../b#c", "https://example.org/b"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://127.1/", "http://127.0.0.1/"),
        ("  https://example.org  ", "https://example.org/"),
    ],
)
def test_seeds_are_made_canonical(seed: str, url: str) -> None:
    assert build("job", seeds=[seed]).job.seeds == (url,)


def test_the_same_seed_counts_once() -> None:
    assert len(build("job", seeds=["http://a.org", "http://a.org/#x", "http://a.org:80/"]).job.seeds) == 1


@pytest.mark.parametrize(
    ("seed", "said"),
    [
        ("file:///etc/passwd", "serve the folder"),
        ("ftp://example.org/", "expected an http or https URL"),
        ("javascript:alert(1)", "expected an http or https URL"),
        ("example.org", 'did you mean "https://example.org"?'),
        ("example.org:8080/x", 'did you mean "https://example.org:8080/x"?'),
        ("https://example.org:99999/", "expected an http or https URL"),
        ("https://", "expected an http or https URL"),
        ("", "expected an http or https URL"),
        ("https://a b.org/", "expected an http or https URL"),
    ],
)
def test_a_seed_that_is_no_web_page_is_refused(seed: str, said: str) -> None:
    assert said in refusal("job", seeds=[seed])


@pytest.mark.parametrize(
    "seed", ["https://me:hunter2@example.org/", "https://hunter2@[::1/", "ftp://me:hunter2@example.org/"]
)
def test_a_password_in_a_seed_is_refused_and_not_repeated(seed: str) -> None:
    assert "hunter2" not in refusal("job", seeds=[seed])


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Example.ORG", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
        ("*", "*"),
    ],
)
def test_hosts_are_written_as_in_a_canonical_url(host: str, canonical: str) -> None:
    """The scope compares them with the hosts of canonical URLs, character by character."""
    assert build("scope", hosts=["example.org", host]).scope.hosts[-1] == canonical


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("https://docs.example.org/x", 'write "docs.example.org"'),
        ("example.org:8080", 'write "example.org"'),
        ("example.org:80", 'write "example.org"'),
        ("example.org/", 'write "example.org"'),
        ("*.example.org", 'list "example.org" in scope.domains'),
        ("me@example.org", 'write "example.org"'),
        ("", ""),
        ("a b", ""),
        ("a\\b", ""),
        ("[::1]:80", ""),
    ],
)
def test_what_is_more_or_less_than_a_host_is_refused_with_the_host_in_it(host: str, remedy: str) -> None:
    assert remedy in refusal("scope", hosts=["example.org", host])


@given(st.text(max_size=20))
def test_an_accepted_host_is_one_that_a_canonical_url_can_have(text: str) -> None:
    try:
        host = build("scope", hosts=["example.org", text]).scope.hosts[-1]
    except ConfigError:
        return
    assert host == "*" or canonicalize(f"http://{host}/") == f"http://{host}/"


@pytest.mark.parametrize("domain", ["example.org", "docs.example.org", "EXAMPLE.org", "example.co.uk", "me.github.io"])
def test_domains_that_somebody_owns_are_accepted(domain: str) -> None:
    config = Config(job={"seeds": [f"https://www.{domain}/"]}, scope={"domains": [domain]})
    assert config.scope.domains == (domain.lower(),)
    assert config.scope.hosts == ()


@pytest.mark.parametrize(
    "domain", ["org", "co.uk", "github.io", "localhost", "127.0.0.1", "[::1]", "*", "http://example.org"]
)
def test_what_nobody_owns_alone_is_no_domain(domain: str) -> None:
    """`domains = ["co.uk"]` would crawl a country."""
    assert "scope.domains[0]" in refusal("scope", domains=[domain])


def test_patterns_are_compiled_when_they_are_read() -> None:
    assert build("scope", deny=[r"\.pdf$", r"^/private/"]).scope.deny == (r"\.pdf$", r"^/private/")
    assert "missing ), unterminated subpattern at character 2" in refusal("scope", deny=["a(b"])
    assert "matches every URL" in refusal("scope", deny=[""])
    assert f"at most {MAX_PATTERN_CHARS}" in refusal("scope", allow=["a" * (MAX_PATTERN_CHARS + 1)])
    assert "same in later Pythons" in refusal("priority", raise_=["[[a]"])
    assert "expected a regular expression" in refusal("priority", lower=["a{99999999999999999999}"])


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://Example.org:443/", "https://example.org"), ("http://example.org:8080", "http://example.org:8080")],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    config = Config(job={"seeds": ["https://example.org"]}, origin=[{"url": url}])
    assert config.origin[0].url == origin


@pytest.mark.parametrize(
    "url", ["https://example.org/x", "https://example.org/?q", "https://u:p@example.org", "ftp://a.org", "a.org"]
)
def test_more_than_an_origin_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"origin\[0\]\.url"):
        Config(job={"seeds": ["https://example.org"]}, origin=[{"url": url}])


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "cookie",
        "X-Api-Key",
        "x_api_key",
        "X-Auth-Token",
        "Proxy-Authorization",
        "X-CSRF-Token",
        "Api-Key",
    ],
)
def test_headers_for_everybody_carry_no_credentials(name: str) -> None:
    said = refusal("fetch", headers={name: "hunter2"})
    assert "[[origin]]" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "User-Agent", "a b", "", "x:", "ü"]
)
def test_headers_that_the_client_sets_or_cannot_send_are_refused(name: str) -> None:
    assert "fetch.headers" in refusal("fetch", headers={name: "1"})


def test_a_header_cannot_start_a_second_one() -> None:
    assert "without line breaks" in refusal("fetch", headers={"X-A": "1\r\nX-B: 2"})
    assert build("fetch", headers={"Accept-Language": "en"}).fetch.headers == {"Accept-Language": "en"}
