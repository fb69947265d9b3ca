"""What a table takes: exactly the kinds it names, at every level, whoever writes it."""

import copy
import math
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from crawler.config import Config, ConfigError, Cpu, Fetch, Job, Origin, Output, Priority, Scope, loads

SEEDS = ["https://example.org/"]
MINIMAL = '[job]\nseeds = ["https://example.org/"]\n'


def refused(make: Callable[..., Any], **values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make(**values)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("value", [True, False, 1.0, 0.5, "3", None, [3], {"a": 3}, b"3", math.nan, 3 + 0j])
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    """`retries = true` is 1 for Python, and a typing error for everybody else."""
    (problem,) = refused(Fetch, retries=value)
    assert problem.startswith("retries: expected a whole number, got ")


@pytest.mark.parametrize("value", [True, "0.5", None, [], {}])
def test_a_number_is_no_switch_and_no_text(value: Any) -> None:
    (problem,) = refused(Job, seeds=SEEDS, max_failed_ratio=value)
    assert problem.startswith("max_failed_ratio: expected a number, got ")


def test_a_whole_number_is_a_number_too() -> None:
    ratio = Job(seeds=SEEDS, max_failed_ratio=1).max_failed_ratio  # type: ignore[arg-type]  # a list where a tuple is
    assert (ratio, type(ratio)) == (1.0, float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_share_is_finite(value: float) -> None:
    assert refused(Job, seeds=SEEDS, max_failed_ratio=value) == [
        f"max_failed_ratio: expected a finite number, got {value}"
    ]


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", None, [True]])
def test_a_switch_is_true_or_false(value: Any) -> None:
    (problem,) = refused(Fetch, uvloop=value)
    assert problem.startswith("uvloop: expected true or false, got ")


@pytest.mark.parametrize("value", [1, True, None, ["all"], "All", ""])
def test_a_choice_is_one_of_its_words(value: Any) -> None:
    (problem,) = refused(Output, compress=value)
    assert problem.startswith("compress: expected 'none' or 'zstd', got ")


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "at least 1, got 0"),
        (-(2**70), f"at least 1, got -{2**70}"),
        (10_001, "at most 10000, got 10001"),
        (2**63, f"at most 10000, got {2**63}"),
        (2**70, f"at most 10000, got {2**70}"),
    ],
)
def test_numbers_keep_to_their_bounds_also_beyond_64_bits(value: int, rule: str) -> None:
    assert refused(Fetch, concurrency=value) == [f"concurrency: expected a number of {rule}"]
    assert refused(Scope, max_segments=2**53 + 1) == [
        f"max_segments: expected a number of at most {2**53}, got {2**53 + 1}"
    ]
    assert Scope(max_segments=2**53).max_segments == 2**53


@pytest.mark.parametrize("key", ["retries", "total_timeout", "max_wire_bytes"])
def test_a_number_that_python_cannot_write_down_is_a_problem_and_no_accident(key: str) -> None:
    (problem,) = refused(loads, text=f"{MINIMAL}[fetch]\n{key} = 0x{'f' * 5000}\n")
    assert problem.startswith(f"config.toml:4: fetch.{key}: expected a ")
    assert "got a number of 20000 bits" in problem


@pytest.mark.parametrize("value", ["a", b"a", {"a": 1}, 1, True, None])
def test_a_list_is_no_text_and_no_table(value: Any) -> None:
    (problem,) = refused(Scope, deny=value)
    assert problem.startswith("deny: expected a list, in square brackets, got ")


def test_in_python_any_collection_is_a_list_and_any_mapping_a_table() -> None:
    config = Config(
        job=MappingProxyType({"seeds": iter(SEEDS)}),
        scope={"deny": {"x"}},
        fetch={"headers": MappingProxyType({"A": "b"})},
    )
    assert config.job.seeds == ("https://example.org/",)
    assert config.scope.deny == ("x",)
    assert config.fetch.headers == {"A": "b"}


@pytest.mark.parametrize("value", [1, "x", ["x"], None, True, Cpu()])
def test_a_table_is_a_table_at_every_level(value: Any) -> None:
    (problem,) = refused(Config, job={"seeds": SEEDS}, fetch=value)
    assert problem.startswith("fetch: expected a table, got ")
    (problem,) = refused(Config, job={"seeds": SEEDS}, fetch={"headers": value})
    assert problem == "fetch.headers: expected a table"  # it may be a credential
    (problem,) = refused(Config, job={"seeds": SEEDS}, origin=[value])
    assert problem.startswith("origin[0]: expected a table")


