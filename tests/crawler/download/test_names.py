"""Names from strangers: whatever a server says, the file is below the root, visible, and has a name (D65)."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.download.names import MAX_NAME_BYTES, UnsafeName, folded, name_of, safe_relative, unique

URL = "https://example.org/pub/fox.tar.gz?x=/../y#z"


def test_a_name_from_the_url() -> None:
    for url, name in {
        URL: "fox.tar.gz",
        "https://example.org/a%20b.pdf": "a b.pdf",
        "https://example.org/%E2%82%AC.pdf": "€.pdf",
        "https://example.org/%E4.pdf": "ä.pdf",  # latin-1, since it is no UTF-8
        "https://example.org/..%2f..%2fetc%2fpasswd": "passwd",
        "https://example.org/a%5Cb.txt": "b.txt",
        "https://example.org/%2e%2e": "download",
        "https://example.org/": "download",
        "https://example.org": "download",
        "https://example.org/.htaccess": "htaccess",
        "https://example.org/CON.txt": "_CON.txt",
        "https://example.org/-rf": "_rf",
        "https://example.org/a%00b.pdf": "ab.pdf",
        "https://example.org/a:b%3Fc.pdf": "a_b_c.pdf",
        "": "download",
        "nonsense": "download",
    }.items():
        assert name_of(url) == name, url


def test_the_content_type_gives_an_extension_where_the_url_has_none() -> None:
    assert name_of("https://example.org/data/17", content_type="application/PDF; x=y") == "17.pdf"
    assert name_of("https://example.org/data/17.bin", content_type="application/pdf") == "17.bin"
    assert name_of("https://example.org/data/17", content_type="application/octet-stream") == "17"
    assert name_of("https://example.org/", content_type="text/html") == "index.html"
    assert name_of("https://example.org/", content_type="application/zip") == "download.zip"
    assert name_of("https://example.org/17", 'attachment; filename="x"', "application/pdf") == "x", "as it was named"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ("attachment; filename=a.pdf", "a.pdf"),
        ("attachment;filename = a.pdf ;x=y", "a.pdf"),
        ("INLINE; FILENAME=a.pdf", "a.pdf"),
        ("filename=a.pdf", "a.pdf"),  # without a type
        ('attachment; filename="a.pdf', "a.pdf"),  # without its end
        ("attachment; filename=a b.pdf", "a b.pdf"),
        ('attachment; filename="a\\"b\\\\c.pdf"', "c.pdf"),  # a quoted backslash separates as well
        ('attachment; filename="a; filename=b.pdf"', "a; filename=b.pdf"),
        ('attachment; x="; filename=no.pdf"; filename=a.pdf', "a.pdf"),
        ("attachment; filename=a.pdf; filename=b.pdf", "a.pdf"),
        ("attachment;; ; filename=a.pdf", "a.pdf"),
        ("attachment; filename=no.pdf; filename*=UTF-8''%e2%82%ac.pdf", "€.pdf"),
        ("attachment; filename*=utf-8'en'%e2%82%ac.pdf; filename=no.pdf", "€.pdf"),
        ("attachment; filename*=ISO-8859-1''%e4.pdf", "ä.pdf"),
        ("attachment; filename*=\"UTF-8''a%20b.pdf\"", "a b.pdf"),
        ('attachment; filename="\u00e2\u0082\u00ac.pdf"', "€.pdf"),  # UTF-8 that was read as latin-1
        ('attachment; filename="\u00e4.pdf"', "ä.pdf"),
    ],
)
def test_d65_a_name_from_content_disposition(disposition: str, name: str) -> None:
    assert name_of(URL, disposition) == name


@pytest.mark.parametrize(
    "extended",
    [
        "UTF-8''%e2%82.pdf",  # cut in a character
        "UTF-8''%ff.pdf",
        "UTF-8''%c0%ae%c0%ae.pdf",  # overlong dots
        "UTF-8''%ed%a0%80.pdf",  # half a surrogate pair
        "UTF-8''%zz.pdf",
        "UTF-8''%e",
        "UTF-8'a.pdf",
        "a.pdf",
        "UTF-16''%00a",
        "x-unknown''a.pdf",
        "''a.pdf",
        "UTF-8''",
        "UTF-8''%2e%2e",
        "UTF-8''%00",
        "UTF-8''a b.pdf",
    ],
)
def test_d65_a_broken_extended_value_leaves_the_plain_one(extended: str) -> None:
    assert name_of(URL, f"attachment; filename*={extended}; filename=plain.pdf") == "plain.pdf"
    assert name_of(URL, f"attachment; filename*={extended}") == "fox.tar.gz"


@pytest.mark.parametrize(
    "disposition",
    [
        "",
        "attachment",
        ";;;",
        "attachment; filename",
        "attachment; filename=",
        'attachment; filename=""',
        'attachment; filename=".."',
        'attachment; filename="/"',
        'attachment; filename=". . ."',
        "attachment; filename=\0",
        'attachment; filename="a/"',
        "=",
        '"',
        "a; =b",
    ],
)
def test_d65_a_disposition_without_a_name_leaves_the_url(disposition: str) -> None:
    assert name_of(URL, disposition) == "fox.tar.gz"


@pytest.mark.parametrize(
    ("hostile", "name"),
    [
        ("../../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Windows\\x.exe", "x.exe"),
        ("C:x.exe", "C_x.exe"),
        ("a\0.pdf", "a.pdf"),
        ("a\r\nb.pdf", "ab.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),  # shown as invoiceexe.pdf
        ("\u200b\u2066.\ufeff.x", "x"),
        ("...", "fox.tar.gz"),
        (".bashrc", "bashrc"),
        ("a. . ", "a"),
        ("nul", "_nul"),
        ("LPT1.tar.gz", "_LPT1.tar.gz"),
        ("com¹.txt", "_com¹.txt"),
        ("aux .txt", "_aux .txt"),
        ("a<b>|?*.x", "a_b____.x"),
        ("--checkpoint-action=exec", "_-checkpoint-action=exec"),
        ("e\u0301.pdf", "é.pdf"),
        ("e\u200d\u0301.pdf", "é.pdf"),  # composed only once the joiner is gone
        ("a\u3000b", "a b"),
    ],
)
def test_d65_hostile_names_are_repaired(hostile: str, name: str) -> None:
    extended = f"attachment; filename*=UTF-8''{quote(hostile, safe='')}"
    assert name_of(URL, extended) == name
    assert name_of(f"https://example.org/{quote(hostile, safe='')}") == name.replace("fox.tar.gz", "download")


def test_d65_long_names_keep_their_extension() -> None:
    for stem, extension in [("x" * 300, ".pdf"), ("€" * 300, ".tar.gz"), ("x" * 300, ""), ("a." + "y" * 300, "")]:
        name = name_of(URL, f"attachment; filename*=UTF-8''{quote(stem + extension)}")
        assert name.endswith(extension)
        assert MAX_NAME_BYTES - 4 < len(name.encode()) <= MAX_NAME_BYTES


def assert_safe(name: str, root: Path) -> None:
    """Whatever the name, the file is directly in the root and looks like what it is."""
    assert name
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert (root / name).parent == root
    assert (root / name).resolve().parent == root.resolve()
    assert not name.startswith((".", " ", "-"))
    assert not name.endswith((".", " "))
    assert not set(name) & set('/\\<>:"|?*\0')
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs") for char in name)
    assert unicodedata.is_normalized("NFC", name)
    assert safe_relative(name) == PurePosixPath(name), "what is repaired needs no second repair"


ANY = st.text(max_size=300) | st.text("./\\ %-:;=\"'*~\0con1.é€\u202e\u0301\u200d", max_size=40)


@given(ANY, ANY | st.none(), ANY | st.none())
@example("https://x/" + "a" * 236 + "." * 30 + "tar.gz", None, None)
@example("https://x/" + "a" * 254 + "%20b", None, None)
def test_d65_any_strings_make_a_safe_name(url: str, disposition: str | None, content_type: str | None) -> None:
    for address in (url, f"https://example.org/{url}", f"https://example.org/{quote(url, safe='', errors='replace')}"):
        for field in (disposition, f"attachment; filename={disposition}", f'attachment; filename="{disposition}"'):
            assert_safe(name_of(address, field, content_type), Path("/srv/out"))


@given(st.binary(max_size=300))
def test_d65_any_bytes_make_a_safe_name(raw: bytes) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in raw)
    for charset in ("utf-8", "iso-8859-1"):
        assert_safe(name_of(URL, f"attachment; filename*={charset}''{escaped}"), Path("/srv/out"))
    assert_safe(name_of(URL, raw.decode("latin-1")), Path("/srv/out"))
    assert_safe(name_of(f"https://example.org/{escaped}"), Path("/srv/out"))


# -- paths from users and manifests


@pytest.mark.parametrize(
    "path", ["a", "a/b.iso", "./a", "a/./b", "a//b", "über/ß.pdf", "-a", "a b", "x" * 255, "~a", "a..b"]
)
def test_a_safe_path_is_taken_as_it_is(path: str) -> None:
    assert safe_relative(path) == PurePosixPath(path)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "names no file"),
        (".", "names no file"),
        ("a/", "names no file"),
        ("/a", "absolute"),
        ("//a", "absolute"),
        ("\\a", "absolute"),
        ("C:\\a", "absolute"),
        ("c:a", "absolute"),
        ("..", "leads out"),
        ("a/../b", "leads out"),
        ("../a", "leads out"),
        ("a\\..\\b", "one of the characters"),
        ("a/.b", "hidden"),
        (".a/b", "hidden"),
        ("...", "hidden"),
        ("a\0", "control"),
        ("a\n", "control"),
        ("a\u202eb", "control"),
        ("a\ud800", "control"),
        ("ab:c", "one of the characters"),
        ("a?", "one of the characters"),
        ("a /b", "a blank at an end"),
        (" a", "a blank at an end"),
        ("a./b", "dot at the end"),
        ("NUL", "reserved"),
        ("a/com1.txt", "reserved"),
        ("x" * 256, "longer than 255"),
        ("€" * 86, "longer than 255"),
        ("/".join("x" * 200 for _ in range(11)), "longer than 2048"),
    ],
)
def test_an_unsafe_path_is_refused_with_the_rule(path: str, rule: str) -> None:
    with pytest.raises(UnsafeName, match=rule):
        safe_relative(path)


@given(ANY)
def test_any_path_stays_below_the_root_or_is_refused(path: str) -> None:
    try:
        safe = safe_relative(path)
    except UnsafeName:
        return
    root = Path("/srv/out")
    assert (root / safe).resolve().is_relative_to(root)
    assert (root / safe).resolve() != root
    assert not safe.is_absolute()
    assert safe_relative(str(safe)) == safe


# -- clashes


def test_a_clash_is_numbered_before_the_extension() -> None:
    taken = {folded("a.tar.gz")}
    assert unique("b", taken) == "b"
    assert unique("a.tar.gz", taken) == "a-2.tar.gz"
    assert unique("A.TAR.GZ", taken) == "A-2.TAR.GZ", "one file where case does not count"
    assert unique("README", {"readme", "readme-2"}) == "README-3"


@given(
    st.lists(
        st.sampled_from(["a.x", "A.x", "ß", "SS", "ss-2", "a-2.x", "e\u0301", "é", "y" * 255, "y" * 251 + ".pdf"]),
        max_size=60,
    )
)
def test_names_never_clash(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        chosen = unique(name, taken)
        assert folded(chosen) not in taken
        assert len(chosen.encode()) <= MAX_NAME_BYTES
        taken.add(folded(chosen))
    assert len(taken) == len(names)


def test_a_site_where_every_file_has_one_name_costs_little() -> None:
    class Counting(set[str]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    taken = Counting()
    for _ in range(5_000):
        taken.add(folded(unique("get.php", taken)))
    assert len(taken) == 5_000
    assert taken.asked < 5_000 * 30
