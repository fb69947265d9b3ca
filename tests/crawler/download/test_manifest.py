"""Manifests: a list, a checksum file or a Metalink, each with all its problems at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.download.names import safe_relative
from crawler.download.proof.digests import digest_of
from crawler.download.proof.manifest import MAX_BYTES, MAX_PROBLEMS, Listed, Manifest, parse

SHA256 = digest_of("sha256", b"abc")
HEX = SHA256.value.hex()


def test_a_list() -> None:
    text = f"""\ufeff# the data of today
https://example.org/a.csv

https://example.org/b.csv\thttp://mirror.example.net/b.csv\thttps://example.org/b.csv
  out=data/b.csv
\tchecksum=sha-256={HEX}
  # indented too
  checksum=md5:{"0" * 32}
  size=3
HTTPS://EXAMPLE.org/c d.csv
"""
    assert parse(text.encode()) == Manifest(
        (
            Listed("https://example.org/a.csv"),
            Listed(
                "https://example.org/b.csv",
                "data/b.csv",
                (SHA256, digest_of("md5", b"")._replace(value=bytes(16))),
                3,
                ("http://mirror.example.net/b.csv",),
            ),
            Listed("https://example.org/c%20d.csv"),
        ),
        (),
    )


def test_all_problems_of_a_list_are_told_with_their_lines() -> None:
    text = """\
  out=first
ftp://example.org/a
https://example.org/b
  out=../b
  checksum=sha-256=abc
  size=many
  split=5
https://example.org/good\tmailto:x
https://example.org/c
 out=C.bin
https://example.org/d
 out=c.bin
"""
    found = parse(text.encode())
    assert [file.url for file in found.files] == ["https://example.org/good", "https://example.org/c"]
    assert [problem.split(" got ")[0] for problem in found.problems] == [
        "line 1: 'out=first': no http or https URL",
        "line 2: 'ftp://example.org/a': no http or https URL",
        "line 4: '../b': leads out of the output directory",
        "line 5: digest 'sha-256=abc': sha256 has 32 bytes: 64 hex digits, or base64 of 32 bytes",
        "line 6: size 'many': no number of bytes",
        "line 7: unknown option 'split'; known are out, checksum, size",
        "line 8: 'mailto:x': no http or https URL",
        "'c.bin': two files of this path",
    ]


def test_a_checksum_file_with_a_base() -> None:
    sums = f"{HEX}  ./a.iso\n{HEX} *sub/50% off?#1.iso\n{'0' * 64}  sub/x\n{HEX}  sub/x\n{HEX}  ../y\n{HEX}\n".encode()
    found = parse(sums, name="SHA256SUMS", base="https://example.org/pub/SHA256SUMS")
    assert found.files == (Listed("https://example.org/pub/a.iso", "a.iso", (SHA256,)),)
    assert [problem.partition(":")[2].strip() for problem in found.problems] == [
        'one of the characters < > : " | ? * \\',
        "leads out of the output directory",
        "names no file",
        "two digests of one algorithm",
    ]
    quoted = parse(f"{HEX}  50% off#1.iso\n".encode(), base="https://example.org/pub/")
    assert quoted.files[0].url == "https://example.org/pub/50%25%20off%231.iso"


def test_a_checksum_file_without_a_base_is_a_problem() -> None:
    assert parse(f"{HEX}  a.iso\n".encode()).problems == (
        "a checksum file names no URLs: say which URL its names are relative to",
    )


def test_a_path_in_a_checksum_file_never_becomes_another_host() -> None:
    for name in ("http://evil.example/x", "//evil.example/x", "\\\\evil.example\\x", "@evil.example/x", "a:b"):
        for file in parse(f"{HEX}  {name}\n".encode(), base="https://example.org/pub/").files:
            assert file.url.startswith("https://example.org/pub/")


def test_a_metalink() -> None:
    urls = '<url>http://b.example/a</url><url priority="1">http://a.example/a</url>'
    files = f'<file name="d/a"><size>3</size><hash type="sha-256">{HEX}</hash>{urls}</file><file name="b"/>'
    text = f'\n<metalink xmlns="urn:ietf:params:xml:ns:metalink">{files}</metalink>'
    assert parse(text.encode()) == Manifest(
        (Listed("http://a.example/a", "d/a", (SHA256,), 3, ("http://b.example/a",)),),
        ("b: no http or https URL",),
    )
    assert parse(b"<metalink>").files == ()
    assert "no well-formed XML" in parse(b"<metalink>").problems[0]


def test_bounds() -> None:
    assert parse(b"#" * (MAX_BYTES + 1)) == Manifest((), ("longer than 10,485,760 bytes",))
    assert len(parse(b"nonsense\n" * 1_000).problems) == MAX_PROBLEMS


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            ["https://e.org/a", "\t", "\n", " ", "out=", "../a", "checksum=", "size=", "5", HEX, "  ", "<", "#"]
        )
    ).map(lambda words: "".join(words).encode()),
    st.sampled_from([None, "https://example.org/x/", "nonsense"]),
)
def test_any_bytes_are_a_manifest_with_safe_paths(data: bytes, base: str | None) -> None:
    for file in parse(data, name="SHA256SUMS", base=base).files:
        assert file.url.startswith(("http://", "https://"))
        assert file.path is None or str(safe_relative(file.path)) == file.path
