"""Metalink: versions 4 and 3 and header fields; bombs, traversal and nonsense are refused (D113)."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.proof import metalink
from crawler.download.proof.digests import digest_of
from crawler.download.proof.metalink import LOWEST_PRIORITY, MAX_BYTES, MetalinkError, Mirror, Pieces, links_of, parse

SHA256 = digest_of("sha256", b"abc")
SHA1 = digest_of("sha1", b"abc")
HEX = SHA256.value.hex()

V4 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <published>2009-05-15T12:23:23Z</published>
  <file name="pub/example.ext">
    <size>14471447</size>
    <identity>Example</identity>
    <hash type="sha-256">{HEX}</hash>
    <hash type="sha-1"> {SHA1.value.hex().upper()} </hash>
    <hash type="whirlpool">00</hash>
    <pieces length="7235724" type="sha-1"><hash>{SHA1.value.hex()}</hash><hash>{SHA1.value.hex()}</hash></pieces>
    <pieces length="7235724" type="sha-256"><hash>{HEX}</hash><hash>{HEX}</hash></pieces>
    <url location="DE" priority="2">ftp://ftp.example.com/example.ext</url>
    <url location="FR" priority="3">http://example.com/example.ext</url>
    <url priority="1">https://example.org/a&amp;b/example.ext</url>
    <url>mirror/example.ext</url>
    <metaurl mediatype="torrent" priority="1">http://example.com/example.ext.torrent</metaurl>
    <publisher name="X" url="http://example.com"/>
    <x:url xmlns:x="urn:other">http://evil.example/</x:url>
  </file>
</metalink>""".encode()

V3 = f"""<?xml version="1.0"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/">
  <files><file name="a.iso">
    <size>3</size>
    <publisher><name>X</name><url>http://publisher.example/</url></publisher>
    <verification>
      <hash type="sha256">{HEX}</hash>
      <pieces length="2" type="sha1"><hash piece="1">{SHA1.value.hex()}</hash><hash piece="0">{"0" * 40}</hash></pieces>
    </verification>
    <resources>
      <url type="http" preference="10">http://one.example/a.iso</url>
      <url type="http" preference="100" location="us">http://two.example/a.iso</url>
      <url type="bittorrent" preference="100">http://two.example/a.torrent</url>
    </resources>
  </file></files>
</metalink>""".encode()


def document(inside: str, head: str = "") -> bytes:
    return f'{head}<metalink xmlns="urn:ietf:params:xml:ns:metalink">{inside}</metalink>'.encode()


def file(inside: str, name: str = "a") -> bytes:
    return document(f'<file name="{name}">{inside}</file>')


def test_version_4() -> None:
    (found,) = parse(V4, "https://base.example/dir/x.meta4")
    assert found.name == "pub/example.ext"
    assert found.size == 14471447
    assert found.digests == (SHA256, SHA1)
    assert found.mirrors == (
        Mirror("https://example.org/a&b/example.ext", 1),
        Mirror("http://example.com/example.ext", 3, "fr"),
        Mirror("https://base.example/dir/mirror/example.ext", LOWEST_PRIORITY),
    )
    assert found.pieces == Pieces(7235724, (SHA256, SHA256)), "the strongest of both"
    assert [problem.partition(":")[0] for problem in found.problems] == [
        "hash of type 'whirlpool'",
        "url 'ftp",
    ]


def test_version_3() -> None:
    (found,) = parse(V3)
    assert (found.name, found.size, found.digests) == ("a.iso", 3, (SHA256,))
    assert found.mirrors == (Mirror("http://two.example/a.iso", 1, "us"), Mirror("http://one.example/a.iso", 91))
    assert found.pieces is not None
    assert [digest.value[0] for digest in found.pieces.digests] == [0, SHA1.value[0]], "by their numbers"


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE m SYSTEM "http://evil.example/x.dtd">',
        '<!DOCTYPE m [<!ENTITY % p SYSTEM "http://evil.example/x.dtd"> %p;]>',
        "<!DOCTYPE metalink>",
    ],
)
def test_d113_every_doctype_is_refused_and_with_it_every_entity(doctype: str) -> None:
    with pytest.raises(MetalinkError, match="a DOCTYPE"):
        parse(document('<file name="a"><size>&b;</size></file>', doctype))


def test_d113_an_entity_without_a_doctype_is_no_xml() -> None:
    with pytest.raises(MetalinkError, match="undefined entity"):
        parse(file("<size>&b;</size>"))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "..",
        "",
        "a\\..\\..\\x",
        "C:x",
        ".hidden",
        "a/.ssh/x",
        "x&#x202E;cod.exe",
        "nul.txt",
    ],
)
def test_d113_a_name_that_leads_out_condemns_the_document(name: str) -> None:
    with pytest.raises(MetalinkError, match="file name"):
        parse(document(f'<file name="good"/><file name="{name}"/>'))
    with pytest.raises(MetalinkError, match="file name"):
        parse(document("<file/>"))


def test_d113_a_missing_size_is_no_size() -> None:
    (found,) = parse(file(f'<pieces length="10" type="sha-1"><hash>{SHA1.value.hex()}</hash></pieces>'))
    assert found.size is None
    assert found.pieces == Pieces(10, (SHA1,))


@pytest.mark.parametrize("size", ["", "-1", "1e3", "0x10", "9" * 30, "1 000", "\u0661"])
def test_d113_a_size_that_is_none(size: str) -> None:
    (found,) = parse(file(f"<size>{size}</size>"))
    assert found.size is None
    assert "no number of bytes" in found.problems[0]


