"""One case of the catalogue: what the server does, and how a download may end under it.

A case is data and a builder. The builder gets a `Setting`, one run of the case, and returns what misbehaves;
its docstring is the description. Cases are independent of who downloads: they are written against RFC 9110 and 9112, so
that other downloaders can be held against them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from crawler.testing.bodies import Source
from crawler.testing.faultserver import THREE_HOSTS, FaultServer, Origin, Responder
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import End, Reply, Request

PATH = "/data.bin"
SIZE = 6 * 1024 * 1024 + 12_345
"""Enough for several pieces of 1 MiB and a last one that is odd; little enough for some hundred downloads."""


class Need(Enum):
    """What a case asks of whoever downloads, beside a URL."""

    DIGEST = auto()
    """The SHA-256 of the file: nothing else tells right from wrong here."""
    MIRRORS = auto()
    """More URLs of the same file."""
    PROXY = auto()
    """The server is a proxy."""
    TRUST = auto()
    """The certificate of the server is to be accepted."""
    SECRET = auto()
    """An Authorization header for the first origin."""
    WHOLE_CLIENT = auto()
    """More than a URL on a command line can say."""


@dataclass
class Setting:
    """One run of a case."""

    server: FaultServer
    size: int = SIZE
    url: str = ""
    mirrors: list[str] = field(default_factory=list)
    right: list[Source] = field(default_factory=list)
    """What a download that reports success may have left: every version that was served as a whole."""

    def __post_init__(self) -> None:
        self.file = version("A", self.size)
        self.other = version("B", self.size)
        self.right.append(self.file.body)
        self.url = self.url or self.server.url(PATH)

    @property
    def honest(self) -> Responder:
        """The server without its fault."""
        return lambda request: serve(request, self.file)


Build = Callable[[Setting], Responder]
When = Callable[[Request, Reply], bool]
Change = Callable[[Request, Reply], Reply]


@dataclass(frozen=True)
class Case:
    """See the module."""

    id: str
    """D1 to D124, as the list of fault cases has it."""
    title: str
    build: Build
    variant: str = ""
    may_be_right: bool = True
    """Whether right bytes may come of it."""
    faults: frozenset[str] = frozenset()
    """The reasons a download may give for having failed."""
    needs: frozenset[Need] = frozenset()
    size: int = SIZE
    origins: tuple[Origin, ...] = THREE_HOSTS
    greet: bytes | End | None = None
    must_verify: bool | None = None
    """Whether a success must be verified by what the server says (True), must not be (False), or either (None)."""
    most_requests: int | None = None
    """A bound on the requests of one download."""
    is_slow: bool = False

    @property
    def name(self) -> str:
        """Unique: `D9-no-unit`."""
        return f"{self.id}-{self.variant}" if self.variant else self.id

    @property
    def does(self) -> str:
        """What the script does, in a sentence."""
        return " ".join((self.build.__doc__ or "").split())

    @property
    def number(self) -> int:
        """The number in the id."""
        return int(self.id[1:])


class Shelf:
    """The cases of one file, in order: `@SHELF.case("D1", "200 to every range")` above a builder puts it there."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def case(
        self, id: str, title: str, variant: str = "", *, right: bool = True, faults: Iterable[str] = (),  # noqa: A002 - the field's name
        needs: Iterable[Need] = (), size: int = SIZE, origins: tuple[Origin, ...] = THREE_HOSTS,
        greet: bytes | End | None = None, must_verify: bool | None = None, most_requests: int | None = None,
        is_slow: bool = False,
    ) -> Callable[[Build], Build]:  # fmt: skip
        """Return a decorator that files a builder as a case; a function under several decorators is several cases."""

        def put(build: Build) -> Build:
            self.cases.append(
                Case(
                    id, title, build, variant, right, frozenset(faults), frozenset(needs), size, origins, greet,
                    must_verify, most_requests, is_slow,
                )
            )  # fmt: skip
            return build

        return put


RANGE = ("range_ignored", "range_wrong", "range_refused", "not_partial", "excess_body", "retries_exhausted")
CHANGE = ("changed", "changed_too_often", "seam_mismatch", "digest_mismatch", "size_mismatch", "retries_exhausted")
LINK = ("disconnected", "short_body", "timeout", "too_slow", "connect", "protocol", "retries_exhausted")


def whenever(_request: Request, _reply: Reply) -> bool:
    """Always."""
    return True


def partial(_request: Request, reply: Reply) -> bool:
    """When the honest reply is a 206."""
    return reply.status == 206


def later(request: Request, reply: Reply) -> bool:
    """When the honest reply is a 206 that does not begin at the first byte."""
    return reply.status == 206 and request.first > 0


def content(_request: Request, reply: Reply) -> bool:
    """When the honest reply has the file in it, whole or in part."""
    return reply.status in (200, 206)


def faulty(setting: Setting, change: Change, when: When = whenever, times: int | None = None) -> Responder:
    """Return an honest responder whose replies are changed `when` that holds: the first so many `times`, or always."""
    done = 0

    def respond(request: Request) -> Reply:
        nonlocal done
        reply = serve(request, setting.file)
        if not when(request, reply) or request.method == "HEAD":
            return reply
        if times is not None and done >= times:
            return reply
        done += 1
        return change(request, reply)

    return respond


def turning(setting: Setting, after: ServedFile, when: When = later) -> Responder:
    """Return a responder whose file becomes another one, for good, at the first request for which `when` holds."""
    turned = False
    setting.right.append(after.body)

    def respond(request: Request) -> Reply:
        nonlocal turned
        turned = turned or when(request, serve(request, setting.file))
        return serve(request, after if turned else setting.file)

    return respond
