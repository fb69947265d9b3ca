"""The encodings of the web and their labels, as the WHATWG Encoding Standard lists them (4.2), with a decoder for each.

A label found in a header or a page is looked up here and nowhere else. Python's codec registry is never asked about a
name that came from outside: it knows `zlib`, `rot13`, `idna` and `punycode`, and it guesses.

Where the standard's decoder and Python's codec of the same name differ, the codec that is nearer to the standard is
named: EUC-KR is windows-949, Shift_JIS is windows-31J, GBK is read as gb18030, ISO-8859-8-I is ISO-8859-8.
"""

from __future__ import annotations

import codecs

_TABLE = """
UTF-8            utf-8           unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
IBM866           cp866           866 cp866 csibm866 ibm866
ISO-8859-2       iso8859-2       csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
ISO-8859-3       iso8859-3       csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
ISO-8859-4       iso8859-4       csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
ISO-8859-5       iso8859-5       csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
ISO-8859-6       iso8859-6       arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e
.                .               iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
ISO-8859-7       iso8859-7       csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597
.                .               iso_8859-7 iso_8859-7:1987 sun_eu_greek
ISO-8859-8       iso8859-8       csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598
.                .               iso_8859-8 iso_8859-8:1988 visual
ISO-8859-8-I     iso8859-8       csiso88598i iso-8859-8-i logical
ISO-8859-10      iso8859-10      csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6
ISO-8859-13      iso8859-13      iso-8859-13 iso8859-13 iso885913
ISO-8859-14      iso8859-14      iso-8859-14 iso8859-14 iso885914
ISO-8859-15      iso8859-15      csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9
ISO-8859-16      iso8859-16      iso-8859-16
KOI8-R           koi8-r          cskoi8r koi koi8 koi8-r koi8_r
KOI8-U           koi8-u          koi8-ru koi8-u
macintosh        mac-roman       csmacintosh mac macintosh x-mac-roman
windows-874      cp874           dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874
windows-1250     cp1250          cp1250 windows-1250 x-cp1250
windows-1251     cp1251          cp1251 windows-1251 x-cp1251
windows-1252     cp1252          ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591
.                .               iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252
windows-1253     cp1253          cp1253 windows-1253 x-cp1253
windows-1254     cp1254          cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5
.                .               latin5 windows-1254 x-cp1254
windows-1255     cp1255          cp1255 windows-1255 x-cp1255
windows-1256     cp1256          cp1256 windows-1256 x-cp1256
windows-1257     cp1257          cp1257 windows-1257 x-cp1257
windows-1258     cp1258          cp1258 windows-1258 x-cp1258
x-mac-cyrillic   mac-cyrillic    x-mac-cyrillic x-mac-ukrainian
GBK              gb18030         chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk
gb18030          gb18030         gb18030
Big5             big5hkscs       big5 big5-hkscs cn-big5 csbig5 x-x-big5
EUC-JP           euc-jp          cseucpkdfmtjapanese euc-jp x-euc-jp
ISO-2022-JP      iso2022-jp      csiso2022jp iso-2022-jp
Shift_JIS        cp932           csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis
EUC-KR           cp949           cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
.                .               windows-949
replacement      -               csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement
UTF-16BE         utf-16-be       unicodefffe utf-16be
UTF-16LE         utf-16-le       csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le
x-user-defined   -               x-user-defined
"""  # noqa: E501 - a table reads better unbroken

_ASCII_WHITE_SPACE = "\t\n\f\r "
_C1 = range(0x80, 0xA0)
_WINDOWS = frozenset({"windows-874", *(f"windows-125{n}" for n in range(9))})


def _read_table() -> tuple[dict[str, str], dict[str, str]]:
    names: dict[str, str] = {}
    codecs_by_name: dict[str, str] = {}
    name = codec = ""
    for line in _TABLE.strip().splitlines():
        first, second, *labels = line.split()
        if first != ".":
            name, codec = first, second
            codecs_by_name[name] = codec
        names.update(dict.fromkeys(labels, name))
    return names, codecs_by_name


_NAMES, _CODECS = _read_table()


def encoding_for(label: str) -> str | None:
    """Return the standard's name of the encoding with this label ("get an encoding"), None when there is none."""
    return _NAMES.get(label.strip(_ASCII_WHITE_SPACE).lower())


def decode(data: bytes, encoding: str) -> str:
    """Return `data` as text; `encoding` is a name returned by `encoding_for`. Never raises: bad bytes become U+FFFD."""
    if encoding == "replacement":  # Encoding Standard 14.1: one error for the whole input, so that nothing is executed
        return "\ufffd" if data else ""
    if encoding == "x-user-defined":  # 14.5.1
        return data.decode("latin-1").translate(_USER_DEFINED)
    errors = _C1_ERRORS if encoding in _WINDOWS else "replace"
    return data.decode(_CODECS[encoding], errors)


_USER_DEFINED = {byte: 0xF780 + byte - 0x80 for byte in range(0x80, 0x100)}


def _c1_or_replace(error: UnicodeError) -> tuple[str, int]:
    """Map bytes that the windows code pages leave open to the C1 controls, as the standard's indexes do."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(chr(byte) if byte in _C1 else "\ufffd" for byte in bad), error.end


_C1_ERRORS = "pipelines.c1"
codecs.register_error(_C1_ERRORS, _c1_or_replace)