@pytest.mark.parametrize(("size", "length", "hashes"), [(10, 10, 2), (11, 10, 1), (0, 10, 1), (10**15, 1, 1)])
def test_d113_pieces_that_do_not_make_the_size_are_left_out(size: int, length: int, hashes: int) -> None:
    pieces = f'<pieces length="{length}" type="sha-1">{f"<hash>{SHA1.value.hex()}</hash>" * hashes}</pieces>'
    for inside in (f"<size>{size}</size>{pieces}", f"{pieces}<size>{size}</size>"):
        (found,) = parse(file(inside))
        assert found.pieces is None
        assert "do not make" in found.problems[0]


@pytest.mark.parametrize(
    "pieces",
    [
        '<pieces length="0" type="sha-1"><hash>{}</hash></pieces>',
        '<pieces length="-5" type="sha-1"><hash>{}</hash></pieces>',
        '<pieces type="sha-1"><hash>{}</hash></pieces>',
        '<pieces length="5" type="sha-256"><hash>{}</hash></pieces>',
        '<pieces length="5"><hash>{}</hash></pieces>',
        '<pieces length="5" type="sha-1"><hash piece="1">{}</hash></pieces>',
        '<pieces length="5" type="sha-1"><hash piece="999999999999">{}</hash></pieces>',
        '<pieces length="5" type="sha-1"></pieces>',
    ],
)
def test_d113_pieces_that_cannot_be_used(pieces: str) -> None:
    (found,) = parse(file(pieces.format(SHA1.value.hex())))
    assert found.pieces is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no well-formed XML"),
        (b"\0", "no well-formed XML"),
        (b"<metalink>", "no well-formed XML"),
        (b"<html/>", "no Metalink but 'html'"),
        (b'<metalink xmlns="urn:other"/>', "no Metalink"),
        (b'<?xml version="1.0" encoding="utf-7"?><metalink/>', "no well-formed XML|unreadable"),
        (b'<?xml version="1.0" encoding="shift_jis"?><metalink/>', "no well-formed XML|unreadable"),
        (document("<a>" * 100 + "</a>" * 100), "nested deeper than 16"),
        (b"<metalink>" + b"<file name='\xff'/>", "no well-formed XML"),
        (b" " * (MAX_BYTES + 1), "longer than 10,485,760 bytes"),
    ],
)
def test_d113_what_is_no_metalink_is_an_error_that_says_why(data: bytes, why: str) -> None:
    with pytest.raises(MetalinkError, match=why):
        parse(data)


def test_d113_ten_megabytes_are_read_in_bounded_time_and_to_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    url, wrong = "<url>http://e.example/</url>", "<hash type='x'>0</hash>"
    data = file(url * 5_000 + wrong * 380_000)
    assert MAX_BYTES * 0.8 < len(data) <= MAX_BYTES
    start = process_time()
    (found,) = parse(data)
    assert process_time() - start < 10.0
    assert len(found.mirrors) == metalink.MAX_URLS
    assert len(found.problems) == 20
    monkeypatch.setattr(metalink, "MAX_FILES", 10)
    with pytest.raises(MetalinkError, match="more than 10 files"):
        parse(document('<file name="a"/>' * 11))


WORDS = ["<file name='a'>", "</file>", "<files>", "</files>", "<size>", "</size>", "<hash type='md5'>", "</hash>"]
WORDS += ["<pieces length='1'>", "</pieces>", "<url>", "</url>", "http://x/", "5", "&lt;", "<!--", "-->", "\0"]


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=12).map(lambda words: document("".join(words)))
)
def test_any_bytes_are_a_metalink_or_an_error(data: bytes) -> None:
    try:
        files = parse(data)
    except MetalinkError:
        return
    assert all(".." not in found.name.split("/") and not found.name.startswith("/") for found in files)


# -- RFC 6249


def test_mirrors_in_header_fields() -> None:
    """The example of RFC 6249 1.1, with what a server may do to it."""
    found = links_of(
        [
            ("etag", '"thvDyvhfIqlvFe+A9MYgxAfm1q5="'),
            ("link", "<http://www2.example.com/example.ext>; rel=duplicate; pri=2, <x>; rel=next"),
            ("link", '<ftp://ftp.example.com/example.ext>; rel=duplicate; pri=3; geo="gb"; depth=1'),
            ("link", '</here.ext>; geo="DE"; pri="1"; rel="prefetch duplicate"'),
            ("link", '<http://example.com/example.ext.torrent>; rel=describedby; type="application/x-bittorrent"'),
            ("link", '<http://example.com/example.ext.meta4>; rel=describedby; type="application/metalink4+xml"'),
            ("digest", "SHA-256=MWVkMWQxYTRiMzk5MDQ0MzI3NGU5NDEyZTk5OWY1ZGFmNzgyZTJlODYz"),
        ],
        "https://example.com/example.ext",
    )
    assert found.mirrors == (
        Mirror("https://example.com/here.ext", 1, "de"),
        Mirror("http://www2.example.com/example.ext", 2),
    )
    assert found.metalinks == ("http://example.com/example.ext.meta4",)


@given(st.text(max_size=200) | st.text('<>;,="\\ relduplicatehtp:/', max_size=80))
def test_no_link_field_raises(field: str) -> None:
    links_of([("link", field)], "https://example.com/")


@pytest.mark.parametrize("piece", ["<", "<>;", "<>;a=", '<>;a="', ";", "<a>; b", " "])
def test_hostile_link_fields_take_linear_time(piece: str) -> None:
    start = process_time()
    links_of([("link", piece * (2**16 // len(piece)))], "https://example.com/")
    assert process_time() - start < 3.0
