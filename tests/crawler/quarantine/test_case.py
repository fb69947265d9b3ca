"""A case holds all that is needed to run a page again, and nothing that runs by itself."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from crawler.frontier.scope import ScopeRules
from crawler.quarantine import keeper
from crawler.quarantine.case import CASE, Case, CaseError, environment, load, save
from crawler.quarantine.keeper import Quarantine
from crawler.quarantine.repro import find
from pipelines.batcher import LossCause, Lost
from pipelines.page import Page
from pipelines.stages.options import StageOptions


def a_case(body: bytes = b"\x00\xff<p>", detail: str = "worker 7 was killed by SIGSEGV") -> Case:
    page = Page(
        9, "http://example.org/x", 200, (("content-type", "text/html"), ("x", "\x80")), body, "2027-01-01T00:00:00Z",
        depth=3, via="http://example.org/", redirects=("http://example.org/old",), framing="close",
    )  # fmt: skip
    options = StageOptions(max_links=7, stages=("a.b:c",), outlinks="all")
    rules = ScopeRules(hosts=frozenset({"example.org"}), deny=("x+", r"\d"), allow_ports=frozenset({25}))
    return Case(page, options, rules, "crash", detail, "shop:price", 10.0, 1 << 30, environment())


def test_a_case_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    case = a_case()
    save(case, tmp_path / case.name, durable=True)
    again = load(tmp_path / case.name)
    assert again == case._replace(page=case.page._replace(id=0))
    assert again.spec().options == case.options
    assert [path.name for path in tmp_path.iterdir()] == [case.name], "nothing half-written is left"


def test_a_case_of_an_early_version_knows_neither_stage_nor_memory(tmp_path: Path) -> None:
    save(a_case(), tmp_path / "x", durable=False)
    told = orjson.loads((tmp_path / "x" / CASE).read_bytes())
    del told["stage"], told["memory"]
    (tmp_path / "x" / CASE).write_bytes(orjson.dumps(told))
    again = load(tmp_path / "x")
    assert (again.stage, again.memory) == ("", None)


def test_a_session_is_not_kept(tmp_path: Path) -> None:
    case = a_case()
    page = case.page._replace(headers=(("set-cookie", "session=mine"), *case.page.headers))
    save(case._replace(page=page), tmp_path / "x", durable=False)
    assert load(tmp_path / "x").page.headers == case.page.headers
    assert b"mine" not in (tmp_path / "x" / CASE).read_bytes()


def test_any_last_words_can_be_kept(tmp_path: Path) -> None:
    case = a_case(detail="\udcff\x00 and \u202e")
    save(case, tmp_path / "x", durable=False)
    assert load(tmp_path / "x").detail == "\\udcff\x00 and \u202e"


def test_the_same_page_is_one_case(tmp_path: Path) -> None:
    first, second = a_case(), a_case(detail="another death")
    assert first.name == second.name != a_case(body=b"another body").name
    save(first, tmp_path / "x", durable=False)
    save(second, tmp_path / "x", durable=False)
    assert load(tmp_path / "x").detail == first.detail


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cannot be read"),
        (b"{}", "version None"),
        (b'{"version": 99}', "version 99"),
        (b'{"version": 1}', "'page'"),
        (b'{"version": 1, "page": 1, "scope": 2}', "cannot be read as a case"),
    ],
)
def test_what_is_no_case_is_refused(content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / CASE).write_bytes(content)
    (tmp_path / "body").write_bytes(b"")
    with pytest.raises(CaseError, match=text):
        load(tmp_path)


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    save(a_case(), tmp_path / "x", durable=False)
    told = orjson.loads((tmp_path / "x" / CASE).read_bytes())
    told["options"]["later"] = 1
    (tmp_path / "x" / CASE).write_bytes(orjson.dumps(told))
    with pytest.raises(CaseError, match="later"):
        load(tmp_path / "x")


def test_finding_tells_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="holds none"):
        find("abc", tmp_path)
    save(a_case(), tmp_path / "quarantine" / "0123", durable=False)
    assert find("0123", tmp_path) == tmp_path / "quarantine" / "0123"
    assert find(str(tmp_path / "quarantine" / "0123"), Path("elsewhere")).is_dir()
    with pytest.raises(CaseError, match="there are 0123"):
        find("abc", tmp_path)


async def test_the_number_of_cases_is_bounded_over_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "MAX_CASES", 3)

    def make(page: Page, lost: Lost) -> Case:
        return a_case(page.body, lost.detail)

    async def keep(*bodies: bytes) -> list[str | None]:
        quarantine = Quarantine(tmp_path / "quarantine", make, durable=False)
        return [await quarantine.keep(a_case(body).page, Lost(LossCause.CRASH, "x")) for body in bodies]

    assert None not in await keep(b"1", b"2")
    kept = await keep(b"3", b"4")
    assert kept[0] is not None
    assert kept[1] is None
    assert len(list((tmp_path / "quarantine").iterdir())) == 3
