"""The number of CPUs follows affinity and every cgroup quota on the way to the root; pure parsing on fake trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.cpus import available_cpus, read_quota


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine of these tests have eight CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


def _proc(folder: Path, cgroup: str, mountinfo: str) -> Path:
    proc = folder / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text(mountinfo)
    return proc


def _v2(tmp_path: Path, quotas: dict[str, str], path: str = "/a/b", root: str = "/") -> Path:
    point = tmp_path / "cgroup"
    for folder, text in quotas.items():
        (point / folder).mkdir(parents=True, exist_ok=True)
        (point / folder / "cpu.max").write_text(text)
    return _proc(tmp_path, f"0::{path}\n", f"30 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw\n")


def test_without_quota_the_affinity_counts(tmp_path: Path) -> None:
    limit = available_cpus(proc=_v2(tmp_path, {"a/b": "max 100000\n"}))
    assert (limit.count, limit.why) == (8, "CPU affinity of this process")


def test_a_fraction_is_rounded_up(tmp_path: Path) -> None:
    limit = available_cpus(proc=_v2(tmp_path, {"a/b": "150000 100000\n"}))
    assert limit.count == 2
    assert "1.5 CPUs" in limit.why


def test_less_than_one_cpu_is_one_worker(tmp_path: Path) -> None:
    assert available_cpus(proc=_v2(tmp_path, {"a/b": "5000 100000\n"})).count == 1


def test_the_smallest_quota_on_the_path_counts(tmp_path: Path) -> None:
    proc = _v2(tmp_path, {"a": "300000 100000\n", "a/b": "500000 100000\n"})
    assert available_cpus(proc=proc).count == 3


def test_a_quota_above_the_affinity_changes_nothing(tmp_path: Path) -> None:
    assert available_cpus(proc=_v2(tmp_path, {"a/b": "6400000 100000\n"})).count == 8


def test_the_override_wins(tmp_path: Path) -> None:
    limit = available_cpus(5, proc=_v2(tmp_path, {"a/b": "100000 100000\n"}))
    assert (limit.count, limit.why) == (5, "set by hand")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        available_cpus(0)


def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    """Without a cgroup namespace the path in /proc does not exist below the mount point."""
    proc = _v2(tmp_path, {"": "200000 100000\n"}, path="/docker/0123", root="/docker/0123")
    assert available_cpus(proc=proc).count == 2
    proc.joinpath("cgroup").write_text("0::/somewhere/else\n")
    assert available_cpus(proc=proc).count == 2
    proc.joinpath("cgroup").write_text("0::/../outside\n")
    assert available_cpus(proc=proc).count == 2


def test_version_1(tmp_path: Path) -> None:
    point = tmp_path / "cpu,cpuacct"
    (point / "jobs").mkdir(parents=True)
    (point / "jobs" / "cpu.cfs_quota_us").write_text("250000\n")
    (point / "jobs" / "cpu.cfs_period_us").write_text("100000\n")
    (point / "cpu.cfs_quota_us").write_text("-1\n")
    (point / "cpu.cfs_period_us").write_text("100000\n")
    mountinfo = f"33 25 0:29 / {point} rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n34 25 0:30 / /x rw - tmpfs t rw\n"
    proc = _proc(tmp_path, "4:cpu,cpuacct:/jobs\n1:name=systemd:/init\n", mountinfo)
    assert available_cpus(proc=proc).count == 3


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert available_cpus(proc=tmp_path).count == 8
    assert available_cpus(proc=_proc(tmp_path, "garbage", "more garbage\n- - -\n")).count == 8


def test_no_affinity_on_this_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cpus(proc=tmp_path).count == 6


@pytest.mark.parametrize("text", ["", "max", "x 100000", "100000 0", "0 100000", "1 2 3"])
def test_a_quota_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert read_quota(tmp_path, 2) is None
