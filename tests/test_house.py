"""The rules of the house that no linter knows: small rooms, short functions, no error swallowed, every excuse told."""

from __future__ import annotations

import ast
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("crawler", "pipelines")
MAX_LINES = 400  # past this a concept is missing: find its name
MAX_FUNCTION_LINES = 55
CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def tracked() -> list[Path]:
    """Return every file of the repository; of the folder, where there is no repository."""
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if git.returncode == 0:
        found = [ROOT / name.decode() for name in git.stdout.split(b"\0") if name]
        return [path for path in found if path.is_file()]  # else removed and not committed yet
    return [*CODE, *(ROOT / "tests").rglob("*.py")]


def name_of(path: Path) -> str:
    """Return a path as it is named in the repository."""
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every module of the packages."""
    return {path: ast.parse(path.read_text("utf-8")) for path in CODE}


def test_no_room_is_too_large() -> None:
    sizes = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in CODE}
    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines from `def` to the end, without the docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_no_function_is_too_long(trees: dict[Path, ast.Module]) -> None:
    """Counted without its docstring and decorators."""
    found = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = length(node)
                if size > MAX_FUNCTION_LINES:
                    found[f"{name_of(path)}::{node.name}"] = size
    assert found == {}


def test_every_module_says_its_job_in_its_first_line() -> None:
    for path in CODE:
        text = path.read_text("utf-8")
        assert not text or text.startswith('"""'), name_of(path)
        assert not text or len(text.splitlines()[0]) > 15, name_of(path)


def broad(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches what it cannot know."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def silent(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler does nothing."""
    return all(isinstance(step, ast.Pass | ast.Continue) for step in handler.body)


def is_normal(handler: ast.ExceptHandler) -> bool:
    """Tell whether the exception is how a look-up misses or a socket has nothing: no error at all."""
    return isinstance(handler.type, ast.Name) and handler.type.id in ("KeyError", "BlockingIOError")


def test_no_error_is_swallowed(trees: dict[Path, ast.Module]) -> None:
    """Nobody catches everything and does nothing; whoever catches something and does nothing says why beside it."""
    wordless = []
    for path, tree in trees.items():
        lines = path.read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and silent(node) and not is_normal(node):
                passes = all(isinstance(step, ast.Pass) for step in node.body)
                assert not (broad(node) and passes), f"{name_of(path)}:{node.lineno}"
                text = "\n".join(lines[node.lineno - 1 : (node.end_lineno or node.lineno)])
                if "#" not in text:
                    wordless.append(f"{name_of(path)}:{node.lineno}")
    assert wordless == []


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments of a file with their lines."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


MIN_REASON = 3  # characters
EXCUSE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore(?:\[[\w, -]+\])?)")


def test_every_exception_from_a_rule_has_its_reason_beside_it() -> None:
    """`# noqa: S301 - never read from disk`, `# type: ignore[misc]  # the stubs are wrong`."""
    wordless = []
    for path in tracked():
        if path.suffix != ".py" or path.name == Path(__file__).name:
            continue
        for line, text in comments(path):
            if EXCUSE.match(text) and len(EXCUSE.sub("", text).strip(" -#")) <= MIN_REASON:
                wordless.append(f"{name_of(path)}:{line}: {text}")
    assert wordless == []


MACHINE = re.compile(r"(?<![\w.$}/-])/(?:work|tmp/venv|root|home/\w+|Users/\w+)(?:/|\b)")


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    for path in tracked():
        if path.name == Path(__file__).name:
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            assert MACHINE.search(line) is None, f"{name_of(path)}:{number}: {line.strip()[:100]}"


def test_text_ends_with_one_newline_and_has_no_trailing_blanks() -> None:
    for path in tracked():
        if path.suffix in (".py", ".md", ".toml", ".sh"):
            text = path.read_text("utf-8")
            assert not text or (text.endswith("\n") and not text.endswith("\n\n")), name_of(path)
            assert re.search(r"[ \t]+$", text, re.MULTILINE) is None, name_of(path)
            assert "\r" not in text, name_of(path)


def test_what_is_left_to_do_is_not_left_in_the_code() -> None:
    for path in CODE:
        for line, text in comments(path):
            assert re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text) is None, f"{name_of(path)}:{line}"
