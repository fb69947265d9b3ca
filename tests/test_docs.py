"""What the documents say is true: code runs, links lead somewhere, tables are those of the program."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from crawler.config import loads
from crawler.demo import command as demo_command
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo
from crawler.download import command as download_command
from crawler.download import verify_command
from crawler.download.fault import Fault
from crawler.download.proof.digests import parse_digest
from crawler.download.proof.discover import Claim, Trust
from crawler.download.values import Status, Wanted
from crawler.engine.files import file_record
from crawler.errors import ExitCode
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Request
from crawler.frontier.retry import CAUSES
from pipelines.page import Page
from pipelines.pipeline import Pipeline
from pipelines.url import CanonicalUrl
from tests.support.fake_downloads import result as file_result
from tests.support.served import ROOT, environment, served, write_config

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "packaging").glob("*/README.md")),
]
README = PAGES[0].read_text("utf-8")
RECORDS = (ROOT / "docs" / "records.md").read_text("utf-8")
OPTIONS_ONLY = {  # serve until they are told to stop, or fetch what is not there
    "demo": demo_command.add_arguments,
    "download": download_command.add_arguments,
    "verify": verify_command.add_arguments,
}
OUTSIDE = ("https://", "http://", "mailto:")


def name_of(page: Path) -> str:
    """Return a page's path, for the id of a test."""
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, *pages: Path) -> list[Any]:
    """Return the code blocks of a language with a name for each."""
    params = []
    for page in pages:
        found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        for number, text in enumerate(found, 1):
            params.append(pytest.param(text, id=f"{name_of(page)}-{number}"))
    return params


def table(name: str, text: str = RECORDS) -> list[list[str]]:
    """Return the rows of the table between `<!-- keys: name -->` and `<!-- end -->`."""
    match = re.search(rf"<!-- keys: {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert match is not None, f"no table {name}"
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in match[1].splitlines()]
    return rows[2:]


def first_column(name: str) -> list[str]:
    """Return the keys of a table."""
    return [row[0] for row in table(name)]


@pytest.fixture(scope="module")
def site() -> Iterator[DemoServer]:
    """120 pages and all the special ones."""
    with served(Demo(pages=120, crawl_delay_seconds=0, slow_seconds=0.02)) as server:
        yield server


@pytest.fixture(scope="module")
def crawled(site: DemoServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of a whole crawl."""
    folder = tmp_path_factory.mktemp("crawled")
    config = write_config(folder, site.url)
    run = subprocess.run(
        ["crawl", str(config), "--quiet", "--set", "output.bodies=true"],
        env=environment(folder),
        timeout=30,
        check=False,
    )
    assert run.returncode == 0
    return folder / "out"


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- links


def links(page: Path) -> list[tuple[str, str]]:
    """Return text and target of every link of a page, code left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: name_of(page))
def test_every_link_leads_to_something(page: Path) -> None:
    for text, target in links(page):
        if target.startswith(OUTSIDE):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"[{text}]({target})"
        if anchor and goal.suffix == ".md":
            assert anchor in anchors(goal), f"[{text}]({target})"


def test_every_document_can_be_found_from_the_readme() -> None:
    linked = {target.partition("#")[0] for _, target in links(ROOT / "README.md")}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def names_in(path: Path) -> set[str]:
    """Return the functions and methods a Python file defines."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: name_of(page))
def test_a_promise_leads_to_a_test_that_exists(page: Path) -> None:
    """`[`test_name`](file)` and `file::test_name` both name a test."""
    named = [(target, text.strip("`")) for text, target in links(page) if text.strip("`").startswith("test_")]
    named += re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text("utf-8"))
    for target, name in named:
        file = ROOT / target if target.startswith("tests/") else (page.parent / target).resolve()
        assert file.exists(), f"{target}::{name}"
        assert name in names_in(file), f"{target}::{name}"


def test_every_promise_of_the_readme_names_its_proof() -> None:
    match = re.search(r"\| promise \| proven by \|\n\|---\|---\|\n(.*?)\n\n", README, re.DOTALL)
    assert match is not None
    rows = match[1].splitlines()
    assert len(rows) > 8
    assert all(re.search(r"\[`test_\w+`\]\(tests/", row) for row in rows)


def test_paths_in_code_spans_exist() -> None:
    """A file that is named must be there: `crawler/store/ledger.py`."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for path in re.findall(r"`((?:crawler|pipelines|tests|benchmarks|examples|docs)/[\w./-]*)`", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


