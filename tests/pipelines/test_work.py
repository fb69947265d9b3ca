"""What enters a worker with a batch, and what it leaves behind for the case that it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.page import Document, Page
from pipelines.pipeline import Pipeline, PipelineSpec
from pipelines.pipeline import process_batch as process_in_worker
from pipelines.work import MAX_NAME_BYTES, Address, Slate, process_batch

PAGE = Page(0, "http://a.test/", 200, (("content-type", "text/html"),), b"<title>x</title>", "2026-01-01T00:00:00Z")
seen: list[str] = []


def look(doc: Document) -> None:
    """Note what the slate says while this stage runs, which stands for any way of dying in it."""
    seen.append(slates[-1].read())


def nothing(doc: Document) -> None:
    """Do nothing."""


def close_all(doc: Document) -> None:
    """Close what is not its own."""
    ours = slates[-1].address.path.rpartition("/")[2]
    for fd in [*Path("/proc/self/fd").iterdir()]:
        if fd.name != ours and fd.is_symlink() and "memfd:stage-" in str(fd.readlink()):
            os.close(int(fd.name))


slates: list[Slate] = []


@pytest.fixture
def slate() -> Slate:
    slates.append(Slate())
    seen.clear()
    return slates[-1]


def spec(*stages: str) -> bytes:
    return PipelineSpec()._replace(options=Pipeline().spec.options._replace(stages=stages)).dumps()


def test_the_stage_is_written_before_it_begins(slate: Slate) -> None:
    assert slate.read() == ""
    (result,) = process_batch(spec(f"{__name__}:look"), [PAGE], slate.address)
    assert result.error is None
    assert seen == [f"{__name__}:look"]
    assert slate.read() == "links and record", "a shorter name leaves nothing of a longer one"
    slate.close()
    slate.close()


def test_only_the_page_under_suspicion_is_told_of() -> None:
    """The same worker, and the same pipeline, then has ordinary pages."""
    stages = spec(f"{__name__}:nothing")
    said: list[str] = []
    process_in_worker(stages, [PAGE], said.append)
    assert said == ["build", "decode", "parse", "hash", "verify", f"{__name__}:nothing", "links and record"]
    process_in_worker(stages, [PAGE])
    assert len(said) == 7


def test_a_long_name_is_cut(slate: Slate) -> None:
    name = f"{__name__}:{'x' * 5000}"
    globals()["x" * 5000] = long = lambda _doc: seen.append(slate.read())
    long.__qualname__ = "x" * 5000
    process_batch(spec(name), [PAGE], slate.address)
    assert seen == [name[:MAX_NAME_BYTES]]
    slate.close()


def test_a_path_that_is_somebody_elses_by_now_is_left_alone(slate: Slate, tmp_path: Path) -> None:
    """A number of a descriptor is used again, and on another machine it is another process's."""
    other = tmp_path / "precious"
    other.write_text("precious")
    for path in (str(other), "/nowhere", "", slate.address.path):
        (result,) = process_batch(spec(f"{__name__}:look"), [PAGE], Address(path, "stage-of-another"))
        assert result.error is None
    assert other.read_text() == "precious"
    assert slate.read() == ""
    slate.close()


def test_a_stage_that_closes_everything_costs_its_page_nothing(slate: Slate) -> None:
    (result,) = process_batch(spec(f"{__name__}:close_all"), [PAGE], slate.address)
    assert result.error is None
    slate.close()


def test_where_there_is_no_such_memory_the_stage_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")  # macOS
    slate = Slate()
    assert slate.read() == ""
    (result,) = process_batch(spec(), [PAGE], slate.address)
    assert result.error is None
    slate.close()


def test_a_worker_imports_nothing_more_for_it() -> None:
    """The fork server has not imported this module: what it costs, every worker pays."""
    code = (
        "import sys, pipelines.pipeline; before = {*sys.modules}; import pipelines.work\n"
        "print(*sorted({*sys.modules} - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], env=bare(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pipelines.work"]


def bare() -> dict[str, str]:
    """Return an environment for an interpreter without `site`, which would import half of this."""
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
