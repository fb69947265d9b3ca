"""`pipelines` alone: a distribution without crawler and requirements, and what runs where nothing else is installed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = ROOT / "packaging" / "pipelines"

pytestmark = pytest.mark.skipif(not HERE.exists(), reason="a source distribution of crawlmill is without it")

PROGRAM = """
import asyncio, json, math, os, re, sys
from importlib.metadata import distributions
from importlib.util import find_spec

import pipelines.backends, pipelines.in_worker, pipelines.stream, pipelines.threads
from pipelines.cpu import run_blocking, run_cpu_async
from pipelines.pool.outcome import Status
from pipelines.pool.pool import WorkerPool
from pipelines.tasks import BackgroundTaskManager, TaskContext, lifespan, task

@task(name="roots", cpu_bound=True)
async def roots(context: TaskContext):
    context.ready()
    found.append(await context.run_cpu(math.isqrt, 144))

found = []

async def main():
    async with WorkerPool(2, memory_limit=256 << 20) as pool:
        found.append(await pool.run(math.isqrt, 81))
        outcomes = [await pool.limited(deadline=0.5).outcome(re.fullmatch, "(a+)+", "a" * 60 + "!"),
                    await pool.outcome(os._exit, 3)]
    found.extend(outcome.status is status for outcome, status in zip(outcomes, (Status.TIMEOUT, Status.CRASH)))
    found.append(await run_cpu_async(math.isqrt, 100))
    found.append(await run_blocking(math.isqrt, 121))
    manager = BackgroundTaskManager(roots)
    async with lifespan(manager)(None):
        while len(found) < 6:
            await asyncio.sleep(0.01)

asyncio.run(main())
own = {"__main__", "pipelines"} | sys.stdlib_module_names
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({
    "found": found,
    "foreign": sorted(name for name in loaded - own if not name.startswith("_")),
    "crawler": find_spec("crawler") is not None,
    "home": os.path.dirname(pipelines.backends.__file__),
    "installed": sorted(distribution.name for distribution in distributions()),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as pip builds it; without the network where hatchling is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-build-isolation"] if find_spec("hatchling") else []
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", *offline]
    subprocess.run([*build, "--wheel-dir", str(folder), str(HERE)], check=True, timeout=240)
    (found,) = folder.glob("*.whl")
    return found


def metadata(wheel: Path) -> Message:
    """Return what the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def project(folder: Path) -> dict[str, Any]:
    """Return the `[project]` of a folder."""
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def test_it_requires_nothing_and_has_the_version_of_the_crawler(wheel: Path) -> None:
    told = metadata(wheel)
    assert told["Name"] == "crawlmill-pipelines"
    assert told["Version"] == project(ROOT)["version"]
    required = told.get_all("Requires-Dist") or []
    assert [line for line in required if "extra ==" not in line] == []
    assert told.get_all("Provides-Extra") == ["stages"]


def test_it_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (license_,) = (name for name in names if name.endswith("LICENSE"))
        assert archive.read(license_) == (ROOT / "LICENSE").read_bytes()
    inside = {name for name in names if ".dist-info/" not in name}
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipelines").rglob("*.py")}
    assert inside == tree | {"pipelines/py.typed"}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def test_the_extra_is_what_the_stages_import() -> None:
    """With the versions that the crawler asks for: one place would otherwise lag behind."""
    wanted = set(project(HERE)["optional-dependencies"]["stages"])
    assert wanted <= set(project(ROOT)["dependencies"])
    foreign = {name for path in (ROOT / "pipelines").rglob("*.py") for name in imported(path)}
    foreign -= sys.stdlib_module_names | {"pipelines"}
    assert foreign == {line.partition(">=")[0].replace("-", "_") for line in wanted}


def test_the_pool_the_calls_and_the_tasks_run_where_nothing_else_is_installed(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = str(home / "bin" / "python")
    install = [
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps",
        "--disable-pip-version-check", str(wheel),
    ]  # fmt: skip
    subprocess.run(install, check=True, timeout=60)
    (tmp_path / "program.py").write_text(PROGRAM)
    run = subprocess.run(
        [python, "-W", "error", "program.py"],
        cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    told = json.loads(run.stdout)
    assert told["found"] == [9, True, True, 10, 11, 12]
    assert told["foreign"] == []
    assert told["crawler"] is False
    assert told["installed"] == ["crawlmill-pipelines"]
    assert Path(told["home"]).is_relative_to(home)
