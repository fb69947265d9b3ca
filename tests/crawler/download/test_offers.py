"""Mirrors that a server names in Link fields (RFC 6249): used only where a strong digest proves the file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, Wanted
from crawler.download.answers.identity import Identity
from crawler.download.offers import MAX_MIRRORS, Offers, is_proven
from crawler.download.proof.discover import Claim, Trust
from crawler.download.retry import Patience, Sources
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import Source, digest, flipped
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import Reply, Request, redirect, text
from pipelines.pool.pool import WorkerPool

MIB = 1 << 20
PATH, MIRROR = "/data.bin", "/pub/data.bin"
FILE = version("A", 9 * MIB)
SHA256 = bytes.fromhex(digest(FILE.body))
URL = "https://example.org/file"


def repr_digest(value: bytes = SHA256) -> tuple[str, str]:
    return "Repr-Digest", f"sha-256=:{b64encode(value).decode()}:"


def link(server: FaultServer, parameters: str = "pri=1", origin: int = 1) -> tuple[str, str]:
    return "Link", f"<{server.url(MIRROR, origin)}>; rel=duplicate; {parameters}"


def first_only(file: ServedFile, *, times: int | None = None) -> Callable[[Request], Reply]:
    """Answer the first request of a file, and those behind it with 500: for ever, or so many times."""
    refused = 0

    def respond(request: Request) -> Reply:
        nonlocal refused
        if request.first == 0 or (times is not None and refused >= times):
            return serve(request, file)
        refused += 1
        return Reply(500)

    return respond


def options(**changes: object) -> DownloadOptions:
    base = DownloadOptions(
        segments=4, retries=2, retry_delay=0.02, retry_delay_max=0.1, is_durable=False, link_mirrors=True,
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # of many types


@pytest.fixture
async def downloader(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    async with Downloader(tmp_path, options(), pool=pool) as downloader:
        yield downloader


def asked(server: FaultServer, origin: int = 1) -> list[Request]:
    return [request for request in server.requests if request.origin == origin]


async def test_an_offered_mirror_goes_on_where_the_origin_fails(server: FaultServer, downloader: Downloader) -> None:
    server.mount(PATH, first_only(replace(FILE, fields=(repr_digest(), link(server)))))
    server.mount(MIRROR, lambda request: serve(request, replace(FILE, etag='"another"')))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.mirrors, result.fetched_bytes < 10 * MIB) == ("verified", 2, True), result
    assert asked(server)
    assert all(request.first > 0 for request in asked(server))


@pytest.mark.parametrize("why", ["off", "no-digest", "weak-digest", "elsewhere", "private"])
async def test_an_offer_is_not_taken(why: str, server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """Unless it is asked for, a strong digest proves the file, and its address is one that may be reached."""
    claims: tuple[Claim, ...] = ()
    fields: tuple[tuple[str, str], ...] = (link(server),)
    match why:
        case "weak-digest":
            fields += (("Repr-Digest", f"md5=:{b64encode(bytes.fromhex(digest(FILE.body, 'md5'))).decode()}:"),)
        case "elsewhere":
            claims = (Claim(Digest("sha256", SHA256), "page", Trust.OTHER_ORIGIN),)
        case "off" | "private":
            fields += (repr_digest(),)
    chosen = options(link_mirrors=why != "off")
    if why == "private":
        chosen = replace(chosen, fetch=replace(chosen.fetch, allow_addresses=("127.0.0.1",)))
    server.mount(PATH, first_only(replace(FILE, fields=fields)))
    server.mount(MIRROR, lambda request: serve(request, FILE))
    async with Downloader(tmp_path, chosen, pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "x", claims=claims))
    assert (result.status, result.fault) == ("failed", Fault.RETRIES_EXHAUSTED), result
    assert asked(server) == []


@pytest.mark.parametrize("bad", ["bits", "bytes", "size", "no-ranges", "loop", "gone"])
async def test_a_bad_mirror_costs_no_file(bad: str, server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """D58: whatever it does, the file is right, and comes from the origin once that is well, in parts as ever.

    From the first byte only if its bytes were wrong and no seam showed it; one that gives none, or not those that were
    asked for, is left.
    """
    damaged: Source = FILE.body
    for piece in range(FILE.body.size // MIB):
        damaged = flipped(damaged, piece * MIB + 500_000)
    other = version("B", FILE.body.size + (bad == "size"))
    answers: dict[str, Callable[[Request], Reply]] = {
        "bits": lambda request: serve(request, replace(FILE, body=damaged)),
        "bytes": lambda request: serve(request, replace(other, etag=None, last_modified=None)),
        "size": lambda request: serve(request, other),
        "no-ranges": lambda request: serve(request, replace(FILE, has_ranges=False)),
        "loop": lambda request: redirect(MIRROR),
        "gone": lambda request: Reply(404),
    }
    server.mount(PATH, first_only(replace(FILE, fields=(repr_digest(), link(server))), times=6))
    server.mount(MIRROR, answers[bad])
    async with Downloader(tmp_path, options(retries=9, retry_delay=0.1), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert result.status == "verified", result
    assert asked(server)
    assert all(request.range is not None for request in asked(server, 0))
    openings = sum(request.header("if-range") is None for request in asked(server, 0))
    assert openings == (2 if bad == "bits" else 1)


async def test_whoever_sends_to_a_mirror_tells_of_others(server: FaultServer, downloader: Downloader) -> None:
    """As MirrorBrain does: 302 with Link and Digest; where it sends to is dead."""
    sent = redirect(server.url("/dead", 2))
    for name, value in (link(server), ("Digest", f"SHA-256={b64encode(SHA256).decode()}")):
        sent = sent.with_line(name, value)
    server.mount(PATH, lambda request: sent)
    server.mount("/dead", lambda request: Reply(500))
    server.mount(MIRROR, lambda request: serve(request, FILE))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.final_url) == ("verified", server.url(MIRROR, 1)), result
    assert result.verified_by is not None
    assert result.verified_by.trust is Trust.SAME_ORIGIN


async def test_a_preferred_mirror_has_the_tags_of_the_origin(server: FaultServer, downloader: Downloader) -> None:
    """RFC 6249 3.4: it is held to them, and asked with If-Match."""
    fields = (repr_digest(), link(server, "pri=2; pref"), link(server, "pri=1", origin=2))
    server.mount(PATH, first_only(replace(FILE, fields=fields)))
    server.mount(MIRROR, lambda request: serve(request, FILE))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, asked(server, 2)) == ("verified", []), result
    assert {request.header("if-match") for request in asked(server)} == {FILE.etag}


def metalink(server: FaultServer, name: str = "data.bin", size: int = FILE.body.size) -> Callable[[Request], Reply]:
    document = f"""<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{name}"><size>{size}</size>
        <hash type="sha-256">{SHA256.hex()}</hash><url priority="1">{server.url(MIRROR, 1)}</url></file></metalink>"""
    return lambda request: replace(text(200, document), delay=0.05)


def described(server: FaultServer, origin: int = 0) -> tuple[str, str]:
    return "Link", f'<{server.url("/data.bin.meta4", origin)}>; rel=describedby; type="application/metalink4+xml"'


async def test_the_metalink_of_a_file_brings_its_digest_and_its_mirrors(
    server: FaultServer, downloader: Downloader
) -> None:
    def respond(request: Request) -> Reply:
        return replace(first_only(replace(FILE, fields=(described(server),)))(request), delay=0.2 * (request.first > 0))

    server.mount(PATH, respond)
    server.mount(MIRROR, lambda request: serve(request, FILE))
    server.mount("/data.bin.meta4", metalink(server))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.mirrors) == ("verified", 2), result
    assert result.verified_by is not None
    assert result.verified_by.source == f"described {server.url('/data.bin.meta4')}"


@pytest.mark.parametrize("size", [1000, FILE.body.size])
async def test_a_file_that_is_there_waits_for_what_its_metalink_says(
    size: int, server: FaultServer, downloader: Downloader
) -> None:
    file = replace(version("B", size), fields=(described(server),))
    server.mount(PATH, lambda request: serve(request, file))
    server.mount("/data.bin.meta4", metalink(server, size=size))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.path) == ("mismatch", None), result


async def test_what_described_another_version_goes_with_it(server: FaultServer, downloader: Downloader) -> None:
    old, new = (replace(version(name, FILE.body.size), fields=(described(server),)) for name in "AB")
    documents = iter([SHA256.hex()])

    def describes(_request: Request) -> Reply:
        value = next(documents, digest(new.body))
        return text(200, f'<metalink><file name="data.bin"><hash type="sha-256">{value}</hash></file></metalink>')

    turned = False

    def respond(request: Request) -> Reply:
        nonlocal turned
        turned = turned or request.first > 0
        return replace(serve(request, new if turned else old), delay=0.2 * (request.first > 0))

    server.mount(PATH, respond)
    server.mount("/data.bin.meta4", describes)
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.digests) == ("verified", {"sha256": digest(new.body)}), result


@pytest.mark.parametrize("why", ["elsewhere", "no-xml", "gone", "other-file", "other-size", "enough", "doctype"])
async def test_a_metalink_that_cannot_be_used_is_in_nobodys_way(
    why: str, server: FaultServer, downloader: Downloader
) -> None:
    fields: tuple[tuple[str, str], ...] = (described(server, origin=1 if why == "elsewhere" else 0),)
    one = f'<hash type="sha-256">{SHA256.hex()}</hash></file>'
    two = f'<metalink><file name="a">{one}<file name="b">{one}</metalink>'
    answers: dict[str, Callable[[Request], Reply]] = {
        "no-xml": lambda request: text(200, "hello"),
        "doctype": lambda request: text(200, '<!DOCTYPE x [<!ENTITY a "b">]><metalink/>'),
        "gone": lambda request: Reply(404),
        "other-file": lambda request: text(200, two),
        "other-size": metalink(server, size=5),
    }
    if why == "enough":
        fields += (repr_digest(), link(server))
    server.mount(PATH, lambda request: serve(request, replace(FILE, fields=fields)))
    server.mount("/data.bin.meta4", answers.get(why, metalink(server)))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert result.status == ("verified" if why == "enough" else "unverified"), result
    was_asked = "/data.bin.meta4" in [request.path for request in server.requests]
    assert was_asked is (why not in ("elsewhere", "enough"))


async def test_the_digest_is_asked_for_until_somebody_stumbles_over_it(
    server: FaultServer, downloader: Downloader
) -> None:
    seen: list[str | None] = []

    def respond(request: Request) -> Reply:
        seen.append(request.header("want-repr-digest"))
        return Reply(500) if seen[-1] else serve(request, version("A", 1000))

    server.mount(PATH, respond)
    known = Digest("sha256", bytes.fromhex(digest(version("A", 1000).body)))
    assert (await downloader.fetch(Wanted(server.url(PATH), "x"))).fault is None
    assert seen == ["sha-256=10, sha-512=5", None]
    seen.clear()
    assert (await downloader.fetch(Wanted(server.url(PATH), "y", (known,)))).fault is None
    assert seen == [None]


# -- without a server


def taken(lines: list[tuple[str, str]], at: str = URL) -> list[str]:
    sources = Sources([URL], Patience(1, 1.0, 1.0, 1.0))
    offers = Offers(sources)
    offers.noted(lines, at)
    offers.take([Claim(Digest("sha256", SHA256), "config", Trust.CONFIGURED)], Identity(5, '"tag"'))
    return [source.url for source in sources.all if source.is_offered]


def test_few_are_taken_the_best_first_and_none_without_tls() -> None:
    many = [("link", f"<https://m{number}.example/f>; rel=duplicate; pri={9 - number}") for number in range(9)]
    assert taken(many) == [f"https://m{number}.example/f" for number in (8, 7, 6, 5)][:MAX_MIRRORS]
    assert taken([("link", "<http://m.example/f>; rel=duplicate")]) == []
    assert taken([("link", "<http://m.example/f>; rel=duplicate")], "http://example.org/file") == ["http://m.example/f"]
    assert taken([("link", f"<{URL}>; rel=duplicate")]) == []
    assert taken([("link", '<https://m.example/f>; rel=duplicate; anchor="/other"')]) == []


def test_what_was_offered_goes_with_the_version_and_for_good_where_it_had_a_part() -> None:
    sources = Sources([URL], Patience(1, 1.0, 1.0, 1.0))
    offers = Offers(sources)
    claims = [Claim(Digest("sha256", SHA256), "header repr-digest", Trust.SAME_ORIGIN)]
    lines = [("link", "<https://m.example/f>; rel=duplicate")]
    for has_given in (False, True, None):
        offers.noted(lines, URL)
        offers.take(claims, Identity(5))
        assert len(sources.all) == (1 if has_given is None else 2)
        sources.all[-1].has_given = bool(has_given)
        offers.begin_again()
        assert sources.all == sources.named


@pytest.mark.parametrize(
    ("algorithm", "trust", "proves"),
    [
        ("sha256", Trust.CONFIGURED, True),
        ("sha512", Trust.SAME_ORIGIN, True),
        ("sha256", Trust.OTHER_ORIGIN, False),
        ("md5", Trust.CONFIGURED, False),
        ("sha1", Trust.SAME_ORIGIN, False),
    ],
)
def test_what_proves_a_file(algorithm: str, trust: Trust, proves: bool) -> None:
    claim = Claim(Digest(algorithm, b"?"), "somebody", trust)
    assert is_proven([claim]) is proves
    assert not is_proven([])
    assert not is_proven([claim, Claim(Digest("md5", b"?"), "config", Trust.CONFIGURED)]) or trust is Trust.CONFIGURED
