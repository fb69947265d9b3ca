"""html5lib's encoding tests: which encoding a byte stream is in, and that its text comes out right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.stages.charset import detect
from pipelines.stages.labels import decode
from tests.support.pages import record

pytestmark = pytest.mark.conformance


def cases(path: Path) -> list[tuple[bytes, str]]:
    found = []
    for chunk in path.read_bytes().split(b"#data\n")[1:]:
        body, _, encoding = chunk.rpartition(b"#encoding\n")
        found.append((body.removesuffix(b"\n"), encoding.split()[0].decode().lower()))
    return found


@pytest.mark.parametrize("name", ["tests1.dat", "tests2.dat", "test-yahoo-jp.dat"])
def test_declared_encodings_are_found(data: Path, name: str) -> None:
    found = cases(data / "encoding" / name)
    assert found
    wrong = [(body[:200], want, detect(body, None, html=True)) for body, want in found if not agrees(body, want)]
    assert wrong == []


def agrees(body: bytes, want: str) -> bool:
    name, source = detect(body, None, html=True)
    # Where nothing is declared, the tests expect windows-1252; we say UTF-8 if it can be nothing else.
    return name.lower() == want or (source == "utf8" and want == "windows-1252")


def test_scripted_encodings(data: Path) -> None:
    pytest.skip("encoding/scripted needs a browser: the page writes its own <meta>")


def test_big5_text_is_readable_when_declared(data: Path) -> None:
    body = (data / "encoding/chardet/test_big5.txt").read_bytes()
    text = decode(body, "Big5")
    assert "\ufffd" not in text
    assert "老子" in text or "道" in text
    assert record(body, mime="text/plain; charset=big5-hkscs")["charset"] == "Big5"


def test_the_title_of_a_japanese_page_is_japanese(data: Path) -> None:
    body = cases(data / "encoding/test-yahoo-jp.dat")[0][0]
    page = record(body)
    assert (page["charset"], page["charset_source"]) == ("EUC-JP", "meta")
    assert page["title"] == "Yahoo! JAPAN"
