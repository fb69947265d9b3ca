"""Finds out what each origin's robots.txt allows: from the store while it is fresh, else by a polite request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from crawler.config import Config
from crawler.engine.clock import Clock
from crawler.fetch.outcome import Failed, Fetched, FileHead, Outcome, Redirected, Refused
from crawler.frontier.frontier import Frontier
from crawler.frontier.reasons import Reason
from crawler.frontier.request import MAX_ROBOTS_REDIRECTS, Kind, Request
from crawler.frontier.retry import Retry, decide
from crawler.frontier.robots import RobotsRow, RobotsRules, answer, product_token
from crawler.frontier.steps import NeedRobots
from crawler.store.group import Robots
from crawler.store.store import Store
from pipelines.page import Page
from pipelines.url import CanonicalUrl, host_of

GIVE_UP = 1_000_000  # failures in a row: the retries were ours to count, the refusal is final for this run


class RobotsDesk:
    """Answers the frontier's `NeedRobots`, and takes the outcomes of robots.txt requests."""

    def __init__(
        self,
        config: Config,
        frontier: Frontier,
        store: Store,
        clock: Clock,
        decode: Callable[[Page], Awaitable[bytes | None]],
    ) -> None:
        """`decode` removes content codings, away from the event loop; None says that it could not be done."""
        self._config = config
        self._frontier = frontier
        self._store = store
        self._clock = clock
        self._decode = decode
        self._agent = product_token(config.fetch.user_agent)

    async def find(self, need: NeedRobots) -> None:
        """Give the frontier the rules kept in the store, or a request for fresh ones."""
        kept = await self._store.robots(need.origin)
        wall = self._clock.wall()
        if kept is not None:
            rules = RobotsRules.from_row(RobotsRow(*kept), agent=self._agent)
            if rules.is_fresh(wall) and wall < rules.fetched_at + self._config.politeness.robots_max_age:
                self._tell(need.origin, rules)
                return
        url = CanonicalUrl(need.origin + "/robots.txt")
        request = Request(id=0, url=url, host=host_of(url), kind=Kind.ROBOTS, origin=need.origin)
        self._frontier.want_robots(request, self._clock.now())

    async def answered(self, request: Request, outcome: Outcome) -> None:
        """Take what a robots.txt request came to."""
        result: int | Reason
        body = b""
        match outcome:
            case Fetched(page):
                decoded = await self._decode(page)
                result, body = (Reason.PARSE_CRASH, b"") if decoded is None else (page.status, decoded)
            case Redirected(_, target):
                if len(request.redirects) < MAX_ROBOTS_REDIRECTS:
                    chain = (*request.redirects, request.url)
                    hop = request._replace(url=target, host=host_of(target), redirects=chain, attempt=1)
                    self._frontier.want_robots(hop, self._clock.now())
                    return
                result = Reason.REDIRECT_LIMIT
            case Refused(reason):
                result = reason
            case FileHead():
                raise AssertionError("only a page can turn out to be a file")
            case Failed(reason):
                if self._again(request, outcome):
                    return
                result = reason if outcome.status is None else outcome.status
        wall = self._clock.wall()
        rules = answer(result, body, agent=self._agent, now=wall, failures=GIVE_UP)
        if not rules.is_final:
            row = rules.to_row()
            self._store.put(Robots(request.origin, row.state, row.body, row.fetched_at))
        self._tell(request.origin, rules)

    def _again(self, request: Request, failed: Failed) -> bool:
        fetch = self._config.fetch
        decision = decide(
            failed.reason,
            request.attempt,
            retries=fetch.retries,
            base=fetch.retry_delay,
            maximum=fetch.retry_delay_max,
            retry_after_max=self._config.politeness.retry_after_max,
            jitter=self._clock.random(),
            retry_after=failed.retry_after,
            status=failed.status,
        )
        if not isinstance(decision, Retry):
            return False
        again = request._replace(attempt=request.attempt + 1)
        self._frontier.retry(again, self._clock.now() + decision.delay_seconds)
        return True

    def _tell(self, origin: str, rules: RobotsRules) -> None:
        polite = self._config.politeness
        now, wall = self._clock.now(), self._clock.wall()
        age = min(rules.expires - wall, rules.fetched_at + polite.robots_max_age - wall)
        delay = min(rules.crawl_delay or 0.0, polite.crawl_delay_max)
        self._frontier.robots(origin, rules, expires_at=now + max(age, 1.0), crawl_delay=delay)
