"""Stages of the user: lists of callables, names in a config, and what each mistake is told."""

from __future__ import annotations

import functools
import importlib
import pickle
import sys
from pathlib import Path

import orjson
import pytest

from pipelines.errors import StageError
from pipelines.page import Document
from pipelines.pipeline import BUILT_IN, Pipeline, decode, hash_page, parse, process_batch, verify
from pipelines.spec import PipelineSpec
from pipelines.stages.options import StageOptions
from pipelines.stages.user import as_stage, load_stage
from tests.support.pages import a_page, record_of

MODULE = """
import functools

made = []

def price(doc):
    doc.record["price"] = len(doc.text or "")

def second(doc, *, currency="EUR"):
    doc.record["currency"] = currency

class Count:
    def __init__(self, start=0):
        made.append(self)
        self.start = start
    def __call__(self, doc):
        doc.record["made"] = len(made)

class NeedsArguments:
    def __init__(self, currency): ...
    def __call__(self, doc): ...

class Breaks:
    def __init__(self):
        raise OSError("no dictionary")
    def __call__(self, doc): ...

class NotCallable: ...

class Waits:
    async def __call__(self, doc): ...

async def fetch(doc): ...
async def fetch_many(doc):
    yield doc
def produce(doc):
    yield doc
def two(doc, currency): ...
def none(): ...
bound = functools.partial(two, currency="EUR")
late = functools.partial(fetch)
value = 3
nothing = None
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's."""
    (tmp_path / "own_shop.py").write_text(MODULE)
    (tmp_path / "own_needs.py").write_text("import a_library_that_nobody_has\n")
    (tmp_path / "own_raises.py").write_text("raise ValueError('at import')\n")
    (tmp_path / "own_ends.py").write_text("import sys\nsys.exit(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    for name in ("own_shop", "own_needs", "own_raises", "own_ends"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "own_shop"


def add_length(doc: Document) -> None:
    doc.record["length"] = len(doc.text or "")


def titles_in_tree(doc: Document) -> None:
    doc.record["titles"] = len(doc.tree.css("title")) if doc.tree is not None else None


class Numbered:
    """Counts its pages."""

    def __init__(self) -> None:
        self.pages = 0

    def __call__(self, doc: Document) -> None:
        self.pages += 1
        doc.record["number"] = self.pages


PAGE = a_page("<title>t</title><p>12345 <a href=x>x</a>")


def test_a_list_of_callables_is_a_pipeline() -> None:
    found = record_of(Pipeline([decode, parse, hash_page, verify, add_length, titles_in_tree]).process(PAGE))
    assert (found["title"], found["length"], found["titles"]) == ("t", len("12345 x"), 1)
    assert found["sha256"]


def test_the_built_in_stages_are_those_of_an_empty_list_of_wishes() -> None:
    assert Pipeline().process(PAGE) == Pipeline(BUILT_IN).process(PAGE) == Pipeline(PipelineSpec()).process(PAGE)


def test_options_reach_the_built_in_stages_of_a_list() -> None:
    options = StageOptions(max_text_chars=3, outlinks="none")
    found = record_of(Pipeline([decode, parse], options=options).process(PAGE))
    assert (found["text"], found["outlinks"], found["sha256"]) == ("123", [], "")


def test_stages_named_by_the_options_come_last(shop: str) -> None:
    pipeline = Pipeline([*BUILT_IN, add_length], options=StageOptions(stages=(f"{shop}:price",)))
    assert list(record_of(pipeline.process(PAGE)))[-3:] == ["length", "price", "duplicate_of"]


def test_the_built_in_stages_work_alone_too() -> None:
    doc = Document(PAGE)
    for stage in BUILT_IN:
        stage(doc)
    assert (doc.title, doc.links[0].url) == ("t", "http://site.test/folder/x")
    assert doc.tree is not None


def test_a_pipeline_travels_as_its_spec(shop: str) -> None:
    """Functions go by name, a class is constructed where it arrives, once."""
    pipeline = Pipeline([*BUILT_IN, add_length, Numbered, f"{shop}:price"])
    first, second = process_batch(pipeline.spec.dumps(), [PAGE, PAGE])
    assert record_of(first)["length"] == record_of(second)["price"] == 7
    assert (record_of(first)["number"], record_of(second)["number"]) == (1, 2)
    assert pickle.loads(pipeline.spec.dumps()) == pipeline.spec


def test_a_class_is_constructed_once_for_all_pages(shop: str) -> None:
    pipeline = Pipeline(options=StageOptions(stages=(f"{shop}:Count",)))
    assert [record_of(pipeline.process(PAGE))["made"] for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["price", "second", "Count", "bound"])
def test_what_can_be_called_with_a_document_is_a_stage(shop: str, name: str) -> None:
    assert load_stage(f"{shop}:{name}")(Document(PAGE)) is None


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("shop", 'expected "package.module:function"', "a colon"),
        ("no_such_module_at_all:f", "cannot import no_such_module_at_all", "PYTHONPATH"),
        ("no_such.module.at_all:f", "cannot import no_such.module.at_all", "PYTHONPATH"),
        ("own_needs:f", "cannot import own_needs", "imports a_library_that_nobody_has, which is not installed"),
        ("own_raises:f", "cannot import own_raises: ValueError: at import", "belongs under `__main__`"),
        ("own_ends:f", "cannot import own_ends: SystemExit: 2", "belongs under `__main__`"),
        ("own_shop:prize", "module own_shop has no 'prize'", "did you mean 'price'"),
        ("own_shop:xyzzy", "module own_shop has no 'xyzzy'", "define it at the top level"),
        ("own_shop:Count.go", "module own_shop has no 'Count.go'", "did you mean 'Count'"),
        ("own_shop:value", "is a int, expected a callable", "def stage(doc)"),
        ("own_shop:nothing", "is a NoneType, expected a callable", "def stage(doc)"),
        ("own_shop:NotCallable", "is a NotCallable, expected a callable", "def __call__(self, doc)"),
        ("own_shop:NeedsArguments", "constructed without arguments, but: missing", "give its parameters defaults"),
        ("own_shop:Breaks", "Breaks() raised OSError: no dictionary", "has to work in each worker"),
        ("own_shop:fetch", "is async, expected a plain function", "await where the records arrive"),
        ("own_shop:fetch_many", "is async", "await where the records arrive"),
        ("own_shop:late", "is async", "await where the records arrive"),
        ("own_shop:Waits", "is async", "await where the records arrive"),
        ("own_shop:produce", "is a generator, whose body would never run", "return instead of `yield`"),
        ("own_shop:two", "has the parameters (doc, currency)", "functools.partial"),
        ("own_shop:none", "has the parameters (), expected to be called with one Document", "functools.partial"),
        ("own_shop:Count.__call__", "has the parameters (self, doc)", "functools.partial"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(shop: str, name: str, problem: str, remedy: str) -> None:
    with pytest.raises(StageError) as caught:
        load_stage(name)
    text = str(caught.value)
    assert text.startswith(f"stage {name!r}: ")
    assert problem in text
    assert remedy in text


def test_callables_of_a_list_are_checked_like_named_ones() -> None:
    async def wait(doc: Document) -> None: ...

    with pytest.raises(StageError, match=r"wait': is async"):
        Pipeline([wait])
    with pytest.raises(StageError, match="stage 'int': is a int, expected a callable"):
        Pipeline([3])
    bound: object = functools.partial(pickle.dumps)
    assert as_stage(bound) is bound


@pytest.mark.parametrize("stages", ["shop:price", add_length])
def test_a_single_stage_is_no_list(stages: object) -> None:
    with pytest.raises(StageError, match=r"stages: expected a list of stages, got .*; write \[\*BUILT_IN, "):
        Pipeline(stages)  # type: ignore[arg-type]  # on purpose


def test_options_beside_a_spec_are_refused() -> None:
    with pytest.raises(StageError, match="the spec has its own"):
        Pipeline(PipelineSpec(), options=StageOptions())


def test_a_stage_that_cannot_travel_says_so() -> None:
    with pytest.raises(StageError, match=r"<lambda>': cannot be pickled .*define it at the top level of a module"):
        Pipeline([*BUILT_IN, lambda doc: None]).spec.dumps()


def test_a_stage_of_the_script_that_was_started_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(add_length, "__module__", "__main__")
    with pytest.raises(StageError, match="'add_length': defined in the script that was started, which workers do not"):
        Pipeline([add_length]).spec.dumps()


def test_what_else_cannot_be_pickled_is_not_blamed_on_a_stage() -> None:
    spec = PipelineSpec(admit=lambda url: "no", stages=(add_length,))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        spec.dumps()


def test_a_file_is_processed_like_a_page(tmp_path: Path) -> None:
    file = tmp_path / "a page.html"
    file.write_text("<title>t</title><p>12345 <a href=b.html>b</a>")
    line = Pipeline().process_file(file).line
    found = orjson.loads(line)
    assert (found["title"], found["url"], found["complete"], found["flags"]) == ("t", file.as_uri(), True, [])