# -- code


@pytest.mark.parametrize("block", blocks("python", *PAGES))
def test_python_runs(block: str, site: DemoServer, tmp_path: Path) -> None:
    """Each block alone, in a process of its own, in a folder with configs for the demo."""
    for name in ("site", "other", "config"):
        write_config(tmp_path, site.url, f"{name}.toml", out=name)
    (tmp_path / "block.py").write_text(block)
    run = subprocess.run(
        [sys.executable, "-W", "error", "block.py"],
        cwd=tmp_path, env=environment(tmp_path), timeout=30, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("block", blocks("toml", *PAGES))
def test_toml_is_a_config(block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "session.txt").write_text("secret")
    (tmp_path / "session.txt").chmod(0o600)
    for name in ("TOKEN", "PASSWORD", "API_KEY", "SESSION"):
        monkeypatch.setenv(name, "secret")
    seeds = "" if "[job]" in block else '[job]\nseeds = ["https://example.org/"]\n'
    config = loads(seeds + block)
    assert config.job.seeds
    assert config.warnings == ()


def crawl_lines() -> list[Any]:
    """Return every `crawl` command of the shell blocks."""
    params = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["crawl"]:
                    params.append(pytest.param(words, id=" ".join([name_of(page), *words])))
    return params


@pytest.mark.parametrize("words", crawl_lines())
def test_commands_are_understood(words: list[str], site: DemoServer, tmp_path: Path) -> None:
    if words[1] in OPTIONS_ONLY:
        parser = ArgumentParser(exit_on_error=False)
        OPTIONS_ONLY[words[1]](parser)
        parser.parse_args(words[2:])
        return
    write_config(tmp_path, site.url)
    (tmp_path / "sample_config.toml").write_bytes((tmp_path / "site.toml").read_bytes())
    run = subprocess.run(
        [*words, *([] if words[1] in ("check", "schema") else ["--set", "job.max_pages=20"])],
        cwd=tmp_path, env=environment(tmp_path), timeout=30, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode in (ExitCode.COMPLETE, ExitCode.LIMIT), run.stderr


def test_queries_of_the_state_run(crawled: Path) -> None:
    (query,) = re.findall(
        r"^```sql\n(.*?)^```", (ROOT / "docs" / "state.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    url = lines(crawled / "pages.jsonl")[-1]["url"]
    db = sqlite3.connect(f"file:{crawled / 'state.sqlite3'}?immutable=1", uri=True)
    try:
        (row,) = db.execute(query.replace("https://example.org/some/page", url)).fetchall()
    finally:
        db.close()
    assert row[0] == url


# -- the record


def test_the_example_record_is_a_real_one() -> None:
    """Made again from the page of `crawl demo` that it is a record of; only what depends on the run is left out."""
    (shown,) = (json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", README, re.DOTALL | re.MULTILINE))
    demo = Demo(port=8642)
    host, _, target = shown["url"].removeprefix("http://").partition("/")
    answer = demo.answer(host.partition(":")[0], f"/{target}")
    headers = tuple((name.lower(), value) for name, value in answer.headers)
    headers += (("content-length", str(len(answer.body))),)
    page = Page(1, shown["url"], 200, headers, answer.body, shown["fetched_at"], shown["depth"], shown["via"])
    made = json.loads(Pipeline().process(page._replace(timings=tuple(shown["timings"].items()))).line)
    assert made["text"].startswith(shown["text"].removesuffix(" …"))
    assert list(shown) == list(made)
    assert {**shown, "text": None} == {**made, "text": None}


def test_the_keys_of_every_line_are_documented(crawled: Path) -> None:
    records = lines(crawled / "pages.jsonl")
    assert {tuple(record) for record in records if record["status"] < 300} == {tuple(first_column("page"))}
    assert {tuple(record) for record in records if record["status"] >= 300} == {tuple(first_column("redirect"))}
    assert {tuple(line) for line in lines(crawled / "errors.jsonl")} == {tuple(first_column("errors"))}
    assert {tuple(line) for line in lines(crawled / "skipped.jsonl")} == {tuple(first_column("skipped"))}


TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "text": (str,),
    "object": (dict,),
    "list": (list,),
    "list of text": (list, tuple),
    "list of objects": (list,),
    "true or false": (bool,),
    "null": (type(None),),
    "true": (bool,),
}


@pytest.mark.parametrize(
    ("name", "file"),
    [("page", "pages"), ("redirect", "pages"), ("errors", "errors"), ("skipped", "skipped")],
)
def test_values_have_the_documented_types(name: str, file: str, crawled: Path) -> None:
    kinds = {row[0]: row[1].removesuffix(" or null") for row in table(name)}
    nullable = {row[0] for row in table(name) if "null" in row[1]}
    for record in lines(crawled / f"{file}.jsonl"):
        if record.keys() != kinds.keys():
            continue  # a page where redirects are meant, or the other way round
        for key, value in record.items():
            if value is None:
                assert key in nullable, key
            else:
                assert type(value) in TYPES[kinds[key]], (key, value)


def test_the_record_of_a_file_is_documented() -> None:
    """Made here: a crawl with files has its own tests, which compare nothing with this page."""
    claim = Claim(parse_digest("sha256:" + "00" * 32), "config", Trust.CONFIGURED)
    request = Request(1, CanonicalUrl("https://a.test/x"), "a.test", redirects=("https://a.test/y",))
    wanted = Wanted(request.url, "a.test/x", claims=(claim,))
    for result in (file_result(wanted, verified_by=claim), file_result(wanted, status="failed", path=None, size=None)):
        record = file_record(request, result)
        kinds = {row[0]: row[1] for row in table("file")}
        assert list(record) == list(kinds)
        for key, value in record.items():
            kind = kinds[key].removesuffix(" or null")
            assert "null" in kinds[key] if value is None else isinstance(value, TYPES[kind]), (key, value)
    told = record["claims"]
    assert isinstance(told, list)
    assert list(told[0]) == ["digest", "source", "trust"]
    assert first_column("file status") == list(get_args(Status))
    elsewhere = {Fault.REDIRECT, Fault.INTERRUPTED, Fault.NO_SPACE, Fault.DISK}
    assert first_column("file reasons") == [fault.value for fault in Fault if fault not in elsewhere]


def test_the_summary_is_documented_and_adds_up(crawled: Path) -> None:
    summary = json.loads((crawled / "summary.json").read_text())
    assert list(summary) == first_column("summary")
    assert list(summary["run"]) == first_column("run")
    parts = ("done", "redirected", "failed", "skipped", "files", "pending")
    assert summary["discovered"] == sum(summary[key] for key in parts)
    assert summary["failed"] == len(lines(crawled / "errors.jsonl"))
    assert summary["skipped"] == len(lines(crawled / "skipped.jsonl"))
    assert summary["done"] + summary["redirected"] == len(lines(crawled / "pages.jsonl"))


def test_the_files_of_the_directory_are_documented(crawled: Path) -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", RECORDS.split("## Pages")[0], re.MULTILINE)
    assert {path.name + "/" * path.is_dir() for path in crawled.iterdir()} <= set(listed)


def test_a_body_is_where_its_digest_says(crawled: Path) -> None:
    record = next(record for record in lines(crawled / "pages.jsonl") if record.get("body_bytes"))
    digest = record["sha256"]
    assert (crawled / "bodies" / digest[:2] / digest[2:4] / digest).stat().st_size == record["body_bytes"]


def test_every_reason_is_documented_with_its_file_and_whether_it_is_tried_again() -> None:
    rows = {row[0]: row[1:3] for row in table("reasons")}
    assert list(rows) == [reason.value for reason in Reason]
    assert {Reason(name) for name, (_, again) in rows.items() if again == "yes"} == {
        reason for reason, cause in CAUSES.items() if cause.retries
    }
    order = [file for file, _ in rows.values()]
    assert order == sorted(order, reverse=True), "what is skipped, then what failed"
    assert rows["port_blocked"][0] == "skipped"
    assert rows["dns"][0] == "errors"


def test_every_reason_of_a_crawl_is_in_the_file_it_is_said_to_be_in(crawled: Path) -> None:
    files = {row[0]: row[1] for row in table("reasons")}
    for file in ("errors", "skipped"):
        found = {line["reason"] for line in lines(crawled / f"{file}.jsonl")}
        assert len(found) > 3, "the demo site has all kinds of trouble"
        assert {files[reason] for reason in found} == {file}


def test_every_flag_is_documented() -> None:
    """The flags are read from the source of the stages."""
    found: set[str] = set()
    for path in (ROOT / "pipelines" / "stages").glob("*.py"):
        source = path.read_text("utf-8")
        found |= set(re.findall(r"\bflags(?:\.append\(|\s*=\s*[^\n]*?)\"(\w+)\"", source))
        found |= set(re.findall(r"^DIGEST_MISMATCH = \"(\w+)\"", source, re.MULTILINE))
    assert sorted(found) == first_column("flags")


def test_every_kind_of_truncation_is_documented(crawled: Path) -> None:
    listed = set(first_column("truncated"))
    from_wire = {"content_length", "chunked", "max_wire_bytes"}
    assert listed == from_wire | {"max_body", "content_encoding"}
    assert {record.get("truncated") for record in lines(crawled / "pages.jsonl")} - {None} <= listed


# -- other tables


def test_every_exit_code_is_documented() -> None:
    for page in (README, (ROOT / "docs" / "operations.md").read_text("utf-8")):
        codes = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
        assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_the_layers_are_those_of_the_import_contracts() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["type"] == "layers":
            (package,) = contract["containers"]
            layers = [layer for layer in contract["layers"] if layer != "__main__"]
            assert f"{package:12}{' → '.join(layers)}\n" in text


def test_every_dependency_says_why_it_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["bench"]]
    names = [match[0] for name in wanted if (match := re.match(r"[\w-]+", name))]
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert listed == names


def test_tables_of_the_state_file_are_documented() -> None:
    text = (ROOT / "docs" / "state.md").read_text("utf-8")
    schema = (ROOT / "crawler" / "store" / "schema.py").read_text()
    tables = re.findall(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)\(", schema, re.MULTILINE)
    assert [row[0] for row in table("tables", text)] == tables
    states = re.search(r"^([A-Z, ]+) = range\(7\)", schema, re.MULTILINE)
    assert states is not None
    assert [row[1] for row in table("states", text)] == states[1].lower().split(", ")


def test_what_waits_for_a_measurement_has_its_place() -> None:
    for figures in ("speed", "scale", "lag", "faults", "downloads"):
        assert f"<!-- figures: {figures} -->" in README


def test_what_make_is_said_to_do_it_can_do() -> None:
    make = (ROOT / "Makefile").read_text()
    targets = {
        target for page in PAGES for target in re.findall(r"(?:^|`)make (\w+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert targets >= {"crawl", "test", "torture"}
    assert [target for target in targets if not re.search(rf"^{target}:", make, re.MULTILINE)] == []
