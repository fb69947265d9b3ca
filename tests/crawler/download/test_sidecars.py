"""Checksum files beside a file: found by their usual names, asked for sparingly, never in a file's way (D118)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, FileResult, Wanted
from crawler.download.gate import HostGate
from crawler.download.plan.refusals import Refusals
from crawler.download.proof.discover import Claim, Trust
from crawler.download.sidecars import GUESSES, MAX_LIST_BYTES, MAX_OWN_BYTES
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import Body, Literal, digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import serve, version
from crawler.testing.messages import End, Framing, Reply, Request, page, redirect, text
from pipelines.pool.pool import WorkerPool

ROOT = str(Path(__file__).parents[3])
FILE = version("A", 100_000)
PATH = "/pub/data.bin"
RIGHT, WRONG = digest(FILE.body), digest(version("B", 100_000).body)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A file, and 404 for all else."""
    with FaultServer() as server:
        server.mount(PATH, lambda request: serve(request, FILE))
        yield server


def options(**changes: object) -> DownloadOptions:
    base = DownloadOptions(
        segments=2, retries=3, retry_delay=0.01, retry_delay_max=0.05, is_durable=False, look_beside=True,
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=20.0),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # of many types


@pytest.fixture
async def downloader(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    async with Downloader(tmp_path / "out", options(), pool=pool) as downloader:
        yield downloader


def says(content: str, **changes: object) -> Callable[[Request], Reply]:
    return lambda request: replace(text(200, content), **changes)  # type: ignore[arg-type]  # of many types


def asked(server: FaultServer) -> list[str]:
    """Return the names that were asked for, the file's own left out."""
    return [request.path for request in server.requests if request.path != PATH]


async def fetched(downloader: Downloader, server: FaultServer, path: str = PATH) -> FileResult:
    return await downloader.fetch(Wanted(server.url(path), path.rpartition("/")[2]))


@pytest.mark.parametrize(
    ("beside", "content"),
    [
        (f"{PATH}.sha256", f"{RIGHT}  data.bin\n"),
        (f"{PATH}.sha256", f"{RIGHT}\n"),
        (f"{PATH}.sha512", f"SHA512 (data.bin) = {digest(FILE.body, 'sha512')}\n"),
        (f"{PATH}.md5", f"{digest(FILE.body, 'md5')} *data.bin\n"),
        ("/pub/SHA256SUMS", f"{WRONG}  other.bin\n{RIGHT} *data.bin\n{WRONG}  deep/data.bin\n"),
        ("/pub/SHA512SUMS", f"{digest(FILE.body, 'sha512')}  ./data.bin\n"),
        ("/pub/sha256sum.txt", f"{RIGHT}  data.bin\r\n"),
        ("/pub/MD5SUMS", f"{digest(FILE.body, 'md5')}  data.bin\n"),
    ],
)
async def test_a_file_is_held_to_the_checksum_file_beside_it(
    beside: str, content: str, server: FaultServer, downloader: Downloader
) -> None:
    server.mount(beside, says(content))
    result = await fetched(downloader, server)
    assert result.status == "verified", result
    assert result.verified_by is not None
    assert result.verified_by.source == f"sidecar {server.url(beside)}"
    assert result.verified_by.trust is Trust.SAME_ORIGIN
    assert asked(server)[-1] == beside  # whoever names the file ends the search
    assert result.fetched_bytes == FILE.body.size  # what a sidecar took is not the file's


async def test_a_large_file_is_hashed_on_the_way_as_its_sidecar_asks(
    server: FaultServer, downloader: Downloader
) -> None:
    """The digest is known before the first byte, so no second pass is needed for an algorithm nobody recorded."""
    file = version("A", 9_000_000)
    server.mount("/pub/large.bin", lambda request: serve(request, file))
    server.mount("/pub/large.bin.sha512", says(f"{digest(file.body, 'sha512')}\n"))
    result = await fetched(downloader, server, "/pub/large.bin")
    assert result.status == "verified"
    assert result.verified_by is not None
    assert result.verified_by.digest.algorithm == "sha512"


@pytest.mark.parametrize("beside", [f"{PATH}.sha256", "/pub/SHA256SUMS"])
async def test_a_file_that_its_sidecar_contradicts_is_not_there(
    beside: str, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.mount(beside, says(f"{WRONG}  data.bin\n"))
    result = await fetched(downloader, server)
    assert (result.status, result.fault, result.path) == ("mismatch", Fault.DIGEST_MISMATCH, None)
    assert f"sidecar {server.url(beside)}" in result.detail
    assert not (tmp_path / "out/data.bin").exists()


async def test_the_list_of_a_folder_is_asked_for_once(server: FaultServer, downloader: Downloader) -> None:
    names = ["a.bin", "b.bin", "c d.bin"]
    for number, name in enumerate(names):
        file = version("A", 1000 + number)
        server.mount(f"/pub/{name.replace(' ', '%20')}", lambda request, file=file: serve(request, file))  # type: ignore[misc]  # a responder
    listed = "".join(f"{digest(Body(1000 + number))}  {name}\n" for number, name in enumerate(names))
    server.mount("/pub/SHA256SUMS", says(listed, delay=0.05))
    results = [one async for one in downloader.fetch_all(Wanted(server.url(f"/pub/{name}")) for name in names)]
    assert [result.status for result in results] == ["verified"] * 3
    assert len(server.requests) == 4  # the list and three files


async def test_d118_nothing_beside_it_leaves_a_file_unverified(server: FaultServer, downloader: Downloader) -> None:
    """That a folder has no list is asked once as well; a file's own sidecars are asked for each."""
    server.mount("/pub/more.bin", lambda request: serve(request, FILE))
    for path in (PATH, "/pub/more.bin"):
        result = await fetched(downloader, server, path)
        assert (result.status, result.fault, result.claims) == ("unverified", None, ())
    lists = [f"/pub/{guess}" for guess in GUESSES if not guess.startswith(".")]
    own = [f"{path}{guess}" for path in (PATH, "/pub/more.bin") for guess in GUESSES if guess.startswith(".")]
    assert sorted(path for path in asked(server) if path != "/pub/more.bin") == sorted(lists + own)


async def test_d118_a_digest_that_is_required_and_not_found_fails_the_file(
    server: FaultServer, pool: WorkerPool, tmp_path: Path
) -> None:
    async with Downloader(tmp_path, options(require_digest=True), pool=pool) as downloader:
        assert (await fetched(downloader, server)).fault is Fault.DIGEST_REQUIRED


def shut(request: Request) -> Reply:
    """Answer whatever is not the file with a page that says so, as many servers do."""
    content = f"<!doctype html><pre>\n{WRONG}  data.bin\n</pre>"
    return replace(page(200), source=Literal(content.encode()))


def as_text(request: Request) -> Reply:
    return shut(request).with_field("Content-Type", "text/plain")


def called_a_page(request: Request) -> Reply:
    return text(200, f"{WRONG}  data.bin\n").with_field("Content-Type", "Text/HTML; charset=utf-8")


def too_long(request: Request) -> Reply:
    return Reply(200, (("Content-Type", "text/plain"),), Literal(f"{WRONG}  data.bin\n".encode() * 100_000))


def endless(request: Request) -> Reply:
    return replace(too_long(request), framing=Framing.CHUNKED)


@pytest.mark.parametrize(
    "responder",
    [shut, as_text, called_a_page, too_long, endless,
     lambda request: text(203, f"{WRONG}  data.bin\n"),
     lambda request: text(403, f"{WRONG}  data.bin\n"),
     lambda request: text(200, f"{WRONG}  data.bin\n{RIGHT}  data.bin\n"),
     lambda request: text(200, f"{WRONG}  other.bin\n"),
     lambda request: text(200, "no list at all\n"),
     lambda request: text(200),
     lambda request: text(200, f"{WRONG}  data.bin\n", content_encoding="gzip"),
     lambda request: redirect("/pub/SHA256SUMS"),
     lambda request: replace(text(200, f"{WRONG}  data.bin\n"), cut=10, after=End.CLOSE)],
    ids=["page", "page as text", "called a page", "long", "long chunked", "203", "403", "two digests", "others",
         "prose", "empty", "gzip", "circle", "cut"],
)  # fmt: skip
async def test_d118_what_is_no_checksum_file_says_nothing(
    responder: Callable[[Request], Reply], server: FaultServer, downloader: Downloader
) -> None:
    for guess in GUESSES:
        server.mount(f"{PATH}{guess}" if guess.startswith(".") else f"/pub/{guess}", responder)
    result = await fetched(downloader, server)
    assert (result.status, result.claims) == ("unverified", ()), result


@pytest.mark.parametrize("content", [f"{WRONG}\n", f"{WRONG}  deep/data.bin\n"])
async def test_a_list_counts_only_for_files_beside_it(
    content: str, server: FaultServer, downloader: Downloader
) -> None:
    """A bare digest in a folder is for one of its files, and nobody knows which."""
    server.mount("/pub/SHA256SUMS", says(content))
    assert (await fetched(downloader, server)).status == "unverified"


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE])
async def test_a_huge_list_costs_no_more_than_its_bound(
    framing: Framing, server: FaultServer, downloader: Downloader
) -> None:
    """What is under way when we hang up was sent, but not taken: sockets hold some MiB."""
    server.mount("/pub/SHA256SUMS", lambda request: Reply(200, (), Body(200 << 20), framing=framing))
    server.mount(f"{PATH}.sha256", lambda request: Reply(200, (), Body(100 << 20), framing=framing))
    assert (await fetched(downloader, server)).status == "unverified"
    sent = {exchange.request.path: exchange.sent for exchange in server.exchanges}
    assert sent["/pub/SHA256SUMS"] < MAX_LIST_BYTES + (16 << 20)
    assert sent[f"{PATH}.sha256"] < MAX_OWN_BYTES + (16 << 20)


@pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE])
async def test_a_list_may_be_long_and_need_not_tell_how_long(
    framing: Framing, server: FaultServer, downloader: Downloader
) -> None:
    others = "".join(f"{WRONG}  {number}.bin\n" for number in range(30_000))
    assert 1 << 20 < len(others) < MAX_LIST_BYTES
    server.mount("/pub/SHA256SUMS", says(f"{others}{RIGHT}  data.bin\n", framing=framing))
    assert (await fetched(downloader, server)).status == "verified"


async def test_what_is_remembered_of_lists_is_bounded(
    server: FaultServer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patched, because the bound is beyond any list of a test. What was forgotten is asked for again."""
    monkeypatch.setattr("crawler.download.sidecars.MAX_NAMES", 3)
    for folder in ("a", "b"):
        server.mount(f"/{folder}/data.bin", lambda request: serve(request, FILE))
        server.mount(f"/{folder}/SHA256SUMS", says(f"{RIGHT}  data.bin\n"))
    for number, folder in enumerate(["a", "a", "b", "b", "a"]):
        wanted = Wanted(server.url(f"/{folder}/data.bin?{number}"), str(number))
        assert (await downloader.fetch(wanted)).status == "verified"
    lists = [request.path for request in server.requests if request.path.endswith("SHA256SUMS")]
    assert lists == ["/a/SHA256SUMS", "/b/SHA256SUMS", "/a/SHA256SUMS"]


@pytest.mark.parametrize(("origin", "trust"), [(0, Trust.SAME_ORIGIN), (1, Trust.OTHER_ORIGIN)])
async def test_a_sidecar_that_moved_has_the_trust_of_where_it_is(
    origin: int, trust: Trust, server: FaultServer, downloader: Downloader
) -> None:
    server.mount(f"{PATH}.sha256", lambda request: redirect(server.url("/moved", origin)))
    server.mount("/moved", says(f"{RIGHT}  data.bin\n"))
    result = await fetched(downloader, server)
    sidecar = f"sidecar {server.url(PATH)}.sha256"
    assert result.verified_by == Claim(Digest("sha256", bytes.fromhex(RIGHT)), sidecar, trust)


async def test_a_server_that_gives_no_answer_is_not_asked_further(server: FaultServer, downloader: Downloader) -> None:
    """The file goes on without; other files of the folder do not wait for that list again."""
    server.mount("/pub/SHA256SUMS", lambda request: Reply(after=End.RESET, raw=b""))
    assert (await fetched(downloader, server)).status == "unverified"
    assert asked(server) == ["/pub/SHA256SUMS"] * 3  # tried again twice
    server.forget()
    await downloader.fetch(Wanted(server.url(f"{PATH}?again"), "again"))
    assert asked(server) == []


async def test_a_sidecar_that_fails_once_is_tried_again(server: FaultServer, downloader: Downloader) -> None:
    answers = iter([Reply(503), replace(text(200, f"{RIGHT}  data.bin\n"), cut=9, after=End.CLOSE)])
    server.mount("/pub/SHA256SUMS", lambda request: next(answers, text(200, f"{RIGHT}  data.bin\n")))
    assert (await fetched(downloader, server)).status == "verified"


@pytest.mark.parametrize("kind", ["digest", "claim", "sums", "off"])
async def test_nobody_looks_where_nothing_is_to_be_learnt(
    kind: str, server: FaultServer, pool: WorkerPool, tmp_path: Path
) -> None:
    right = Digest("sha256", bytes.fromhex(RIGHT))
    wanted = {
        "digest": Wanted(server.url(PATH), "x", (right,)),
        "claim": Wanted(server.url(PATH), "x", claims=(Claim(right, "list", Trust.CONFIGURED),)),
        "sums": Wanted(server.url("/pub/SHA256SUMS"), "x"),
        "off": Wanted(server.url(PATH), "x"),
    }[kind]
    server.mount("/pub/SHA256SUMS", says(f"{WRONG}  data.bin\n"))
    async with Downloader(tmp_path, options(look_beside=kind != "off"), pool=pool) as downloader:
        assert (await downloader.fetch(wanted)).fault is None
    assert len(server.requests) == 1


async def test_a_file_that_is_there_is_not_looked_up_again(server: FaultServer, downloader: Downloader) -> None:
    server.mount(f"{PATH}.sha256", says(f"{RIGHT}  data.bin\n"))
    await fetched(downloader, server)
    server.forget()
    assert (await fetched(downloader, server)).status == "verified"
    assert server.requests == []


class CountingGate(HostGate):
    """Knows what went through."""

    def __init__(self) -> None:
        super().__init__(1, Refusals(8))
        self.entered: list[str] = []
        self.left: list[str] = []

    async def enter(self, url: str) -> None:
        await super().enter(url)
        self.entered.append(url)

    def leave(self, url: str) -> None:
        super().leave(url)
        self.left.append(url)


async def test_sidecars_pass_the_gate_like_all_else(server: FaultServer, pool: WorkerPool, tmp_path: Path) -> None:
    """One request to the host at once, also while three files look for what is beside them."""
    gate = CountingGate()
    wanted = [Wanted(server.url(f"{PATH}?{number}"), str(number)) for number in range(3)]
    async with Downloader(tmp_path, options(), gate, pool=pool) as downloader:
        results = [result async for result in downloader.fetch_all(wanted)]
    assert {result.status for result in results} == {"unverified"}
    assert sorted(gate.entered) == sorted(gate.left)
    assert sorted(gate.entered) == sorted(server.url(request.target) for request in server.requests)
    assert server.most_active == 1


async def test_a_file_that_is_cancelled_leaves_the_list_to_the_others(
    server: FaultServer, downloader: Downloader
) -> None:
    server.mount("/pub/SHA256SUMS", says(f"{RIGHT}  data.bin\n", delay=0.3))
    first = asyncio.ensure_future(downloader.fetch(Wanted(server.url(PATH), "first")))
    second = asyncio.ensure_future(downloader.fetch(Wanted(server.url(PATH), "second")))
    while not server.requests:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).status == "verified"
    assert first.cancelled()


async def test_what_the_answer_itself_says_of_the_file_counts_as_much(
    server: FaultServer, downloader: Downloader
) -> None:
    """Both are the same origin's: of two that contradict each other one is wrong, and a file is right or absent."""
    value = f"sha-256=:{b64encode(bytes.fromhex(RIGHT)).decode()}:"
    server.mount(PATH, lambda request: serve(request, replace(FILE, fields=(("Repr-Digest", value),))))
    server.mount(f"{PATH}.sha256", says(f"{WRONG}  data.bin\n"))
    assert (await fetched(downloader, server)).status == "mismatch"


def test_the_command_looks_beside_when_it_is_told_to(server: FaultServer, tmp_path: Path) -> None:
    server.mount("/pub/SHA256SUMS", says(f"{RIGHT}  data.bin\n"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crawler", "download", server.url(PATH), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": ROOT},
        )  # fmt: skip

    without = run("-d", "without")
    assert (without.returncode, without.stderr) == (0, "")
    assert without.stdout.startswith("data.bin: unverified")
    looked = run("-d", "looked", "--look-beside")
    assert (looked.returncode, looked.stderr) == (0, "")
    assert f"verified by sha256:{RIGHT} (sidecar {server.url('/pub/SHA256SUMS')})" in looked.stdout
    server.mount("/pub/SHA256SUMS", says(f"{WRONG}  data.bin\n"))
    wrong = run("-d", "wrong", "--look-beside")
    assert wrong.returncode == 3
    assert "digest_mismatch" in wrong.stderr
    assert not (tmp_path / "wrong/data.bin").exists()
