"""`crawl download` as a person runs it: messages, exit codes, signals, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from crawler.testing.bodies import digest
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import serve, version
from crawler.testing.messages import Reply

MIB = 1 << 20
PATH = "/data.bin"
ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crawler", "download", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip


def started(*arguments: str, cwd: Path, stdout: IO[str] | int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "crawler", "download", *arguments],
        cwd=cwd, stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_for_bytes(server: FaultServer, count: int) -> None:
    for _ in range(2000):
        if server.sent >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{server.sent} bytes were asked for")


def test_a_file_is_there_and_verified(server: FaultServer, tmp_path: Path) -> None:
    file = version("A", 5 * MIB)
    server.mount(PATH, lambda request: serve(request, file))
    done = command(server.url(PATH), "--sha256", digest(file.body), "-o", "sub/x.bin", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("x.bin: verified by sha256:")
    assert (tmp_path / "sub/x.bin").stat().st_size == 5 * MIB
    again = command(server.url(PATH), "--sha256", digest(file.body), "-o", "sub/x.bin", cwd=tmp_path)
    assert again.returncode == 0


def test_quiet_says_nothing_but_errors(server: FaultServer, tmp_path: Path) -> None:
    server.mount(PATH, lambda request: serve(request, version("A", 1000)))
    server.mount("/gone", lambda request: Reply(404))
    done = command("--quiet", server.url(PATH), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = command("--quiet", server.url("/gone"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "gone: status 404" in done.stderr


def test_quiet_stops_without_a_word(server: FaultServer, tmp_path: Path) -> None:
    """The exit code says it, as with a crawl."""
    server.mount(PATH, lambda request: replace(serve(request, version("A", 80 * MIB)), rate=MIB))
    process = started("--quiet", server.url(PATH), cwd=tmp_path)
    wait_for_bytes(server, MIB)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 143


@pytest.mark.parametrize("quiet", [(), ("--quiet",)], ids=["loud", "quiet"])
@pytest.mark.parametrize("is_damaged", [True, False], ids=["damaged", "foreign"])
def test_a_name_beside_the_own_is_told(
    quiet: tuple[str, ...], is_damaged: bool, server: FaultServer, tmp_path: Path
) -> None:
    """Whoever reads `f.bin` has the damaged one, and the exit code says that all is well: also in the next night."""
    server.mount("/f.bin", lambda request: serve(request, version("A", 1000)))
    if is_damaged:
        assert command(server.url("/f.bin"), cwd=tmp_path).stderr == ""
    (tmp_path / "f.bin").write_bytes(b"other")
    for _ in range(2):
        done = command(*quiet, server.url("/f.bin"), cwd=tmp_path)
        assert done.returncode == 0
        assert done.stdout.startswith("" if quiet else "f-2.bin: unverified")
        (line,) = done.stderr.splitlines()
        assert line == (
            f"crawl download: f-2.bin: a name beside its own, since {tmp_path / 'f.bin'} is there, and is not what is "
            "wanted: it has no receipt that fits it"
        )
    assert (tmp_path / "f.bin").read_bytes() == b"other"


def test_lines_that_could_not_be_written_are_no_success(server: FaultServer, tmp_path: Path) -> None:
    """The file is there and stays there; whoever keeps the lines has to know that they are missing."""
    server.mount(PATH, lambda request: serve(request, version("A", 1000)))
    with Path("/dev/full").open("w") as full:
        process = started(server.url(PATH), "-o", "x", cwd=tmp_path, stdout=full)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (6, "crawl: stdout: No space left on device\n")
    assert (tmp_path / "x").stat().st_size == 1000


def test_a_list_tells_which_files_are_there_and_which_are_not(server: FaultServer, tmp_path: Path) -> None:
    files = {f"/f{number}": version("A", 1000 * number) for number in range(5)}
    for path, file in files.items():
        server.mount(path, partial(serve, file=file))
    server.mount("/gone", lambda request: Reply(404))
    lines = [
        f"{server.url(path)}\n  checksum=sha-256={digest(file.body)}\n  out=sub{path}.bin"
        for path, file in files.items()
    ]
    (tmp_path / "list").write_text("\n".join([*lines, server.url("/gone")]) + "\n")
    done = command("-i", "list", "-d", "out", cwd=tmp_path)
    assert done.returncode == 3, done
    assert len(done.stdout.splitlines()) == 5
    assert all(": verified by " in line for line in done.stdout.splitlines())
    assert done.stderr.count("\n") == 1
    assert "gone: status 404" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["http://a/", "--sha256", "zz"], ["http://a/", "http://b/", "--sha256", "0" * 64], ["-i", "absent"],
     ["-o", "x"], ["http://a/", "--limit-rate", "fast"], ["http://a/", "-s", "0"], ["http://a/", "-o", "-"],
     ["http://a/", "--size", "-1"], ["http://a/", "--allow-address", "10.0.0.5/8"], ["http://a/", "--proxy", "a"]],
)  # fmt: skip
def test_wrong_arguments_touch_nothing(arguments: list[str], tmp_path: Path) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [(), ("-o", "x")], ids=["no name", "a name"])
def test_a_size_of_nothing_is_a_size(target: tuple[str, ...], server: FaultServer, tmp_path: Path) -> None:
    server.mount(PATH, lambda request: serve(request, version("A", 1000)))
    done = command(server.url(PATH), "--size", "0", *target, cwd=tmp_path)
    assert done.returncode == 3
    assert "size_mismatch: 1000 bytes, expected 0" in done.stderr
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_port_that_no_address_opens_promises_nothing(tmp_path: Path) -> None:
    done = command("http://127.0.0.1:1/x", cwd=tmp_path)
    assert done.stderr == "crawl download: http://127.0.0.1:1/x: address_blocked: port 1\n"


def test_a_refusal_leaves_no_empty_rooms(server: FaultServer, tmp_path: Path) -> None:
    server.mount(PATH, lambda request: Reply(404))
    assert command(server.url(PATH), cwd=tmp_path).returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_into_the_private_network_is_not_followed(server: FaultServer, tmp_path: Path) -> None:
    """What the user named may be reached, 127.0.0.1 here; where that leads to is a stranger's wish."""
    server.mount(PATH, lambda request: Reply(302, (("Location", server.url("/secret", 1)),)))
    server.mount("/secret", lambda request: serve(request, version("A", 100)))
    done = command(server.url(PATH), "-o", "x", cwd=tmp_path)
    assert done.returncode == 3
    assert "address_blocked" in done.stderr
    assert "--allow-address" in done.stderr
    allowed = command(server.url(PATH), "-o", "x", "--allow-address", "127.0.0.0/8", cwd=tmp_path)
    assert allowed.returncode == 0


