"""Safe file names: what a server calls a file, made into one component of a path that does no harm anywhere.

Two attitudes. A name from the network (`name_of`) is repaired, because a file must be called something. A path from the
user or from a manifest (`safe_relative`) is refused with the rule it breaks, because repairing it would put the file
where nobody looks for it.

Invariants of both: nothing leads outside the root, no component is hidden, reserved by Windows, or longer than 255
bytes, and no character is invisible or turns the direction of writing (RFC 6266 4.3, Unicode TR 36 2.4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

MAX_NAME_BYTES = 255  # NAME_MAX of every file system in use
MAX_PATH_BYTES = 2048  # half of Linux's PATH_MAX: the root and our own names need room as well
MAX_EXTENSION_BYTES = 20
MAX_HEADER = 16 * 1024  # characters of a Content-Disposition that are read

_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)
_FORBIDDEN = frozenset('<>:"|?*\\/')  # Windows: "Naming Files, Paths, and Namespaces"
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz", ".lzma", ".br", ".z"})

_EXTENSIONS = {
    "application/epub+zip": ".epub",
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/ld+json": ".jsonld",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/rtf": ".rtf",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/x-7z-compressed": ".7z",
    "application/x-bzip2": ".bz2",
    "application/x-gzip": ".gz",
    "application/x-tar": ".tar",
    "application/x-xz": ".xz",
    "application/xhtml+xml": ".xhtml",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "application/zstd": ".zst",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/tiff": ".tiff",
    "image/webp": ".webp",
    "text/css": ".css",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
"""A table of our own: that of `mimetypes` depends on the files of the machine."""


class UnsafeName(ValueError):
    """A path cannot be used below the root. The message names the path and the rule."""


def name_of(url: str, disposition: str | None = None, content_type: str | None = None) -> str:
    """Return a safe name of one component: of Content-Disposition, else of the URL's path, else `index` or `download`.

    `disposition` and `content_type` are header values as latin-1 text. A name from the URL that has no extension gets
    the one of the content type. Total: never raises, never empty.
    """
    for candidate in _filenames(disposition or ""):
        if name := _safe(candidate):
            return name
    path = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2]
    extension = _EXTENSIONS.get((content_type or "").partition(";")[0].strip().lower(), "")
    name = _safe(_utf8(unquote_to_bytes(path.rpartition("/")[2].encode("utf-8", "replace"))))
    if not name:
        return f"index{extension}" if extension in (".html", ".xhtml") else f"download{extension}"
    return name if _extension(name) else _safe(name + extension)


def safe_relative(path: str) -> PurePosixPath:
    """Return `path` as a path below a root; it is relative, has a name, and every component is safe.

    Normalised to NFC, so that what looks equal is equal. Raises `UnsafeName`.
    """
    shown = repr(path if len(path) <= 80 else path[:80] + "…")
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        raise UnsafeName(f"{shown}: absolute; expected a path below the output directory")
    parts = [part for part in unicodedata.normalize("NFC", path).split("/") if part not in ("", ".")]
    if not parts or path.endswith("/"):
        raise UnsafeName(f"{shown}: names no file")
    for part in parts:
        if (rule := _broken_rule(part)) is not None:
            raise UnsafeName(f"{shown}: {rule}")
    if sum(len(part.encode()) + 1 for part in parts) > MAX_PATH_BYTES:
        raise UnsafeName(f"{shown}: longer than {MAX_PATH_BYTES} bytes")
    return PurePosixPath(*parts)


def folded(name: str) -> str:
    """Return what two names have in common that clash on some file system: case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unique(name: str, taken: Container[str]) -> str:
    """Return `name`, or `name-2`, `name-3` … (before the extension), so that its `folded` form is not in `taken`.

    Asks `taken` about a number of times that grows with the logarithm of the clashes, so that a site where every file
    has one name costs no more than others.
    """
    if folded(name) not in taken:
        return name
    low, high = 1, 2  # `low` is taken
    while folded(_numbered(name, high)) in taken:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if folded(_numbered(name, middle)) in taken:
            low = middle
        else:
            high = middle
    return _numbered(name, high)


