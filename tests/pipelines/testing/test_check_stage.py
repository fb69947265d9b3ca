"""check_stage passes what is good and catches, for each rule, a stage that breaks it."""

from __future__ import annotations

import bad_stages
import pytest

from pipelines.page import Document
from pipelines.testing import check_stage
from pipelines.testing import stage as module
from pipelines.testing.hostile import a_page


@pytest.mark.parametrize("stage", [bad_stages.good, bad_stages.Good, bad_stages.Good(), "bad_stages:refuses"])
def test_good_stages_pass_and_are_timed(stage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them under every rule; of the others, it is their form that is tried."""
    if stage is not bad_stages.good:
        monkeypatch.setattr(module, "PROCESSES", 1)
        monkeypatch.setattr(module, "_keeps_no_state", lambda stage, name: None)
    report = check_stage(stage, [a_page(b"<title>mine</title>", number=7)])
    assert report.pages > 40
    assert 0 < report.median_seconds <= report.slowest_seconds
    assert f"{report.pages} pages" in str(report)


@pytest.mark.parametrize(
    ("stage", "rule", "case", "remedy"),
    [
        ("takes_two", "can be called with one Document", "takes_two", "functools.partial"),
        ("waits", "can be called with one Document", "async", "await where the records arrive"),
        ("NeedsArguments", "can be called with one Document", "currency", "defaults"),
        ("no_such", "can be called with one Document", "has no 'no_such'", "define it"),
        ("needs_html", "survives every page", "AssertionError", "expect None"),
        ("trusts_json", "survives every page", "deep JSON: RecursionError", "doc.error"),
        ("hangs", "ends within", '1 MiB of "<"', "regular expression"),
        ("dies", "leaves its process alive", "empty", "recursion"),
        ("returns_number", "returns None or a Document", "returned a int", "return nothing"),
        ("replaces_page", "leaves the Page as it is", "doc.page is another one", "doc.record"),
        ("prints", "does not print", "found https://hostile.example/", "logging"),
        ("prints_below_python", "does not print", "'found'", "logging"),
        ("tells_on_stderr", "does not print", "'found'", "logging"),
        ("counts", "the same of the same page", '"number":', "earlier pages"),
        ("clock", "the same of the same page", '"seen_at":', "clocks"),
        ("unordered", "the same of the same page", '"words":', "sort what comes out of a set"),
        ("puts_objects", "can be written as a record", "object", "JSON values"),
        ("steals_key", "can be written as a record", "'title' belongs to the record", "keys"),
        ("hoards", "keeps no state that grows", "250 further pages", "bound"),
    ],
)
def test_each_rule_catches_who_breaks_it(
    stage: str, rule: str, case: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stage == "hangs":
        monkeypatch.setattr(module, "SECONDS", 1.0)  # the others may be slow where many want the same cores
    with pytest.raises(AssertionError) as caught:
        check_stage(f"bad_stages:{stage}")
    told = dict(line.strip().split(": ", 1) for line in str(caught.value).splitlines()[:3])
    assert rule in told["rule"]
    assert case in told["case"]
    assert stage in told["case"]
    assert remedy in told["remedy"]


def test_a_stage_that_only_this_process_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(doc: Document) -> None: ...

    with pytest.raises(AssertionError, match=r"travels to workers by its name(.|\n)*nested(.|\n)*top level"):
        check_stage(nested)
    monkeypatch.setattr(bad_stages.good, "__module__", "__main__")
    with pytest.raises(AssertionError, match="good is defined in the script that was started"):
        check_stage(bad_stages.good)


def test_pages_of_ones_own_are_checked_too() -> None:
    """The guilty page is named."""
    pages = [a_page(b"<title>fine</title>"), a_page(b'<script type="application/ld+json">{</script>', number=3)]
    with pytest.raises(AssertionError, match=r"page 1 of yours, https://hostile\.example/page/3: JSONDecodeError"):
        check_stage("bad_stages:trusts_short_json", pages)
