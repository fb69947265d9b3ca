"""Which addresses may be reached. Everything here is pure; test_resolver.py shows that the connection obeys."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from crawler.fetch.addresses import AddressPolicy
from pipelines.url import canonicalize, host_of

CLOSED = [
    # C24: one inside each block
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "ff0e::1",
    "100::1", "2001:db8::1", "2001:2::1", "2001:20::1", "3fff::1", "5f00::1", "64:ff9b:1::1",
    # C26: IPv4 inside IPv6
    "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:a9fe:a9fe::",
    "2002:808:808::1", "::a9fe:a9fe", "::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::ffff:0:127.0.0.1",
    "2606:4700::1%eth0",
    "", "example.com", "1.2.3", "08.8.8.8",
]  # fmt: skip
OPEN = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.1.1",
    "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
def test_special_addresses_are_closed(address: str) -> None:
    assert not AddressPolicy().permits(address)


@pytest.mark.parametrize("address", OPEN)
def test_global_addresses_are_open(address: str) -> None:
    assert AddressPolicy().permits(address)


def test_the_allow_list_opens_what_it_names_and_no_more() -> None:
    """C34."""
    policy = AddressPolicy(["127.0.0.1/32", ip_network("fd00:1::/64")])
    assert policy.permits("127.0.0.1")
    assert policy.permits("::ffff:127.0.0.1")
    assert policy.permits("fd00:1::5")
    assert not policy.permits("127.0.0.2")
    assert not policy.permits("fd00:2::5")


def test_an_allow_list_entry_that_is_no_network_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        AddressPolicy(["nonsense"])


@pytest.mark.parametrize(
    "host",
    [
        # C24, C25, C31: every way to write a closed address in a URL that the WHATWG parser takes
        "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1.", "①②⑦.0.0.1",
        "127。0。0。1", "0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]",
        "169.254.169.254", "localhost", "localhost.", "LOCALHOST", "a.localhost", "foo.bar.localhost.",
    ],
)  # fmt: skip
def test_closed_hosts_need_no_lookup(host: str) -> None:
    url = canonicalize(f"http://{host}/")
    assert url is not None
    assert not AddressPolicy().permits_host(host_of(url))


@pytest.mark.parametrize(
    "host", ["example.com", "8.8.8.8", "[2606:4700::1]", "localhost.example", "xn--1-7sb.com", "a.b1"]
)
def test_other_hosts_are_left_to_the_resolver(host: str) -> None:
    assert AddressPolicy().permits_host(host)


def test_localhost_follows_the_allow_list() -> None:
    assert AddressPolicy(["127.0.0.0/8"]).permits_host("localhost")
    assert AddressPolicy(["127.0.0.0/8"]).permits_host("a.localhost")
    assert not AddressPolicy(["10.0.0.0/8"]).permits_host("localhost")


def test_the_machines_own_public_address_is_closed() -> None:
    """C31."""
    policy = AddressPolicy(["8.8.4.4/32"], is_own=lambda address: str(address).startswith("8.8."))
    assert not policy.permits("8.8.8.8")
    assert not policy.permits_host("8.8.8.8")
    assert policy.permits("8.8.4.4")  # listed
    assert policy.permits("1.1.1.1")
