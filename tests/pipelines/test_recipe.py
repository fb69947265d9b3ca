"""A pipeline from a TOML file: the same as the list, and each mistake told with file, entry, value, rule and remedy."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from pipelines.errors import StageError
from pipelines.pipeline import BUILT_IN, Pipeline, StageOptions, process_batch
from pipelines.pipeline import page_from_file as page

MODULE = """
made = 0

def price(doc):
    doc.record["price"] = float(doc.tree.css_first("b").text())

class Count:
    def __init__(self):
        global made
        made += 1
        self.seen = 0
    def __call__(self, doc):
        self.seen += 1
        doc.record["seen"] = self.seen

async def later(doc):
    pass
"""
WHOLE = ("decode", "parse", "hash_page", "verify", "recipe_shop:price", "recipe_shop:Count")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of stages and an HTML file."""
    (tmp_path / "recipe_shop.py").write_text(MODULE)
    (tmp_path / "tea.html").write_text("<title>Tea</title><p>Tea <b>4.50</b> EUR")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "recipe_shop", raising=False)
    importlib.invalidate_caches()
    return tmp_path


def recipe(*names: str) -> str:
    """Write a file; returns its name."""
    Path("stages.toml").write_text("".join(f'[[stage]]\nuse = "{name}"\n' for name in names))
    return "stages.toml"


def test_local_files_become_records() -> None:
    pipeline = Pipeline.from_toml(recipe(*WHOLE))
    records = [json.loads(pipeline.process_file("tea.html").line) for _ in range(2)]
    assert importlib.import_module("recipe_shop").made == 1, "a class is constructed once for each pipeline"
    assert [(record["title"], record["price"], record["seen"]) for record in records] == [
        ("Tea", 4.5, 1),
        ("Tea", 4.5, 2),
    ]


def test_it_is_the_list_with_the_same_names() -> None:
    """Names stay names, so that the spec travels; built-in stages are themselves, so that `options` reach them."""
    pipeline = Pipeline.from_toml(Path(recipe(*WHOLE)), options=StageOptions(max_text_chars=3))
    assert pipeline.spec.stages == (*BUILT_IN, *WHOLE[4:])
    (result,) = process_batch(pipeline.spec.dumps(), [page("tea.html")])
    assert json.loads(result.line)["text"] == "Tea"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[stage", "stages.toml: expected TOML"),
        ("", "stages.toml: stage: expected at least one [[stage]], got []"),
        ('stage = "parse"', "stages.toml: stage: expected at least one [[stage]], got 'parse'"),
        ("stage = [3]", "stages.toml: stage 1: expected a table, got 3"),
        ('[[stages]]\nuse = "parse"', "stages.toml: stages: expected nothing but [[stage]]"),
        ('[[stage]]\nuse = "parse"\n[[stage]]\nname = "x:y"', "stages.toml: stage 2: name: expected `use`"),
        ("[[stage]]\n", 'stages.toml: stage 1: use: expected "package.module:function" or one of decode, hash_page,'),
        ("[[stage]]\nuse = 7", "verify, got 7"),
        ('[[stage]]\nuse = "parser"', "got 'parser'"),
    ],
)
def test_what_is_wrong_in_the_file(text: str, told: str) -> None:
    Path("stages.toml").write_text(text)
    with pytest.raises(StageError) as caught:
        Pipeline.from_toml("stages.toml")
    assert told in str(caught.value)
    assert str(caught.value).endswith('; write [[stage]] and use = "package.module:function" for each stage')


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nobody_has_this:f", "cannot import nobody_has_this: .*; install it"),
        ("recipe_shop:prise", "has no 'prise'; did you mean 'price'"),
        ("recipe_shop:later", "is async, expected a plain function"),
    ],
)
def test_what_is_wrong_with_a_stage(name: str, told: str) -> None:
    with pytest.raises(StageError, match=f"^stages.toml: stage 2: use: stage '{name}': .*{told}"):
        Pipeline.from_toml(recipe("decode", name))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Pipeline.from_toml("nowhere.toml")
