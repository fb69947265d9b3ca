"""The memory of this process follows the machine, every cgroup on the way to the root, and RLIMIT_AS; fake trees."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.memory import MemoryLimit, available_memory, read_limit, share_of_memory

GIB = 1 << 30


@pytest.fixture(autouse=True)
def no_address_space_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these tests run under any `ulimit -v`."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _proc(folder: Path, cgroup: str, mountinfo: str, total: int = 16 * GIB) -> Path:
    proc = folder / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text(mountinfo)
    (proc.parent / "meminfo").write_text(f"MemFree:  1 kB\nMemTotal:       {total // 1024} kB\n")
    return proc


def _v2(tmp_path: Path, limits: dict[str, str], path: str = "/a/b") -> Path:
    point = tmp_path / "cgroup"
    for name, text in limits.items():
        file = point / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return _proc(tmp_path, f"0::{path}\n", f"30 23 0:26 / {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    limit = available_memory(proc=_v2(tmp_path, {"a/b/memory.max": "max\n", "a/b/memory.high": "max\n"}))
    assert limit == MemoryLimit(16 * GIB, "memory of this machine")


def test_the_smallest_limit_on_the_path_counts_and_is_named(tmp_path: Path) -> None:
    proc = _v2(tmp_path, {"a/memory.max": f"{2 * GIB}\n", "a/b/memory.max": f"{3 * GIB}\n"})
    limit = available_memory(proc=proc)
    assert limit.bytes == 2 * GIB
    assert limit.why == f"cgroup limit of 2,048 MiB in {tmp_path / 'cgroup' / 'a'}"


def test_where_the_kernel_slows_down_is_a_limit_too(tmp_path: Path) -> None:
    proc = _v2(tmp_path, {"a/memory.max": f"{2 * GIB}\n", "a/memory.high": f"{GIB}\n"})
    assert available_memory(proc=proc).bytes == GIB


def test_a_limit_above_what_the_machine_has_changes_nothing(tmp_path: Path) -> None:
    assert available_memory(proc=_v2(tmp_path, {"memory.max": f"{64 * GIB}\n"})).bytes == 16 * GIB


def test_version_1_and_its_way_to_say_no_limit(tmp_path: Path) -> None:
    point = tmp_path / "memory"
    (point / "jobs" / "one").mkdir(parents=True)
    (point / "jobs" / "one" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (point / "jobs" / "memory.limit_in_bytes").write_text(f"{4 * GIB}\n")
    (point / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    mountinfo = f"33 25 0:29 / {point} rw shared:9 - cgroup cgroup rw,memory\n"
    proc = _proc(tmp_path, "9:name=systemd:/init\n4:memory:/jobs/one\n2:cpu:/elsewhere\n0::/\n", mountinfo)
    limit = available_memory(proc=proc)
    assert limit.bytes == 4 * GIB
    assert str(point / "jobs") in limit.why


def test_the_address_space_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (GIB, resource.RLIM_INFINITY))
    limit = available_memory(proc=_v2(tmp_path, {"memory.max": f"{2 * GIB}\n"}))
    assert limit == MemoryLimit(GIB, "address space limit (RLIMIT_AS) of 1,024 MiB")


def test_a_real_address_space_limit_is_seen() -> None:
    code = "from pipelines.memory import available_memory as a; print(a().bytes, a().why)"
    run = subprocess.run(
        ["sh", "-c", f'ulimit -v 400000; exec "{sys.executable}" -c "{code}"'],
        capture_output=True, text=True, check=True, timeout=20, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    amount, _, why = run.stdout.partition(" ")
    assert int(amount) <= 400_000 * 1024
    assert "RLIMIT_AS" in why or "cgroup" in why


def test_the_override_wins(tmp_path: Path) -> None:
    proc = _v2(tmp_path, {"memory.max": f"{GIB}\n"})
    assert available_memory(5 * GIB, proc=proc) == MemoryLimit(5 * GIB, "set by hand")
    with pytest.raises(ValueError, match="at least 1 byte, got 0"):
        available_memory(0)


def test_each_worker_has_its_share_of_what_is_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four fifths by the workers; the fifth that is left is for the program that has them."""
    proc = _v2(tmp_path, {"a/memory.max": f"{10 * GIB}\n"})
    assert share_of_memory(1, proc=proc).bytes == 8 * GIB
    assert share_of_memory(4, proc=proc) == MemoryLimit(
        2 * GIB, f"4/5 of 10,240 MiB by 4: cgroup limit of 10,240 MiB in {tmp_path / 'cgroup' / 'a'}"
    )
    assert share_of_memory(4, 5 * GIB, proc=proc) == MemoryLimit(GIB, "4/5 of 5,120 MiB by 4: set by hand")
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (3 * GIB, resource.RLIM_INFINITY))
    assert available_memory(proc=proc).bytes == 3 * GIB
    assert share_of_memory(4, proc=proc).bytes == 2 * GIB, "RLIMIT_AS is not shared: every process has it for itself"


def test_a_share_is_never_too_small_for_anything(tmp_path: Path) -> None:
    """64 CPUs and a container of 4 GiB: 51 MiB each would kill workers that only import something."""
    share = share_of_memory(64, proc=_v2(tmp_path, {"memory.max": f"{4 * GIB}\n"}))
    assert share.bytes == 256 << 20
    assert share.why.startswith("the least; 4/5 of 4,096 MiB by 64: cgroup limit")


def test_without_proc_the_system_is_asked(tmp_path: Path) -> None:
    expected = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory(proc=tmp_path / "none").bytes == expected
    broken = tmp_path / "meminfo"
    broken.write_text("MemTotal: many kB\n")
    assert available_memory(proc=tmp_path / "self").bytes == expected


def test_a_system_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    with pytest.raises(OSError, match="set the amount by hand"):
        available_memory(proc=tmp_path / "none")


@pytest.mark.parametrize("text", ["", "max", "-1", "0", "many", "1 2"])
def test_a_limit_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)
    assert read_limit(tmp_path, 2) is None
