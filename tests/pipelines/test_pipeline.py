"""The whole way of a page, in one process: records, reports, and what one bad page costs."""

from __future__ import annotations

import gc
import gzip
import importlib
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from pipelines import pipeline as module
from pipelines.errors import StageError
from pipelines.page import Document, Page, Processed
from pipelines.pipeline import Pipeline, PipelineSpec, StageOptions, process_batch
from tests.support.pages import a_page, admit_site, record, record_of, run

KEYS = [
    "schema", "url", "final_url", "status", "fetched_at", "depth", "via", "redirects", "headers",
    "content_type", "mime", "sniffed", "charset", "charset_source", "wire_bytes", "body_bytes", "sha256",
    "text_sha256", "simhash", "complete", "truncated", "title", "description", "lang", "canonical", "robots",
    "headings", "text", "outlinks", "flags", "timings", "duplicate_of",
]  # fmt: skip


@pytest.fixture
def user_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, importable as `shop`."""
    (tmp_path / "shop_stages.py").write_text(
        "def price(doc):\n    doc.record['price'] = len(doc.text or '')\n"
        "def fail(doc):\n    if 'bad' in (doc.text or ''):\n        raise RuntimeError('no\\udcffprice' * 200)\n"
        "def deep(doc):\n    return deep(doc)\n"
        "def full(doc):\n    raise MemoryError\n"
        "def steal(doc):\n    doc.record['url'] = 'x'\n"
        "def strange(doc):\n    doc.record['x'] = object()\n"
        "def surrogate(doc):\n    doc.record['x'] = ['\\ud800', {'\\udfff': ('a',)}]\n"
        "def swap(doc):\n    doc.title = 'swapped'\n    return doc\n"
        "def junk(doc):\n    return {'a': 1}\n"
        "def veto(doc):\n    doc.error = 'denied'\n    doc.detail = 'because'\n"
        "def leave(doc):\n    raise KeyboardInterrupt\n"
        "value = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "shop_stages", raising=False)
    return "shop_stages"


def with_stage(stage: str) -> StageOptions:
    return StageOptions(stages=(stage,))


def test_the_keys_of_a_record_and_their_order() -> None:
    """The order is part of the schema: the store fills in the last key without parsing the line."""
    processed = run(a_page("<p>x"))
    assert list(orjson.loads(processed.line)) == KEYS
    assert processed.line.endswith(b',"duplicate_of":null}')


def test_what_a_record_says() -> None:
    body = gzip.compress(b"<title>t</title><p>words")
    page = a_page(
        body, ("content-encoding", "gzip"), ("etag", '"a"'), ("set-cookie", "secret"), ("etag", '"b"'),
        depth=3, via="http://site.test/", redirects=("http://r.test/",), timings=(("fetch", 0.5),),
    )  # fmt: skip
    processed = run(page)
    found = record_of(processed)
    assert found["headers"] == {"etag": '"a", "b"'}
    assert (found["depth"], found["via"], found["redirects"]) == (3, "http://site.test/", ["http://r.test/"])
    assert (found["wire_bytes"], found["body_bytes"], found["timings"]) == (len(body), 24, {"fetch": 0.5})
    assert found["sha256"] == processed.sha256
    assert processed.digest == int.from_bytes(bytes.fromhex(found["sha256"])[:8], "big", signed=True)
    assert (processed.id, processed.body_bytes, processed.body) == (7, 24, None)
    assert run(page, StageOptions(store_body=True)).body == b"<title>t</title><p>words"


def test_an_undecodable_page_is_an_error_not_a_record() -> None:
    processed = run(a_page("x", ("content-encoding", "foo")))
    assert (processed.error, processed.line, processed.outlinks) == ("coding", b"", b"")
    assert "foo" in processed.detail


def test_bodies_beyond_the_cap_are_cut_and_their_links_kept() -> None:
    body = "<a href=first>1</a>" + "x" * 1000 + "<a href=last>2</a>"
    processed = run(a_page(body), StageOptions(max_body_bytes=500))
    found = record_of(processed)
    assert (found["truncated"], found["complete"], found["body_bytes"]) == ("max_body", False, 500)
    assert b"/folder/first" in processed.outlinks
    assert b"/folder/last" not in processed.outlinks


def test_gzip_that_nobody_declared() -> None:
    body = gzip.compress(b"<title>t</title>")
    found = record(body)
    assert (found["title"], found["flags"]) == ("t", ["coding_undeclared"])
    assert record(body, mime="application/gzip")["body_bytes"] == len(body)


def test_a_users_stage_adds_keys(user_stages: str) -> None:
    found = record("<p>12345", options=with_stage(f"{user_stages}:price"))
    assert found["price"] == 5
    assert list(found)[-2:] == ["price", "duplicate_of"]
    assert record("x", options=with_stage(f"{user_stages}:swap"))["title"] == "swapped"


def test_surrogates_of_a_stage_become_valid_utf8(user_stages: str) -> None:
    assert record("x", options=with_stage(f"{user_stages}:surrogate"))["x"] == ["?", {"?": ["a"]}]


def test_a_stage_may_refuse_a_page(user_stages: str) -> None:
    processed = run(a_page("x"), with_stage(f"{user_stages}:veto"))
    assert (processed.error, processed.detail) == ("denied", "because")


@pytest.mark.parametrize("name", ["deep", "full", "steal", "strange", "junk"])
def test_an_exception_costs_one_page(user_stages: str, name: str) -> None:
    processed = run(a_page("x"), with_stage(f"{user_stages}:{name}"))
    assert processed.error == ("parse_memory" if name == "full" else "parse_error")
    assert processed.line == processed.outlinks == b""
    assert processed.detail


def test_what_a_stage_returned_is_named(user_stages: str) -> None:
    processed = run(a_page("x"), with_stage(f"{user_stages}:junk"))
    assert processed.detail == "TypeError: stage junk returned a dict, expected a Document or None"


def test_a_bad_page_does_not_swallow_its_links(user_stages: str) -> None:
    """A link is reported once per worker; if the page that carried it failed, the next page must report it."""
    spec = PipelineSpec(with_stage(f"{user_stages}:fail"), admit_site)
    bad, good = a_page("<a href=x>bad</a>"), a_page("<a href=x>good</a>")
    first, second, third = process_batch(spec.dumps(), [bad, good, good])
    assert first.error == "parse_error"
    assert len(first.detail) == 500
    first.detail.encode()
    assert b"/folder/x" in second.outlinks
    assert third.outlinks == b""


def test_a_batch_that_never_arrives_takes_its_reports_back(user_stages: str) -> None:
    spec = PipelineSpec(with_stage(f"{user_stages}:price"), admit_site, nonce="interrupted").dumps()
    process_batch(spec, [])
    (pipeline,) = module._idle[spec]
    pipeline.stages.append(interrupt_on_bad)
    with pytest.raises(KeyboardInterrupt):
        process_batch(spec, [a_page("<a href=x>1</a>"), a_page("bad")])
    assert b"/folder/x" in process_batch(spec, [a_page("<a href=x>1</a>")])[0].outlinks


def interrupt_on_bad(doc: Document) -> None:
    if doc.text == "bad":
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nocolon", 'expected "package.module:function"'),
        (":f", "expected"),
        ("no_such_module_at_all:f", "cannot import no_such_module_at_all"),
        ("shop_stages:missing", "has no 'missing'"),
        ("shop_stages:value", "is a int, expected a callable"),
    ],
)
def test_a_stage_that_cannot_be_found_says_why(user_stages: str, name: str, message: str) -> None:
    with pytest.raises(StageError, match=f"stage '{name}'.*{message}"):
        Pipeline(PipelineSpec(with_stage(name)))


def test_a_pipeline_is_built_once_per_spec_and_few_are_kept() -> None:
    module._idle.clear()
    specs = [PipelineSpec(nonce=str(number)).dumps() for number in range(10)]
    for spec in specs:
        process_batch(spec, [])
    assert list(module._idle) == specs[-module.MAX_PIPELINES :]
    kept = module._idle[specs[-1]][0]
    process_batch(specs[-1], [])
    assert module._idle[specs[-1]] == [kept]


def test_a_new_run_reports_all_links_again() -> None:
    """A worker may outlive a run; what the last one reported means nothing to the next one."""
    page = a_page("<a href=x>1</a>")
    outlinks = [process_batch(PipelineSpec(admit=admit_site, nonce=n).dumps(), [page])[0].outlinks for n in "aba"]
    assert outlinks[0] == outlinks[1] != b""
    assert outlinks[2] == b""


def test_fingerprints_depend_on_the_jobs_key() -> None:
    page = a_page("<a href=x>1</a>")
    found = {
        Pipeline(PipelineSpec(admit=admit_site, fingerprint_key=key)).process(page).outlinks for key in (b"a", b"b")
    }
    assert len(found) == 2


def test_collecting_garbage_is_as_before_afterwards() -> None:
    spec = PipelineSpec().dumps()
    assert gc.isenabled()
    process_batch(spec, [a_page("x")])
    assert gc.isenabled()
    gc.disable()
    try:
        process_batch(spec, [a_page("x")])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_worker_imports_neither_the_loop_nor_the_client() -> None:
    """Start-up counts: a whole crawl may last less than a second."""
    code = (
        "import sys, pipelines.pipeline; "
        "print([m for m in ('asyncio', 'aiohttp', 'msgspec', 'rich', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_hostile_pages_cost_themselves() -> None:
    """No crash, no exception, bounded output; what hangs is the pool's to kill."""
    bodies: list[bytes] = [
        b"<div>" * 3000,
        b"<a href=x " + b" ".join(b"a%d=1" % n for n in range(3000)) + b">",
        b"<title>" + b"x" * 300_000,
        b"<script>" + b"x" * 300_000,
        b"\0" * 5000 + b"\xff\xfe\xfd",
        b"<a href='" + b"x" * 300_000 + b"'>",
        bytes(range(256)) * 100,
        b"<table><form><b><p></table></form><![CDATA[x]]><?pi ?><!x>",
    ]
    pages: list[Page] = [a_page(body) for body in bodies]
    results: list[Processed] = process_batch(PipelineSpec(admit=admit_site).dumps(), pages)
    for processed in results:
        record_of(processed)
