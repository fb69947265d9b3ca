"""Which keys a record has, and that nobody works for those that are left out."""

from __future__ import annotations

import orjson
import pytest

from pipelines.page import Document
from pipelines.pipeline import BUILT_IN, Pipeline
from pipelines.stages import hash as hash_stage
from pipelines.stages import parse as parse_stage
from pipelines.stages.options import ALWAYS_RECORDED, RECORD_FIELDS, StageOptions
from tests.support.pages import a_page, record, record_of, run

BODY = "<title>T</title><h1>Head</h1><p>some words of text</p><a href=/next>on</a><script>x</script>"


def test_a_record_has_all_keys_in_their_order() -> None:
    assert tuple(record(BODY)) == RECORD_FIELDS


def test_only_the_wanted_keys_are_written_in_the_same_order_with_the_same_values() -> None:
    whole = record(BODY)
    some = record(BODY, options=StageOptions(fields=("sha256", "title", "text", "outlinks")))
    assert tuple(some) == ("schema", "url", "status", "sha256", "title", "text", "outlinks", "duplicate_of")
    assert some == {name: whole[name] for name in some}


@pytest.mark.parametrize("name", sorted(set(RECORD_FIELDS) - ALWAYS_RECORDED))
def test_each_key_alone_is_what_it_is_among_all(name: str) -> None:
    whole = record(BODY)
    alone = record(BODY, options=StageOptions(fields=(name,)))
    assert alone.keys() == ALWAYS_RECORDED | {name}
    assert alone[name] == whole[name]


def test_links_are_followed_although_no_record_lists_them() -> None:
    some, whole = run(a_page(BODY), StageOptions(fields=("title",))), run(a_page(BODY))
    assert record_of(some).keys() == ALWAYS_RECORDED | {"title"}
    assert whole.outlinks
    assert orjson.loads(some.outlinks) == orjson.loads(whole.outlinks)


def test_what_no_key_needs_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_named: object) -> None:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(hash_stage, "simhash", never)
    assert "sha256" in record(BODY, options=StageOptions(fields=("sha256", "text", "text_sha256")))
    monkeypatch.setattr(parse_stage, "visible_text", never)
    assert record(BODY, options=StageOptions(fields=("sha256", "title")))["title"] == "T"
    processed = Pipeline(options=StageOptions(fields=("simhash",))).process(a_page(BODY))
    assert processed.detail == "AssertionError: nobody asked for it", "so it is asked where it is wanted"


def test_a_stage_of_the_users_sees_everything_and_no_key_becomes_free() -> None:
    seen: list[Document] = []
    fields = StageOptions(fields=("title",))
    line = record_of(Pipeline([*BUILT_IN, seen.append], options=fields).process(a_page(BODY)))
    assert line.keys() == ALWAYS_RECORDED | {"title"}
    (doc,) = seen
    assert doc.simhash is not None
    assert doc.text == "Head some words of text on"
    assert doc.headings == [(1, "Head")]
    assert doc.text_sha256 is not None
    assert doc.tree is not None

    def own(doc: Document) -> None:
        doc.record |= {"price": 1, "text": "mine"}

    processed = Pipeline([*BUILT_IN, own], options=fields).process(a_page(BODY))
    assert processed.error == "parse_error"
    assert "key 'text' belongs to the record itself" in processed.detail


def test_a_key_of_the_users_stage_is_written_beside_the_wanted_ones() -> None:
    def own(doc: Document) -> None:
        doc.record["price"] = 1

    line = record_of(Pipeline([*BUILT_IN, own], options=StageOptions(fields=("title",))).process(a_page(BODY)))
    assert tuple(line) == ("schema", "url", "status", "title", "price", "duplicate_of")