def _numbered(name: str, number: int) -> str:
    extension = _extension(name)
    suffix = f"-{number}{extension}"
    stem = name[: len(name) - len(extension)]
    return _cut(stem, MAX_NAME_BYTES - len(suffix.encode())) + suffix


def _broken_rule(part: str) -> str | None:
    """Return the rule that a component breaks; None when it is safe."""
    if part == "..":
        return "leads out of the output directory"
    if part.startswith("."):
        return "a hidden name"
    if not (part.isascii() and part.isprintable()) and any(unicodedata.category(char) in _INVISIBLE for char in part):
        return "a control, invisible or direction-turning character"
    if not _FORBIDDEN.isdisjoint(part):
        return 'one of the characters < > : " | ? * \\'
    if part != part.strip() or part.endswith("."):
        return "a blank at an end, or a dot at the end"
    if _RESERVED.match(part):
        return "a name reserved by Windows"
    if len(part.encode()) > MAX_NAME_BYTES:
        return f"a component longer than {MAX_NAME_BYTES} bytes"
    return None


def _safe(name: str) -> str:
    """Repair a name into one safe component; empty when nothing of it is left."""
    name = unicodedata.normalize("NFC", name[:MAX_HEADER])
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(char for char in name if unicodedata.category(char) not in _INVISIBLE)
    name = "".join("_" if char in _FORBIDDEN else " " if char.isspace() else char for char in name)
    name = unicodedata.normalize("NFC", name).lstrip(". ").rstrip(". ")
    if name.startswith("-"):
        name = f"_{name[1:]}"  # else a shell's `rm *` reads it as an option
    if _RESERVED.match(name):
        name = f"_{name}"
    extension = _extension(name)
    stem = name[: len(name) - len(extension)]
    return (_cut(stem, MAX_NAME_BYTES - len(extension.encode())) + extension).rstrip(". ")


def _cut(text: str, max_bytes: int) -> str:
    """Shorten text to a number of bytes of UTF-8, at a character."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _extension(name: str) -> str:
    """Return the extension with its dot, `.tar.gz` as one; empty when there is none or it is too long for one."""
    stem, dot, last = name.rpartition(".")
    if not stem or not last or len(last.encode()) >= MAX_EXTENSION_BYTES or " " in last:
        return ""
    if dot + last.lower() in _COMPRESSED:
        inner = _extension(stem)
        if inner and len(inner) <= 5 and inner[1:].isalpha():
            return inner + dot + last
    return dot + last


def _utf8(raw: bytes) -> str:
    """Decode UTF-8; what is none is latin-1, which is never wrong, only ugly."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


# -- Content-Disposition, RFC 6266 with the grammar of RFC 9110 5.6.6


_PARAMETER = re.compile(
    r"""\s*;\s*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)(?:"|\Z)|([^;"]*))|(?=;|\Z))""", re.DOTALL
)
_EXT_VALUE = re.compile(r"(utf-8|iso-8859-1)'[^']*'((?:[!#$&+.^_`|~0-9A-Za-z-]|%[0-9A-Fa-f]{2})*)", re.IGNORECASE)


def _filenames(disposition: str) -> tuple[str, ...]:
    """Return the names that a Content-Disposition gives, `filename*` before `filename`; empty where there is none."""
    found: dict[str, str] = {}
    for name, value in _parameters(disposition[:MAX_HEADER]):
        found.setdefault(name, value)
    plain = _utf8(found.get("filename", "").encode("latin-1", "replace"))
    return _ext_value(found.get("filename*", "").strip()) or "", plain


def _parameters(disposition: str) -> Iterator[tuple[str, str]]:
    """Yield names in lower case with values unquoted, up to the first that is none."""
    at = disposition.find(";")
    if at < 0 or "=" in disposition[:at]:  # `filename=x` without a type is sent as well
        disposition, at = f";{disposition}", 0
    while match := _PARAMETER.match(disposition, at):
        if match.end() == at:
            return
        at = match.end()
        if match[1] is not None:
            quoted, token = match[2], match[3]
            yield match[1].lower(), re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if token is None else token.strip()


def _ext_value(value: str) -> str | None:
    """Decode an ext-value of RFC 8187 3.2; None when its charset is none of both or its bytes are not of it."""
    match = _EXT_VALUE.fullmatch(value)
    if match is None:
        return None
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeDecodeError:
        return None
