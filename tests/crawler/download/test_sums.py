"""Checksum files: every format, hostile names, and no digest for a file it is not for (D112)."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.proof.digests import Digest, digest_of
from crawler.download.proof.sums import MAX_BYTES, Entry, entries, find, kind_of, of_folder

DATA = b"some data\n"
SHA256, MD5, SHA512 = (digest_of(name, DATA) for name in ("sha256", "md5", "sha512"))
HEX = SHA256.value.hex()
ZERO = "0" * 64


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (f"{HEX}  a.iso", "a.iso"),
        (f"{HEX} *a.iso", "a.iso"),
        (f"{HEX.upper()}  a.iso", "a.iso"),
        (f"{HEX} a.iso", "a.iso"),  # md5 -r of the BSDs
        (f"{HEX}\ta.iso", "a.iso"),
        (f"{HEX}     a.iso", "a.iso"),  # aligned by hand
        (f"{HEX}  *a.iso", "*a.iso"),  # text mode, and a star in the name
        (f"{HEX}  a b (1).iso", "a b (1).iso"),
        (f"{HEX}  -", None),  # of standard input
        (f"\\{HEX}  a\\nb\\\\c\\rd", "a\nb\\c\rd"),
        (f"SHA256 (a.iso) = {HEX}", "a.iso"),
        (f"SHA256 (a) = b).iso) = {HEX}", "a) = b).iso"),
        (f"SHA256(a.iso)= {HEX}", "a.iso"),  # OpenSSL 1
        (f"SHA2-256(a.iso)= {HEX}", "a.iso"),  # OpenSSL 3
        (f"\\SHA256 (a\\\\b) = {HEX}", "a\\b"),
        (HEX, None),
        (f"  {HEX}  ", None),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_d112_every_format(line: str, name: str | None, end: str) -> None:
    assert entries(line + end) == [Entry(name, SHA256)]
    assert entries((line + end).encode()) == [Entry(name, SHA256)]


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "b2"])
@pytest.mark.parametrize("option", ["--text", "--binary", "--tag"])
def test_d112_what_coreutils_writes_is_read(algorithm: str, option: str, tmp_path: Path) -> None:
    tool = shutil.which(f"{algorithm}sum")
    if tool is None:
        pytest.skip(f"no {algorithm}sum here")
    names = ["plain", "with blank", "back\\slash", "new\nline", "(a) = b"]
    for name in names:
        (tmp_path / name).write_bytes(DATA)
    out = subprocess.run([tool, option, *names], cwd=tmp_path, capture_output=True, check=True).stdout
    kind = kind_of(f"{algorithm}sums.txt")
    assert kind is not None
    assert entries(out, kind) == [Entry(name, digest_of(kind, DATA)) for name in names]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# a comment",
        HEX[:-1] + "  odd",
        HEX + "0  odd",
        HEX + "00  of no length",
        f"\\{HEX}  bad\\escape",
        f"\\{HEX}  ends in a backslash\\",
        f"SHA256 (a.iso) = {HEX[:-2]}",
        f"SHA257 (a.iso) = {HEX}",
        f"MD5 (a.iso) = {HEX}",
        f"SHA256 () = {HEX}",
        f"é{HEX}  a",
        "<p>Not found</p>",
        "A" * 100_000,
    ],
)
def test_d112_what_is_no_line_says_nothing(line: str) -> None:
    assert [entry for entry in entries(line) if entry.name is not None] == []
    assert find(line, "a.iso") == []


def test_d112_openbsd_and_new_coreutils_write_base64() -> None:
    assert entries("SHA256 (x) = 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") == [
        Entry("x", digest_of("sha256", b""))
    ]


def test_d112_the_name_of_the_file_tells_the_algorithm() -> None:
    for url, kind in {
        "https://example.org/a/SHA256SUMS": "sha256",
        "SHA512SUMS.txt": "sha512",
        "sha1sum.txt": "sha1",
        "x.iso.sha256": "sha256",
        "x.iso.sha256sum?x=.md5": "sha256",
        "x.iso.md5": "md5",
        "MD5SUMS.asc": "md5",
        "x.sha3-256": "sha3_256",
        "b2sums.txt": "blake2b",
        "x.b3": "blake3",
        "x.sha": None,  # of all lengths, so the length tells
        "CHECKSUM": None,
        "checksums.txt": None,
        "": None,
        "sha256.html": None,
    }.items():
        assert kind_of(url) == kind, url
    for kind in ("blake3", "sha3_256", "blake2s"):
        digest = digest_of(kind, DATA)
        assert find(f"{digest.value.hex()}  a", "a", kind) == [digest]
    assert find(f"{MD5.value.hex()}  a", "a", "sha256") == [MD5], "of another length: believed by its length"


def test_d112_only_what_is_signed_counts() -> None:
    text = f"""\
{ZERO}  outside.iso
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256
{ZERO}  header.iso

# a.iso: 10 bytes
SHA256 (a.iso) = {HEX}
- {HEX}  -dash.iso
-----BEGIN PGP SIGNATURE-----

