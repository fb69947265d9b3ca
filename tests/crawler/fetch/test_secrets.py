"""What goes out, and that secrets go to their origin and nowhere else: no other server, no text, no repr."""

from __future__ import annotations

import pytest

from crawler.fetch.fetcher import Fetcher
from crawler.fetch.options import FetchOptions, OriginSecrets
from crawler.frontier.reasons import Reason
from tests.support.faults import CLOSE, FaultServer, page
from tests.support.fetching import a_request, failed, fetched, options

CANARY = "c4n4ry"


def secrets(origin: str) -> OriginSecrets:
    return OriginSecrets(
        origin=origin,
        headers=(("X-Api-Key", f"{CANARY}-key"),),
        cookies=(("session", f"{CANARY}-cookie"), ("b", "2")),
        basic_auth=("user", f"{CANARY}-password"),
    )


async def test_secrets_go_to_their_origin_only() -> None:
    """P11, C20, C21: the same host on another port, or under another name, is another origin."""
    with FaultServer({"/": [page()]}) as home, FaultServer({"/": [page()]}) as other:
        async with Fetcher(options(origins=(secrets(home.url()),))) as fetcher:
            for url in (home.url(), other.url(), home.url(host="localhost"), home.url()):
                fetched(await fetcher.fetch(a_request(url)))
    first, elsewhere, second = home.seen
    for seen in (first, second):
        assert seen.header("x-api-key") == f"{CANARY}-key"
        assert seen.header("cookie") == f"session={CANARY}-cookie; b=2"
        assert seen.header("authorization") == "Basic dXNlcjpjNG40cnktcGFzc3dvcmQ="
    for seen in (elsewhere, other.seen[0]):
        for name in ("x-api-key", "cookie", "authorization"):
            assert seen.header(name) is None


async def test_a_server_that_echoes_secrets_does_not_get_them_into_our_text() -> None:
    """P11: what a failure says goes into errors.jsonl."""
    echo = [
        f"HTTP/1.1 200 OK\r\nX\x01: {CANARY}\r\n\r\n".encode(),
        f"{CANARY}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nX: " + CANARY.encode() * 10_000,
        f"HTTP/1.1 302 Found\r\nLocation: http://{CANARY}:x@]/\r\nContent-Length: 0\r\n\r\n".encode(),
    ]
    for answer in echo:
        with FaultServer({"/": [answer, CLOSE]}) as server:
            async with Fetcher(options(origins=(secrets(server.url()),))) as fetcher:
                assert CANARY not in repr(failed(await fetcher.fetch(a_request(server.url()))))


def test_the_repr_of_options_holds_no_secret() -> None:
    """P11: options end up in tracebacks and logs."""
    made = FetchOptions(
        origins=(secrets("https://example.com"),),
        proxy=f"http://user:{CANARY}@proxy:3128",
        headers=(("X-Api-Key", CANARY),),
    )
    assert CANARY not in repr(made)
    assert "https://example.com" in repr(made)


async def test_a_request_says_who_asks_and_nothing_of_where_from() -> None:
    headers = (("Accept-Language", "de"), ("From", "bot@example.org"))
    with FaultServer({"/a|b?c=d%zz": [page()]}) as server:
        async with Fetcher(options(user_agent="testbot (+http://x)", headers=headers)) as fetcher:
            fetched(await fetcher.fetch(a_request(server.url("/a|b?c=d%zz"))))  # spelled as canonical, not again
    lines = server.seen[0].raw.decode().split("\r\n")
    assert lines[0] == "GET /a|b?c=d%zz HTTP/1.1"
    assert sorted(lines[1:]) == sorted([
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: testbot (+http://x)",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: de",
        "From: bot@example.org",
    ])  # fmt: skip


async def test_cookies_of_a_server_are_not_kept() -> None:
    """A24: nothing is parsed, nothing is sent back."""
    lines = [f"Set-Cookie: a{number}=b" for number in range(200)]
    with FaultServer({"/": [page(b"", "200 OK", *lines)]}) as server:
        async with Fetcher(options()) as fetcher:
            got = fetched(await fetcher.fetch(a_request(server.url())))
            fetched(await fetcher.fetch(a_request(server.url())))
    assert len([name for name, _ in got.headers if name == "set-cookie"]) == 200
    assert server.seen[1].header("cookie") is None


async def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """H12."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.setenv("NETRC", "/dev/null")
    with FaultServer({"/": [page()]}) as server:
        async with Fetcher(options()) as fetcher:
            assert fetched(await fetcher.fetch(a_request(server.url()))).status == 200


async def test_a_proxy_gets_its_login_and_the_server_does_not() -> None:
    with FaultServer({"http://example.com/": [page(b"by proxy")]}) as proxy:
        async with Fetcher(options(proxy=f"http://user:{CANARY}@127.0.0.1:{proxy.port}")) as fetcher:
            assert fetched(await fetcher.fetch(a_request("http://example.com/"))).body == b"by proxy"
            refused = await fetcher.fetch(a_request("http://10.0.0.1/"))
    assert proxy.seen[0].header("proxy-authorization") == "Basic dXNlcjpjNG40cnk="
    assert proxy.seen[0].header("authorization") is None
    assert len(proxy.seen) == 1
    assert "address_blocked" in repr(refused)  # C30: what a URL says by itself is checked, names are the proxy's


@pytest.mark.parametrize(("status", "reason"), [(407, Reason.AUTH), (502, Reason.CONNECT)])
async def test_a_proxy_that_refuses_a_tunnel_is_named_without_its_login(status: int, reason: Reason) -> None:
    with FaultServer({"example.com:443": [page(b"", f"{status} No")]}) as proxy:
        async with Fetcher(options(proxy=f"http://user:{CANARY}@127.0.0.1:{proxy.port}")) as fetcher:
            outcome = failed(await fetcher.fetch(a_request("https://example.com/")))
    assert (outcome.reason, outcome.detail) == (reason, f"the proxy answered {status}")


async def test_a_dead_proxy_is_a_failed_connection() -> None:
    with FaultServer({}) as gone:
        port = gone.port
    async with Fetcher(options(proxy=f"http://user:{CANARY}@127.0.0.1:{port}")) as fetcher:
        outcome = failed(await fetcher.fetch(a_request("http://example.com/")))
    assert (outcome.reason, outcome.detail) == (Reason.CONNECT, "proxy: connection refused")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Authorization", "origins"), ("cookie", "origins"), ("Proxy-Authorization", "proxy"),
        ("User-Agent", "user_agent"), ("Accept-Encoding", "accept_encoding"), ("Host", "not yours"),
        ("Content-Length", "not yours"), ("Transfer-Encoding", "not yours"), ("", "expected a name"),
        ("X-A\r\nX-B", "expected a name"),
    ],
)  # fmt: skip
def test_headers_that_have_another_place_are_refused(name: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        FetchOptions(headers=((name, "x"),))


def test_impossible_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"allow_addresses: expected a network such as 10\.0\.0\.0/8; .*host bits"):
        FetchOptions(allow_addresses=("127.0.0.0/8", "10.0.0.5/8"))
    with pytest.raises(ValueError, match="proxy: expected an http") as refused:
        FetchOptions(proxy="user:secret@proxy")
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="read_timeout"):
        FetchOptions(read_timeout=0)
    with pytest.raises(ValueError, match="origin"):
        OriginSecrets(origin="ftp://example.com")
    with pytest.raises(ValueError, match="cookie"):
        OriginSecrets(origin="http://example.com", cookies=(("a", "b; c"),))
