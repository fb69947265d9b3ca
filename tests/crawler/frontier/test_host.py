"""What one host costs in memory: there are thousands, and crawls are long."""

from __future__ import annotations

from crawler.frontier.host import Host
from crawler.frontier.politeness import HostClock, Politeness


def test_an_origin_is_noted_once_however_often_its_robots_txt_expires() -> None:
    host = Host(1, "a.test", HostClock(Politeness()))
    for _ in range(3):
        host.met("http://a.test")
        host.met("https://a.test")
    assert host.origins == ["http://a.test", "https://a.test"]
