"""`make crawl` and `make test` are the first two commands a person runs here, in either order."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine_runs import lines

ROOT = Path(__file__).parents[1]
CRAWL = [sys.executable, "-m", "crawler"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        port: int = listener.getsockname()[1]
        return port


def recipe(target: str) -> list[str]:
    """Return the one command of a target, its programs replaced by those of this checkout."""
    found = re.search(rf"^{target}:.*\n\t(.+)\n", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None, target
    return [word for part in shlex.split(found[1]) for word in (CRAWL if part == "$(BIN)/crawl" else [part])]


def test_make_crawl_crawls_the_demo_web_with_the_sample_config(tmp_path: Path) -> None:
    """As it stands in the Makefile, but for port, output directory and how long a retry waits."""
    port = free_port()
    command = recipe("crawl")
    assert command == [*CRAWL, "demo", "--run", *CRAWL, "sample_config.toml"]
    at = command.index("--run")
    out = tmp_path / "out"
    values = (f'job.seeds=["http://127.0.0.1:{port}/"]', f"job.out={json.dumps(str(out))}", "fetch.retry_delay=20ms")
    command = [*command[:at], "--port", str(port), *command[at:]]
    for value in values:
        command += ["--set", value]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "exit code 0: complete" in done.stdout
    assert str(out / "pages.jsonl") in done.stdout, "it says where the results are"
    pages = lines(out)
    assert len(pages) > 500
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["done"] + summary["redirected"] == len(pages)


def planned(venv: Path, target: str) -> str:
    """Return what make would do."""
    command = ["make", "--dry-run", "--no-print-directory", f"VENV={venv}", target]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout


@pytest.mark.parametrize(
    ("stamps", "target", "makes_venv", "installs"),
    [
        ([], "crawl", True, "."),
        ([], "lint", True, ".[test]"),
        ([".made"], "crawl", False, "."),
        ([".made", ".installed"], "crawl", False, None),
        ([".made", ".installed"], "lint", False, ".[test]"),
        ([".made", ".installed", ".testable"], "crawl", False, None),
        ([".made", ".installed", ".testable"], "lint", False, None),
    ],
)
def test_each_command_installs_what_it_needs_once(
    stamps: list[str], target: str, makes_venv: bool, installs: str | None, tmp_path: Path
) -> None:
    """Who wants to see a crawl does not wait for what only the tests need."""
    for name in stamps:
        (tmp_path / name).touch()
    plan = planned(tmp_path, target)
    assert ("-m venv" in plan) == makes_venv
    assert re.findall(r"pip install --quiet --editable '?(.+?)'?$", plan, re.MULTILINE) == (
        [installs] if installs else []
    )


def test_what_the_tests_install_is_enough_for_a_crawl(tmp_path: Path) -> None:
    assert f"touch {tmp_path}/.installed {tmp_path}/.testable" in planned(tmp_path, "lint")