{ZERO}  signature.iso
-----END PGP SIGNATURE-----
{ZERO}  outside.iso
"""
    for spelled in (text, text.replace("\n", "\r\n")):
        assert entries(spelled) == [Entry("a.iso", SHA256), Entry("-dash.iso", SHA256)]
    assert find(text, "outside.iso") == find(text, "header.iso") == find(text, "signature.iso") == []


def test_d112_byte_order_marks() -> None:
    """What PowerShell and Notepad write."""
    line = f"{HEX}  ä.iso\r\n"
    for encoding in ("utf-8-sig", "utf-16"):
        assert find(line.encode(encoding), "ä.iso") == [SHA256]


# -- which line is for a file


def test_d112_no_match_is_no_digest() -> None:
    sums = f"{HEX}  a.iso\n"
    for name in ("b.iso", "xa.iso", "a.isox", "A.ISO", "", ".", "/", "a.iso/", "a.iso/b"):
        assert find(sums, name) == ([SHA256] if name == "a.iso/" else []), name


def test_d112_a_sidecar_for_another_file_says_nothing() -> None:
    assert find(f"{HEX}  other.iso\n", "a.iso", "sha256") == []


def test_d112_a_bare_digest_counts_when_it_is_all_there_is() -> None:
    assert find(f"{HEX}\n", "a.iso") == [SHA256]
    assert find(f"{HEX}  -\n", "a.iso") == [SHA256]
    assert find(f"{HEX}\n{HEX}\n", "a.iso") == [SHA256]
    assert find(f"{HEX}\n{ZERO}\n", "a.iso") == []
    assert find(f"{HEX}\n{ZERO}  other.iso\n", "a.iso") == []


def test_d112_the_line_that_agrees_in_most_of_the_path_wins() -> None:
    sums = f"{ZERO}  arm64/a.iso\n{HEX}  ./amd64/a.iso\n{'1' * 64}  a.iso\n"
    assert find(sums, "amd64/a.iso") == [SHA256]
    assert find(sums, "https://example.org/amd64/a.iso") == [SHA256]
    assert find(f"{ZERO}  arm64/a.iso\n", "amd64/a.iso") == [], "another folder, another file"
    assert find(f"{HEX}  /build/out/a.iso\n", "a.iso") == [SHA256]
    assert find(f"{HEX}  C:\\out\\a.iso\n", "a.iso") == [SHA256]


def test_d112_two_matches() -> None:
    assert find(f"{HEX}  a.iso\n{HEX.upper()} *a.iso\n", "a.iso") == [SHA256], "twice the same is once"
    assert find(f"{HEX}  a.iso\n{ZERO}  a.iso\n", "a.iso") == [], "which of them?"
    assert find(f"{HEX}  x/a.iso\n{ZERO}  y/a.iso\n", "a.iso") == [], "which of them?"
    both = f"{MD5.value.hex()}  a.iso\n{SHA512.value.hex()}  a.iso\n{HEX}  a.iso\n"
    assert find(both, "a.iso") == [SHA512, SHA256, MD5], "the strongest first"


def test_d112_a_list_of_a_folder_is_for_the_files_beside_it() -> None:
    """As `sha256sum -c` takes the names: what a deeper folder has is another file, and a bare digest is nobody's."""
    sums = f"{HEX}  a.iso\n{ZERO}  deep/a.iso\n{HEX} *./b c.iso\n{ZERO}  ../up.iso\n{ZERO}\n{ZERO}  -\n"
    assert of_folder(sums) == {"a.iso": [SHA256], "b c.iso": [SHA256]}
    both = f"{MD5.value.hex()}  a.iso\n{HEX}  a.iso\n{HEX}  twice.iso\n{ZERO}  twice.iso\n"
    assert of_folder(both) == {"a.iso": [SHA256, MD5], "twice.iso": []}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0b", "\u202ecod.exe", "x" * 10_000, "\ud800"])
def test_d112_hostile_names_are_only_compared(name: str) -> None:
    assert [entry.name for entry in entries(f"{HEX}  {name}")] == [name]
    assert find(f"{HEX}  {name}", "a.iso") == []
    assert find(f"{HEX}  a.iso", name) == []


def test_d112_ten_megabytes_are_read_in_bounded_time_and_not_a_byte_more() -> None:
    line = f"{ZERO}  some/folder/some-file.iso\n".encode()
    sums = line * (MAX_BYTES // len(line) - 1) + f"{HEX}  a.iso\n".encode()
    assert len(sums) <= MAX_BYTES
    start = process_time()
    assert find(sums, "a.iso") == [SHA256]
    assert process_time() - start < 3.0
    padding = MAX_BYTES - len(sums) - 71
    cut = sums + b"#" * padding + b"\n" + f"{HEX}  cut.iso".encode()
    assert len(cut) > MAX_BYTES
    kept = cut[:MAX_BYTES].rpartition(b" ")[2].decode()
    assert kept
    assert "cut.iso".startswith(kept)
    assert find(cut, kept) == [], "half a name is another name"


@pytest.mark.parametrize(
    "piece", ["MD5 (", ") = ", ") = a", " ", "\\", f"{HEX} ", "- ", "-----BEGIN PGP SIGNED MESSAGE-----\n"]
)
def test_d112_hostile_lines_take_linear_time(piece: str) -> None:
    start = process_time()
    entries((piece * (2**20 // len(piece))) + "!")
    assert process_time() - start < 3.0


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"{HEX} {text}".encode()), st.text(max_size=30))
def test_no_bytes_raise(raw: bytes, name: str) -> None:
    for entry in entries(raw):
        assert isinstance(entry.digest, Digest)
    assert all(isinstance(digest, Digest) for digest in find(raw, name))
    assert all(isinstance(digest, Digest) for digests in of_folder(raw).values() for digest in digests)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(lambda name: name.strip() == name != "-"))
def test_every_name_is_read_back(name: str) -> None:
    """Escaped as coreutils does."""
    is_escaped = any(char in name for char in "\n\r\\")
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if is_escaped else ""
    for line in (f"{mark}{HEX}  {escaped}\n", f"{mark}{HEX} *{escaped}\n", f"{mark}SHA256 ({escaped}) = {HEX}\n"):
        assert entries(line) == [Entry(name, SHA256)], line
    assert hashlib.sha256(DATA).digest() == SHA256.value
