"""Whether an answer is still about the file that was begun."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.answers.fields import Fields
from crawler.download.answers.identity import Identity, changed, identity_of, is_same

NOON = "Sun, 01 Mar 2026 12:00:00 GMT"
NOON_1 = "Sun, 01 Mar 2026 12:00:01 GMT"
NOON_RFC850 = "Sunday, 01-Mar-26 12:00:00 GMT"


def seen(*lines: tuple[str, str], total: int | None = 10) -> Identity:
    return identity_of(Fields(lines), total)


def test_d24_d36_etag_change_is_a_change_each_time() -> None:
    """Who counts the changes is not this; that each one is seen is."""
    versions = [seen(("ETag", f'"{number}"')) for number in range(4)]
    assert all(changed(one, other) for one, other in permutations(versions, 2))
    assert not any(changed(one, one) for one in versions)


@pytest.mark.parametrize("why", ["10", "11"])
def test_a_change_names_both_values(why: str) -> None:
    told = changed(Identity(10), Identity(11))
    assert told is not None
    assert why in told


def test_d26_if_range_ignored_and_the_date_tells() -> None:
    told = changed(seen(("Last-Modified", NOON)), seen(("Last-Modified", NOON_1)))
    assert told == f"Last-Modified was {NOON} and is {NOON_1}"


def test_d27_if_range_with_the_date_where_there_is_no_tag() -> None:
    pinned = seen(("Last-Modified", NOON), ("Date", NOON_1))
    assert pinned.if_range() == NOON
    assert pinned.is_strong


def test_d27_the_tag_comes_before_the_date() -> None:
    assert seen(("Last-Modified", NOON), ("Date", NOON_1), ("ETag", '"x"')).if_range() == '"x"'


def test_d29_weak_etag_is_never_sent_in_if_range() -> None:
    """RFC 9110 13.1.5: a client must not."""
    pinned = seen(("ETag", 'W/"x"'))
    assert pinned == Identity(10, None, '"x"')
    assert pinned.if_range() is None
    assert not pinned.is_strong


def test_d29_weak_etag_that_differs_is_a_change() -> None:
    assert changed(seen(("ETag", 'W/"x"')), seen(("ETag", 'W/"y"'))) == 'ETag was W/"x" and is W/"y"'
    assert changed(seen(("ETag", 'W/"x"')), seen(("ETag", 'W/"x"'))) is None


def test_d29_a_tag_made_weak_on_the_way_is_the_same_tag() -> None:
    """nginx does that to answers it has compressed."""
    assert changed(seen(("ETag", '"x"')), seen(("ETag", 'W/"x"'))) is None
    assert changed(seen(("ETag", '"x"')), seen(("ETag", 'W/"y"'))) == 'ETag was "x" and is W/"y"'


def test_d30_etag_differs_per_node_for_the_same_bytes() -> None:
    """It cannot be told from a change, so it is one; what follows is up to whoever counts the changes."""
    assert changed(
        seen(("ETag", '"inode-1"'), ("Last-Modified", NOON)), seen(("ETag", '"inode-2"'), ("Last-Modified", NOON))
    )


def test_d30_nodes_with_one_tag_may_have_different_dates() -> None:
    assert (
        changed(seen(("ETag", '"x"'), ("Last-Modified", NOON)), seen(("ETag", '"x"'), ("Last-Modified", NOON_1)))
        is None
    )


def test_d31_what_an_answer_lacks_proves_nothing() -> None:
    pinned = seen(("ETag", '"x"'), ("Last-Modified", NOON))
    assert changed(pinned, Identity(None)) is None
    assert changed(pinned, Identity(10)) is None
    assert changed(Identity(None), pinned) is None


def test_d31_without_the_tag_the_date_still_counts() -> None:
    pinned = seen(("ETag", '"x"'), ("Last-Modified", NOON))
    assert changed(pinned, seen(("Last-Modified", NOON_1)))
    assert changed(pinned, seen(("Last-Modified", NOON_RFC850))) is None  # the same moment, spelled otherwise


def test_d32_date_of_the_second_in_which_it_was_sent_is_weak() -> None:
    """The file may change again within that second and keep its date (RFC 9110 8.8.2.2)."""
    pinned = seen(("Last-Modified", NOON), ("Date", NOON))
    assert pinned.last_modified == NOON
    assert not pinned.is_date_strong
    assert pinned.if_range() is None
    assert seen(("Last-Modified", NOON_1), ("Date", NOON)).if_range() is None
    assert seen(("Last-Modified", NOON)).if_range() is None


def test_d38_variant_with_its_own_tag() -> None:
    assert changed(seen(("ETag", '"x"')), seen(("ETag", '"x-br"')))


@pytest.mark.parametrize(
    "tag", ["x", "'x'", '"x', 'x"', '"x" ,', '"x""', 'w/"x"', 'W/ "x"', "W/", '"a b"', '"\x7f"', "*", ""]
)
def test_malformed_tag_counts_as_absent(tag: str) -> None:
    assert seen(("ETag", tag)) == Identity(10)


@pytest.mark.parametrize("tag", ['""', '"!"', '"#~"', '"\x80\xff"', '"W/"'])
def test_odd_tag_is_a_tag(tag: str) -> None:
    assert seen(("ETag", tag)).if_range() == tag


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Sun, 32 Mar 2026 12:00:00 GMT", "2026-03-01T12:00:00Z"])
def test_malformed_date_counts_as_absent(date: str) -> None:
    assert seen(("Last-Modified", date)) == Identity(10)


def test_two_different_tags_identify_nothing() -> None:
    assert seen(("ETag", '"x"'), ("ETag", '"y"')) == Identity(10)
    assert seen(("ETag", '"x"'), ("etag", '"x"')).etag == '"x"'


IDENTITIES = st.builds(
    Identity,
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, '"x"', '"y"']),
    st.sampled_from([None, '"x"', '"y"']),
    st.sampled_from([None, NOON, NOON_1]),
    st.booleans(),
)


@given(IDENTITIES, IDENTITIES)
def test_to_differ_is_mutual_and_nothing_differs_from_itself(one: Identity, other: Identity) -> None:
    assert changed(one, one) is None
    assert (changed(one, other) is None) == (changed(other, one) is None)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Identity(10, '"x"'), Identity(10, '"x"'), True),
        (Identity(10, '"x"', None, NOON), Identity(10, '"x"', None, NOON_1), True),
        (Identity(10, '"x"', None, NOON), Identity(10, None, None, NOON), True),
        (Identity(10, None, None, NOON), Identity(10, None, None, NOON_RFC850), True),
        (Identity(10, '"x"', None, NOON), Identity(10, '"y"', None, NOON), False),
        (Identity(10, '"x"'), Identity(11, '"x"'), False),
        (Identity(10, '"x"'), Identity(None, '"x"'), False),
        (Identity(10, '"x"'), Identity(10, None, None, NOON), False),
        (Identity(10, None, '"x"'), Identity(10, None, '"x"'), False),
        (Identity(10), Identity(10), False),
    ],
)
def test_another_place_has_this_version_if_it_says_so(one: Identity, other: Identity, expected: bool) -> None:
    """That nothing speaks against it is not enough."""
    assert is_same(one, other) is expected
