"""Files in the config: patterns, types, digests and places that are right, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.config import Config, ConfigError, json_schema, loads
from tests.crawler.config.test_schema import errors

SEEDS = '[job]\nseeds = ["https://example.org/"]\n'
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SCHEMA = json_schema()


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_crawl_without_patterns_types_and_tables_has_no_files() -> None:
    config = loads(SEEDS + "[downloads]\nsegments = 2\n")
    assert not config.has_files
    assert loads(SEEDS + '[downloads]\npatterns = ["*.pdf"]\n').has_files
    assert loads(SEEDS + '[downloads]\ncontent_types = ["Application/PDF"]\n').downloads.content_types == (
        "application/pdf",
    )


def test_a_list_of_files_needs_no_seed_and_no_job(tmp_path: Path) -> None:
    text = f'[[download]]\nurl = "HTTPS://Example.org/a.zip"\nsha256 = "{HEX.upper()}"\n'
    config = loads(text, base=tmp_path)
    assert config.job.seeds == ()
    assert config.job.out == tmp_path / "out"
    assert config.download[0].url == "https://example.org/a.zip"
    assert config.download[0].known_digests() == (f"sha256:{HEX}",)
    import tomllib

    assert errors(tomllib.loads(text), SCHEMA, SCHEMA) == []


def test_neither_seed_nor_file_is_refused() -> None:
    assert problems("[downloads]\nsegments = 4\n") == [
        'config.toml: job.seeds: expected at least one URL; write seeds = ["https://example.org/"]'
    ]


def test_digests_are_spelled_as_people_do() -> None:
    config = Config(
        download=[{"url": "https://a.example/x", "sha256": HEX, "digests": [f"SHA-256: {HEX}", "md5:" + "A" * 32]}]
    )
    assert config.download[0].known_digests() == (f"sha256:{HEX}", "md5:" + "a" * 32)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('sha256 = "9f86"', "download[0].sha256: expected 64 hex digits"),
        ('digests = ["sha256"]', "expected algorithm and hex digits"),
        ('digests = ["sha3:00"]', "expected one of md5, sha1"),
        ('path = "../x"', "expected a path inside the folder of the files"),
        ('path = "/etc/x"', "expected a path inside the folder of the files"),
        ('path = "a/.hidden"', "expected a path inside the folder of the files"),
        ('size = "1.5B"', "expected a size of 0 or more with unit"),
        ('mirrors = ["ftp://a.example/x"]', "expected an http or https URL"),
        (f'sha256 = "{HEX}"\ndigests = ["sha256:{"0" * 64}"]', "expected one sha256, found two"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(key: str, said: str) -> None:
    (problem,) = problems(SEEDS + f'[[download]]\nurl = "https://example.org/x"\n{key}\n')
    assert said in problem


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('patterns = [".pdf"]', 'expected a glob that starts with "/" or "*"'),
        ('content_types = ["pdf"]', "expected a media type without parameters"),
        ('content_types = ["text/html"]', "expected a media type other than that of pages"),
        ('digests = ["sha257"]', "expected one of md5"),
        ("segments = 0", "expected a number of at least 1"),
    ],
)
def test_what_is_wrong_with_the_rules_is_said(key: str, said: str) -> None:
    (problem,) = problems(SEEDS + f"[downloads]\n{key}\n")
    assert said in problem


def test_a_file_is_listed_once_and_a_name_given_once() -> None:
    twice = '[[download]]\nurl = "https://example.org/x"\npath = "x"\n' * 2
    assert [problem.partition(": ")[2] for problem in problems(SEEDS + twice)] == [
        "download[1].url: expected one [[download]] with url https://example.org/x, found another; merge them",
        "download[1].path: expected one [[download]] with path x, found another; rename one",
    ]


def test_a_listed_file_does_not_change_which_urls_belong_to_the_crawl() -> None:
    """So that a file can be added to a job that is under way."""
    with_file = loads(SEEDS + '[[download]]\nurl = "https://cdn.example.com/x"\n')
    assert with_file.scope_digest() == loads(SEEDS).scope_digest()
    assert with_file.scope.hosts == ("example.org",)
