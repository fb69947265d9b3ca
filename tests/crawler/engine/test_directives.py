"""What a page asks of one robot by name is asked of us when the name is ours, the one that robots.txt knows us by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine_runs import lines
from tests.support.small_web import SmallWeb, crawl

AGENTS = ["mybot/1", "MyBot/2.0 (+https://example.org/bot)", "Mozilla/5.0 (compatible; mybot/1; +https://example.org)"]


async def pages_of(
    tmp_path: Path, user_agent: str, *, head: str = "", field: str = "", nofollow: bool = True
) -> list[str]:
    """Return what a crawl asks for: a page that speaks of robots, and perhaps the one it links to."""
    with SmallWeb() as web:
        web.put("/", "/linked", head=head, **({"x_robots_tag": field} if field else {}))
        web.put("/linked")
        await crawl(web.config(tmp_path / "out", fetch={"user_agent": user_agent}, parse={"nofollow": nofollow}))
        return web.pages()


@pytest.mark.parametrize("user_agent", AGENTS)
@pytest.mark.parametrize(("field", "head"), [("MyBot: nofollow", ""), ("", '<meta name="mybot" content="nofollow">')])
async def test_a_nofollow_for_us_by_name_is_heeded(user_agent: str, field: str, head: str, tmp_path: Path) -> None:
    assert await pages_of(tmp_path, user_agent, field=field, head=head) == ["/"]
    (record,) = lines(tmp_path / "out")
    assert record["robots"] == ["nofollow"]


@pytest.mark.parametrize("user_agent", AGENTS)
async def test_a_nofollow_for_us_by_name_is_a_hint_like_any_other(user_agent: str, tmp_path: Path) -> None:
    assert await pages_of(tmp_path, user_agent, field="mybot: nofollow", nofollow=False) == ["/", "/linked"]


@pytest.mark.parametrize(
    ("field", "head"), [("otherbot: nofollow", ""), ("", '<meta name="otherbot" content="nofollow">')]
)
async def test_a_nofollow_for_somebody_else_is_not_ours(field: str, head: str, tmp_path: Path) -> None:
    assert await pages_of(tmp_path, "mybot/1", field=field, head=head) == ["/", "/linked"]
