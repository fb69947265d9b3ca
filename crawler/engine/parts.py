"""What the engine works with, and what it shows of its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from crawler.config import Config
from crawler.engine.clock import Clock
from crawler.engine.held import Held
from crawler.fetch.fetcher import Fetcher
from crawler.frontier.frontier import Frontier
from crawler.frontier.scope import Admitted, Scope
from crawler.quarantine.keeper import Quarantine
from crawler.store.store import Store
from pipelines.batcher import Batcher
from pipelines.page import Page
from pipelines.url import CanonicalUrl

if TYPE_CHECKING:
    from crawler.engine.bodies import BodyStore


class Live(Struct, eq=False):
    """What happens right now; read by whoever shows it."""

    in_flight: int = 0
    processing: int = 0
    responses: int = 0
    wire_bytes: int = 0
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Parts(Struct, kw_only=True, eq=False):
    """What the engine works with. It owns none of it."""

    config: Config
    frontier: Frontier
    scope: Scope
    judge: Callable[[Sequence[CanonicalUrl]], Awaitable[list[Admitted | str | None]]]
    """`scope` where it can hold up nobody."""
    fingerprint: Callable[[str], int]
    tidy: Callable[[CanonicalUrl], CanonicalUrl]
    fetcher: Fetcher
    store: Store
    batcher: Batcher
    held: Held
    decode: Callable[[Page], Awaitable[bytes | None]]
    bodies: BodyStore | None
    quarantine: Quarantine
    clock: Clock