def test_what_is_wrong_inside_is_told_with_its_whole_path() -> None:
    assert refused(
        Config,
        job={"seeds": [*SEEDS, 5, ["x"]]},
        scope={"deny": ["a", ""]},
        fetch={"headers": {"A": 1, "b c": "d"}, "allow_addresses": ["10.0.0.0/8", 10]},
        origin=[{"url": "https://a.org"}, {"headers": {"A": "b"}, "extra": 1}],
        extra={"a": 1},
    ) == [
        'job.seeds[1]: expected a URL in quotes ("https://example.org/"), got 5',
        'job.seeds[2]: expected a URL in quotes ("https://example.org/"), got a list',
        'scope.deny[1]: expected a regular expression that is not empty: an empty one matches every URL, got ""',
        "fetch.headers.A: expected text in quotes",
        'fetch.headers."b c": expected a header name: letters, digits and hyphens',
        'fetch.allow_addresses[1]: expected an address range in quotes ("127.0.0.0/8", "fd00::/8"), got 10',
        "origin[1].url: this key is required",
        "origin[1].extra: unknown key",
        "extra: unknown key",
    ]


@pytest.mark.parametrize("key", [1, None, ("a",), 1.5])
def test_a_key_is_text(key: Any) -> None:
    (problem,) = refused(Config, job={"seeds": SEEDS}, cpu={key: 1})
    assert "expected a key that is text" in problem
    found = refused(Config, job={"seeds": SEEDS}, fetch={"headers": {key: "x"}})
    assert ["expected a header name" in problem for problem in found] == [True]


def test_a_required_key_and_a_required_table_are_missed() -> None:
    assert refused(Origin) == ["url: this key is required"]
    assert refused(Config) == ['job.seeds: expected at least one URL; write seeds = ["https://example.org/"]']
    assert Job().seeds == (), "whether a URL is missing depends on the [[download]] tables"


def test_keys_are_given_by_name_only() -> None:
    with pytest.raises(TypeError):
        Fetch(64)  # type: ignore[call-arg]  # the typing error is the point


def test_a_key_that_python_reserves_has_two_names_in_python_and_one_in_a_file() -> None:
    by_name: dict[str, Any] = {"raise": ["a"]}
    assert Priority(raise_=("a",)) == Priority(**by_name)
    assert refused(Priority, **{"raise": ["a"], "raise_": ["b"]}) == ['raise_: unknown key; did you mean "raise"?']
    assert refused(Priority, raise_=["("])[0].startswith("raise_[0]: ")
    (problem,) = refused(loads, text=f"{MINIMAL}[priority]\nraise_ = []\n")
    assert problem == 'config.toml:4: priority.raise_: unknown key; did you mean "priority.raise"?'


def test_none_is_a_value_only_where_a_key_may_be_absent() -> None:
    assert Scope(max_depth=None).max_depth is None
    assert refused(Scope, max_segments=None)[0].startswith("max_segments: expected a whole number")


def test_a_section_is_taken_as_it_is() -> None:
    fetch = Fetch(retries=7)
    assert Config(job={"seeds": SEEDS}, fetch=fetch).fetch is fetch


def test_a_value_given_is_copied_so_that_nobody_can_change_it_later() -> None:
    headers = {"A": "b"}
    fetch = Fetch(headers=headers)
    headers["C"] = "d"
    assert fetch.headers == {"A": "b"}
    assert Fetch().headers is not Fetch().headers


def test_a_section_knows_what_was_given_also_after_a_journey() -> None:
    """A warning is for what somebody wrote, be it the default."""
    fetch = Fetch(connect_timeout=10.0)
    assert fetch.given == {"connect_timeout"}
    assert Fetch().given == frozenset()
    for copied in (copy.copy(fetch), copy.deepcopy(fetch), pickle.loads(pickle.dumps(fetch))):
        assert (copied, copied.given) == (fetch, fetch.given)
    config = Config(job={"seeds": SEEDS}, fetch={"connect_timeout": 10, "total_timeout": 5})
    assert len(config.warnings) == 1
    assert pickle.loads(pickle.dumps(config)).warnings == config.warnings
    assert copy.deepcopy(config).warnings == config.warnings


def test_sections_of_the_same_values_are_equal_and_hash_alike() -> None:
    assert Cpu() == Cpu(nice=2)
    assert hash(Cpu()) == hash(Cpu(nice=2))
    assert Cpu() != Cpu(nice=3)


def test_a_wrong_choice_is_reported_as_all_others_are() -> None:
    text = f'{MINIMAL}[output]\ncompress = "gzip"\ndurability = 1\n[parse]\nmax_links = 1.0\n'
    assert refused(loads, text=text) == [
        "config.toml:4: output.compress: expected 'none' or 'zstd', got \"gzip\"",
        "config.toml:5: output.durability: expected 'full' or 'fast', got 1",
        "config.toml:7: parse.max_links: expected a whole number, got 1.0",
    ]
