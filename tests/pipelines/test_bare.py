"""The pool and what stands on it import the standard library alone: not another package, also not one that is there.

The import contract of the same name knows the packages that somebody thought of; here is a bare interpreter.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = "The pool and what stands on it need the standard library only"

# A `try: import x` would hide a missing package, so whatever is looked for is written down, found or not.
PROGRAM = """
import importlib, pkgutil, sys

class Seen:
    names = set()

    def find_spec(self, name, path=None, target=None):
        self.names.add(name.partition(".")[0])

sys.meta_path.insert(0, Seen())
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(found.name)
own = {"pipelines", "org"}  # pickle looks for a class of Jython in `org`
print(*sorted(Seen.names - own - sys.stdlib_module_names))
"""


def contract() -> dict[str, list[str]]:
    """Return the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (found,) = (contract for contract in contracts if contract["name"] == CONTRACT)
    return {key: found[key] for key in ("source_modules", "forbidden_modules")}


def test_what_the_contract_covers_looks_for_no_other_package() -> None:
    modules = contract()["source_modules"]
    assert {"pipelines.pool", "pipelines.tasks", "pipelines.backends"} <= set(modules)
    run = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", PROGRAM, *modules],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr, run.stdout.split()) == (0, "", [])


@pytest.mark.parametrize("name", ["fastapi", "starlette", "uvicorn", "loky", "distributed", "dask", "celery", "anyio"])
def test_the_contract_names_the_frameworks_and_the_peers(name: str) -> None:
    """`lint-imports` says which import is to blame, and through which modules."""
    assert name in contract()["forbidden_modules"]


def test_the_contract_names_every_package_that_the_project_can_be_installed_with() -> None:
    """The tools, which are started and not imported, aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    tools = {"coverage", "hatchling", "import-linter", "mypy", "pytest-xdist", "ruff", "types-aiofiles"}
    names = {line.partition(">=")[0].strip() for line in lines} - tools
    assert {name.lower().replace("-", "_") for name in names} <= {
        name.lower() for name in contract()["forbidden_modules"]
    }
