"""The special URLs are what their names say: checked with other people's decoders."""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64decode

import brotli
import pytest
import zstandard

from crawler.demo.cases.case import Case
from crawler.demo.site import Answer, Demo, Kind, Limits

DEMO = Demo(pages=10, faults=True)
CATALOGUE = DEMO.catalogue
assert CATALOGUE is not None
CASES = {case.url.split("/", 3)[3]: case for case in CATALOGUE.cases(Limits())}


def _answer(name: str) -> Answer:
    answer = CASES[name].answer
    assert answer is not None
    return answer


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return zlib.decompress(data, -15)


def _gunzip(data: bytes) -> bytes:
    whole = b""
    while data:
        member = zlib.decompressobj(31)
        whole += member.decompress(data)
        assert member.eof
        data = member.unused_data
    return whole


_DECODERS = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def _decoded(answer: Answer) -> bytes:
    body = answer.body
    for coding in reversed([name.strip() for name in dict(answer.headers)["Content-Encoding"].lower().split(",")]):
        body = _DECODERS[coding](body)
    return body


_CODED = [name for name in CASES if name.startswith("coding/")]


@pytest.mark.parametrize("name", [name for name in _CODED if CASES[name].kind is Kind.PAGE])
def test_a_coded_page_decodes_to_its_body(name: str) -> None:
    assert _decoded(_answer(name)) == CASES[name].body


def test_the_coded_pages_have_every_coding_and_up_to_five() -> None:
    stacks = [dict(_answer(name).headers)["Content-Encoding"].lower().split(", ") for name in _CODED]
    assert {coding for stack in stacks for coding in stack} == {*_DECODERS, "rot13"}
    assert max(len(stack) for name, stack in zip(_CODED, stacks, strict=True) if CASES[name].kind is Kind.PAGE) == 5


@pytest.mark.parametrize("name", ["coding/cut-gzip", "coding/bad-crc", "coding/not-gzip"])
def test_a_broken_coding_does_not_decode(name: str) -> None:
    assert CASES[name].kind is Kind.FAULT
    with pytest.raises((zlib.error, AssertionError)):
        _decoded(_answer(name))


_CODECS = {
    "windows-1252": "cp1252", "latin-1": "cp1252", "undeclared": "cp1252", "shift-jis": "shift_jis", "koi8-r": "koi8_r",
    "meta-http-equiv": "cp1251", "euc-kr": "euc_kr", "big5": "big5", "meta-gbk": "gbk", "utf-8-bom": "utf-8-sig",
    "bom-wins": "utf-8-sig", "utf-16le-bom": "utf-16", "utf-16be-bom": "utf-16",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("charset/")])
def test_a_page_in_its_encoding_has_its_title(name: str) -> None:
    case = CASES[name]
    text = _answer(name).body.decode(_CODECS.get(name.removeprefix("charset/"), "utf-8"))
    title = re.search("<title>(.*)</title>", text)
    assert title is not None
    assert title[1] == case.title
    assert not text.isascii()


def test_every_file_matches_its_digests_but_one() -> None:
    wrong = []
    for name, case in CASES.items():
        headers = dict(case.answer.headers) if case.answer else {}
        for field in ("Content-Digest", "Repr-Digest"):
            if field in headers:
                value = b64decode(headers[field].removeprefix("sha-256=:").removesuffix(":"))
                if value != hashlib.sha256(_answer(name).body).digest():
                    wrong.append(name)
    assert wrong == ["files/mismatch.bin"]
    lines = [line.split("  ") for line in _answer("files/SHA256SUMS").body.decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert len(sums) == 6
    assert all(sums[n] == hashlib.sha256(_answer(f"files/{n}").body).hexdigest() for n in sums)


def test_redirects_have_every_status_and_lead_to_what_is_listed() -> None:
    hops = [case for case in CASES.values() if case.kind is Kind.REDIRECT]
    assert {case.answer.status for case in hops if case.answer} == {301, 302, 303, 307, 308}
    urls = {case.url for case in CASES.values()}
    assert all(case.target in urls for case in hops)


def test_every_case_is_listed_or_reached_from_one_that_is() -> None:
    assert CATALOGUE is not None
    hidden = {name for name, case in CASES.items() if not _is_listed(case)}
    reached = re.compile(r"landed/|redirect/(chain|loop)|assets/|markup/|trap/|private/by-redirect|cases/|$")
    assert all(reached.match(name) for name in hidden)


def _is_listed(case: Case) -> bool:
    assert CATALOGUE is not None
    return f'<a href="{case.url}">'.encode() in CATALOGUE.body


def test_copies_are_exact_or_nearly_so() -> None:
    same = [case.body for name, case in CASES.items() if name.startswith("same/")]
    near = [case.body for name, case in CASES.items() if name.startswith("near/")]
    assert len(same) == 5
    assert len({*same}) == 1
    assert len({*near}) == len(near) == 3