@pytest.mark.parametrize("target", [("-o", "x"), ()], ids=["named", "named by the answer"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_what_was_stopped_goes_on_and_nothing_stays_running(
    number: signal.Signals, code: int, target: tuple[str, ...], server: FaultServer, tmp_path: Path
) -> None:
    file = version("A", 80 * MIB)
    server.mount(PATH, lambda request: replace(serve(request, file), rate=3 * MIB))
    arguments = (server.url(PATH), "--sha256", digest(file.body), *target, "--segments", "4")
    process = started(*arguments, cwd=tmp_path)
    wait_for_bytes(server, 24 * MIB)
    if number is signal.SIGKILL:
        time.sleep(2.5)  # past `sync_seconds`: what landed is in the journal
    workers = descendants(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert ("the same command goes on" in errors) is (number is not signal.SIGKILL)
    for _ in range(300):
        if not any(map(is_alive, workers)):
            break
        time.sleep(0.01)
    assert [pid for pid in workers if is_alive(pid)] == []
    if (tmp_path / (target or (PATH[1:],))[-1]).exists():  # it was faster than the kill
        return
    server.mount(PATH, lambda request: serve(request, file))
    before = server.sent
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert " resumed" in done.stdout
    assert server.sent - before < 72 * MIB
    assert [path.name for path in (tmp_path / ".crawlmill/parts").iterdir()] == []


@pytest.mark.parametrize(
    ("fragment", "code"), [("#sha256={right}", 0), ("#egg=x&sha256={wrong}", 3), ("#top", 0), ("#sha256=5", 2)]
)
def test_a_digest_in_the_fragment_of_a_url_counts(
    fragment: str, code: int, server: FaultServer, tmp_path: Path
) -> None:
    file = version("A", 1000)
    server.mount(PATH, lambda request: serve(request, file))
    fragment = fragment.format(right=digest(file.body), wrong=digest(version("B", 1000).body))
    ended = command(server.url(PATH) + fragment, cwd=tmp_path)
    assert ended.returncode == code, ended
    assert ("verified by" in ended.stdout) is ("sha256" in fragment and code == 0)
    assert (tmp_path / "data.bin").exists() is (code == 0)
