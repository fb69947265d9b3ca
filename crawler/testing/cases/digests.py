"""D104 to D114: digests that servers state, rightly, wrongly and in the wrong field. D118: a sidecar that is absent."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from crawler.testing.bodies import Literal, digest
from crawler.testing.cases.case import Build, Need, Setting, Shelf, content, faulty
from crawler.testing.faultserver import Responder
from crawler.testing.messages import Fields, Reply, Request

SHELF = Shelf()
case = SHELF.case
_WRONG = ("digest_mismatch", "retries_exhausted")
_SMALL = 200_001

_CASTAGNOLI = 0x82F63B78  # reflected (RFC 3720 B.4)

Lines = Callable[[Setting], Fields]


def _base64(setting: Setting, algorithm: str) -> str:
    return b64encode(bytes.fromhex(digest(setting.file.body, algorithm))).decode()


@cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc32c(data: bytes) -> bytes:
    """Return the CRC-32C of some bytes, big-endian; slow, for small files."""
    table, register = _crc32c_table(), 0xFFFFFFFF
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ register >> 8
    return (register ^ 0xFFFFFFFF).to_bytes(4, "big")


def _goog_crc32c(setting: Setting) -> str:
    return b64encode(crc32c(setting.file.body.read(0, setting.size))).decode()


def _stated(lines: Lines, does: str) -> Build:
    def build(setting: Setting) -> Responder:
        setting.file = replace(setting.file, fields=lines(setting))
        return setting.honest

    build.__doc__ = does
    return build


_RIGHT: dict[tuple[str, str], Lines] = {
    ("D107", "repr-digest"): lambda s: (("Repr-Digest", f"sha-256=:{_base64(s, 'sha256')}:"),),
    ("D108", "several"): lambda s: (
        ("Repr-Digest", f"sha-512=:{_base64(s, 'sha512')}:, sha-256=:{_base64(s, 'sha256')}:"),
    ),
    ("D109", "digest"): lambda s: (("Digest", f"SHA-256={_base64(s, 'sha256')}"),),
    ("D110", "goog-md5"): lambda s: (("x-goog-hash", f"md5={_base64(s, 'md5')}"),),
    ("D111", "amz-sha256"): lambda s: (("x-amz-checksum-sha256", _base64(s, "sha256")),),
}
for (_id, _variant), _lines in _RIGHT.items():
    for _size, _how in ((_SMALL, "small"), (None, "large")):
        case(_id, f"a right digest: {_variant}", f"{_variant}-{_how}", must_verify=True,
             **({"size": _size} if _size else {}))(  # type: ignore[arg-type]  # one key, of the right type
            _stated(_lines, f"Every reply states the right digest of the whole file ({_variant}).")
        )  # fmt: skip


@case("D110", "two x-goog-hash lines", "two", size=_SMALL, must_verify=True)
def d110_two(setting: Setting) -> Responder:
    """Every reply states CRC-32C and MD5 of the file, each in a line of its own."""
    lines = (("x-goog-hash", f"crc32c={_goog_crc32c(setting)}"), ("x-goog-hash", f"md5={_base64(setting, 'md5')}"))
    setting.file = replace(setting.file, fields=lines)
    return setting.honest


@case("D110", "a composite object", "composite", size=_SMALL)
def d110_composite(setting: Setting) -> Responder:
    """Every reply states the CRC-32C of the file and no MD5, as for an object that was put together from four."""
    lines = (("x-goog-hash", f"crc32c={_goog_crc32c(setting)}"), ("x-goog-component-count", "4"))
    setting.file = replace(setting.file, fields=lines)
    return setting.honest


_ZERO = b64encode(bytes(32)).decode()
_ZERO_MD5 = b64encode(bytes(16)).decode()
_LIES: dict[tuple[str, str], Fields] = {
    ("D107", "repr-digest"): (("Repr-Digest", f"sha-256=:{_ZERO}:"),),
    ("D109", "digest"): (("Digest", f"sha-256={_ZERO}"),),
    ("D110", "goog-md5"): (("x-goog-hash", f"md5={_ZERO_MD5}"),),
    ("D111", "amz-sha256"): (("x-amz-checksum-sha256", _ZERO),),
}
for (_id, _variant), _fields in _LIES.items():
    case(
        _id, f"a wrong digest: {_variant}", f"{_variant}-wrong", right=False, faults=_WRONG, needs=[Need.WHOLE_CLIENT]
    )(
        _stated(lambda _s, fields=_fields: fields, f"Every reply states a wrong digest ({_variant}).")  # type: ignore[misc]  # a default binds the loop's value
    )

_NOTHING: dict[tuple[str, str], Fields] = {
    ("D108", "syntax"): (("Repr-Digest", "sha-256=:not base64!:, sha-256"),),
    ("D108", "unknown"): (("Repr-Digest", "sha-999=:AAAA:, unixsum=:AAAA:"),),
    ("D108", "length"): (("Repr-Digest", "sha-256=:AAAA:"),),
    ("D111", "composite"): (("x-amz-checksum-sha256", f"{_ZERO}-4"), ("x-amz-checksum-type", "COMPOSITE")),
    ("D111", "composite-bare"): (("x-amz-checksum-sha256", _ZERO), ("x-amz-checksum-type", "COMPOSITE")),
}
for (_id, _variant), _fields in _NOTHING.items():
    case(
        _id,
        f"a line that proves nothing: {_variant}",
        f"{_variant}-ignored",
        must_verify=False,
        size=_SMALL,
        needs=[Need.WHOLE_CLIENT],
    )(_stated(lambda _s, fields=_fields: fields, f"Every reply has a line that proves nothing ({_variant})."))  # type: ignore[misc]  # see above


@case("D107", "Content-Digest of each part", "content-digest-parts")
def d107_parts(setting: Setting) -> Responder:
    """Every reply states the right Content-Digest of the bytes it carries, which is not that of the file."""

    def change(_request: Request, reply: Reply) -> Reply:
        if reply.length > 64 * 1024 * 1024:
            return reply
        data = reply.source.read(reply.first, reply.first + reply.length)
        value = b64encode(bytes.fromhex(digest(Literal(data)))).decode()
        return reply.with_line("Content-Digest", f"sha-256=:{value}:")

    return faulty(setting, change, lambda _request, reply: reply.status == 206)


@case("D109", "an ETag that looks like an MD5", "etag", must_verify=False, size=_SMALL, needs=[Need.WHOLE_CLIENT])
def d109_etag(setting: Setting) -> Responder:
    """The ETag is 32 hex digits, as some stores use the MD5 for it; it is not that of this file, and proves nothing."""
    setting.file = replace(setting.file, etag=f'"{"0" * 32}"')
    return setting.honest


@case("D107", "the digest of the file as Content-Digest of a part", "content-digest-whole")
def d107_whole(setting: Setting) -> Responder:
    """Every reply states the digest of the whole file as Content-Digest, which is wrong for a part."""
    value = f"sha-256=:{_base64(setting, 'sha256')}:"
    setting.file = replace(setting.file, fields=(("Content-Digest", value),))
    return setting.honest


@case("D106", "two headers disagree", faults=_WRONG, needs=[Need.WHOLE_CLIENT])
def d106(setting: Setting) -> Responder:
    """Every reply states the right SHA-256 as Repr-Digest and a wrong one as Digest."""
    right = f"sha-256=:{_base64(setting, 'sha256')}:"
    setting.file = replace(setting.file, fields=(("Repr-Digest", right), ("Digest", f"sha-256={_ZERO}")))
    return setting.honest


@case("D106", "the user's digest is right, the server's wrong", "configured", needs=[Need.DIGEST, Need.WHOLE_CLIENT],
      must_verify=True)  # fmt: skip
def d106_configured(setting: Setting) -> Responder:
    """Every reply states a wrong digest; the one that the user gave is right, and has the higher trust."""
    setting.file = replace(setting.file, fields=(("Repr-Digest", f"sha-256=:{_ZERO}:"),))
    return setting.honest


@case("D114", "an empty file with its digest", size=0, must_verify=True)
def d114(setting: Setting) -> Responder:
    """The file is empty; every reply with 200 states the digest of nothing, and ranges are ignored."""
    line = ("Repr-Digest", f"sha-256=:{_base64(setting, 'sha256')}:")
    setting.file = replace(setting.file, has_ranges=False, fields=(line,))
    return setting.honest


@case("D104", "the user's digest is right", needs=[Need.DIGEST], must_verify=True)
def d104(setting: Setting) -> Responder:
    """The server is honest and states nothing; the user gives the SHA-256."""
    return faulty(setting, lambda _request, reply: reply, content)
