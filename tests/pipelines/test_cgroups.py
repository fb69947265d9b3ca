"""Where the limits of a process are to be read: pure parsing of what the kernel says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pipelines.cgroups import Mount, folders, parse_cgroup, parse_mounts


def test_mount_points_are_unescaped() -> None:
    text = "30 23 0:26 / /mnt/with\\040space rw shared:4 master:1 - cgroup2 none rw\n"
    assert parse_mounts(text, "cpu") == [Mount(2, PurePosixPath("/"), Path("/mnt/with space"))]


def test_folders_go_from_the_inside_to_the_mount_point() -> None:
    mount = Mount(2, PurePosixPath("/"), Path("/sys/fs/cgroup"))
    assert folders(mount, PurePosixPath("/a/b")) == [
        Path("/sys/fs/cgroup/a/b"),
        Path("/sys/fs/cgroup/a"),
        Path("/sys/fs/cgroup"),
    ]


def test_hybrid_hierarchies_are_both_read() -> None:
    text = "3:cpu:/one\n0::/two\n"
    assert parse_cgroup(text, "cpu") == {1: PurePosixPath("/one"), 2: PurePosixPath("/two")}


def test_each_controller_of_version_1_has_a_hierarchy_of_its_own() -> None:
    text = "4:memory:/one\n3:cpu,cpuacct:/two\n"
    assert parse_cgroup(text, "memory") == {1: PurePosixPath("/one")}
    mountinfo = "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n32 31 0:29 / /c rw - cgroup cgroup rw,cpu,cpuacct\n"
    assert parse_mounts(mountinfo, "memory") == [Mount(1, PurePosixPath("/"), Path("/m"))]
    assert parse_mounts(mountinfo, "cpu") == [Mount(1, PurePosixPath("/"), Path("/c"))]
