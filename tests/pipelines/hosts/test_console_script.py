"""From a console script that pip generated, in a fresh environment that holds nothing but the standard library."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.pipelines.hosts.conftest import HERE, ROOT

Gone = Callable[[Iterable[int]], None]

MODULE = """
import asyncio
import json
import sys

import host_work

def main():
    found = host_work.through_a_pool()
    found["default"] = asyncio.run(host_work.through_the_default_pool())
    found["foreign"] = [name for name in ("aiohttp", "msgspec", "orjson", "uvloop") if name in sys.modules]
    print(json.dumps(found))
    return 3
"""


def wheel(folder: Path) -> Path:
    """Build a wheel by hand: a module, its metadata, and an entry point."""
    info = "tiny_tool-1.0.dist-info"
    files = {
        "tiny_tool.py": MODULE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-tool\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntiny-tool = tiny_tool:main\n",
    }
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    path = folder / "tiny_tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_a_generated_console_script_without_any_dependency(tmp_path: Path, gone: Gone) -> None:
    """Its `__main__` imports the tool and ends: workers must not run it, nor need a guard in it."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=60)
    python = home / "bin" / "python"
    install = [
        sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps",
        "--disable-pip-version-check", str(wheel(tmp_path)),
    ]  # fmt: skip
    subprocess.run(install, check=True, timeout=60)
    script = home / "bin" / "tiny-tool"
    assert "sys.exit(main())" in script.read_text()
    done = subprocess.run(
        [script],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, ""), done.stderr
    found = json.loads(done.stdout)
    assert (found["values"], found["crashed"], found["late"]) == ([12, 1, 2, 3], True, True)
    assert (found["default"]["values"], found["default"]["in_worker"]) == ([9, 10], 7)
    assert found["foreign"] == []
    gone([*found["workers"], *found["default"]["workers"]])
