"""Character encodings: declared in the header, in the page, by a byte order mark, wrongly, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from crawler.demo.cases.case import Case, content

_FRENCH = "Déjà vu à la crêperie"
_RUSSIAN = "Съешь ещё этих мягких булок"
_JAPANESE = "いろはにほへと ちりぬるを"
_CHINESE = "天地玄黄 宇宙洪荒"
_TAIWANESE = "天地玄黃 宇宙洪荒"
_KOREAN = "키스의 고유조건은 입술끼리"
_QUOTED = "“Quoted” €5"
_PLAIN = "text/html"

# name, title, Python codec, Content-Type, charset in a meta element, bytes before, note
_ROWS = (
    ("utf-8", _RUSSIAN, "utf-8", "text/html; charset=utf-8", "", b"", "utf-8, in the header"),
    ("windows-1252", _QUOTED, "cp1252", "text/html; charset=windows-1252", "", b"", "windows-1252, in the header"),
    ("latin-1", _QUOTED, "cp1252", "text/html; charset=ISO-8859-1", "", b"", "says iso-8859-1: means windows-1252"),
    ("shift-jis", _JAPANESE, "shift_jis", "text/html; charset=Shift_JIS", "", b"", "Shift_JIS, in the header"),
    ("koi8-r", _RUSSIAN, "koi8_r", 'text/html;charset="koi8-r"', "", b"", "KOI8-R, quoted, in the header"),
    ("euc-kr", _KOREAN, "euc_kr", "text/html; charset=euc-kr", "", b"", "EUC-KR, in the header"),
    ("big5", _TAIWANESE, "big5", "text/html; charset=big5", "", b"", "Big5, in the header"),
    ("meta-gbk", _CHINESE, "gbk", _PLAIN, '<meta charset="gbk">', b"", "GBK, only in a meta element"),
    ("meta-http-equiv", _RUSSIAN, "cp1251", _PLAIN,
     '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', b"", "meta http-equiv"),
    ("utf-8-bom", _RUSSIAN, "utf-8", _PLAIN, "", b"\xef\xbb\xbf", "utf-8, only by its byte order mark"),
    ("utf-16le-bom", _JAPANESE, "utf-16-le", _PLAIN, "", b"\xff\xfe", "utf-16, little end first, by its mark"),
    ("utf-16be-bom", _JAPANESE, "utf-16-be", _PLAIN, "", b"\xfe\xff", "utf-16, big end first, by its mark"),
    ("header-wins", _FRENCH, "utf-8", "text/html; charset=utf-8", '<meta charset="koi8-r">', b"",
     "header and meta element differ: the header wins"),
    ("bom-wins", _FRENCH, "utf-8", "text/html; charset=koi8-r", "", b"\xef\xbb\xbf",
     "byte order mark and header differ: the mark wins"),
    ("meta-utf-16", _FRENCH, "utf-8", _PLAIN, '<meta charset="utf-16">', b"",
     "a meta element that says utf-16 means utf-8"),
    ("undeclared", _FRENCH, "cp1252", _PLAIN, "", b"", "not declared: windows-1252"),
)  # fmt: skip


def charsets(origin: str) -> Iterator[Case]:
    """Yield one case per way to say, or not to say, what the bytes mean (WHATWG HTML 13.2.3, Encoding 4.2)."""
    for name, title, codec, content_type, meta, mark, note in _ROWS:
        text = (
            f"<!doctype html>\n<html><head>{meta}<title>{title}</title></head>\n"
            f"<body><h1>{title}</h1>\n<p>{title}. {title}!</p></body></html>\n"
        )
        body = mark + text.encode(codec)
        yield content(f"{origin}/charset/{name}", body, (("Content-Type", content_type),), note=note, title=title)
