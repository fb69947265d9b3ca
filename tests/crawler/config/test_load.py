"""From a file to a config: what is right is read, what is wrong is said all at once, each with key, line and remedy."""

import os
from pathlib import Path

import pytest

from crawler.config import Config, load, loads
from crawler.errors import ConfigError, ExitCode, Problem

MINIMAL = '[job]\nseeds = ["https://example.org/"]\n'


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, overrides=overrides)
    return [str(problem) for problem in caught.value.problems]


def test_the_shortest_config_has_every_default() -> None:
    config = loads(MINIMAL)
    assert config.job.seeds == ("https://example.org/",)
    assert config.scope.hosts == ("example.org",)  # the hosts of the seeds
    assert config.fetch.concurrency == 64
    assert config.fetch.total_timeout == 120.0
    assert config.fetch.max_wire_bytes == 16 * 1024 * 1024
    assert config.politeness.delay == 0.5
    assert config.output.headers == ("last-modified", "etag")
    assert config.warnings == ()


def test_units_become_seconds_and_bytes() -> None:
    config = loads(MINIMAL + '[fetch]\ntotal_timeout = "2m"\nmax_wire_bytes = "1.5MiB"\n[politeness]\ndelay = 0\n')
    assert config.fetch.total_timeout == 120.0
    assert config.fetch.max_wire_bytes == 1_572_864
    assert config.politeness.delay == 0.0


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = (
        "max_depth = 3\n"
        "[job]\n"
        'seeds = ["https://example.org/",\n  "example.org" ]\n'
        "[fetch]\n"
        'timeout = "3s"\n'
        'total_timeout = "ten"\n'
        "concurrency = true\n"
        "retries = -1\n"
        "[parse]\n"
        'follow = "all"\n'
    )
    assert problems(text) == [
        'config.toml:1: max_depth: unknown key; did you mean "scope.max_depth"?',
        'config.toml:4: job.seeds[1]: expected an http or https URL, got "example.org"; did you mean "https://example.org"?',
        'config.toml:6: fetch.timeout: unknown key; did you mean "fetch.total_timeout"?',
        'config.toml:7: fetch.total_timeout: expected a time above 0 with unit ("10s", "2m"), got "ten"',
        "config.toml:8: fetch.concurrency: expected a whole number, got true",
        "config.toml:9: fetch.retries: expected a number of at least 0, got -1",
        (
            'config.toml:11: parse.follow: expected at most what parse.outlinks keeps ("pages"), got "all"; '
            'set outlinks = "all", or follow = "pages"'
        ),
    ]


def test_rules_between_keys_are_silent_where_one_of_the_keys_is_wrong() -> None:
    """A wrong `outlinks` is left out to look at the rest; its default must not make `follow` look wrong."""
    text = MINIMAL + '[parse]\noutlinks = "everything"\nfollow = "all"\n'
    assert len(problems(text)) == 1


def test_rules_between_sections_are_checked_beside_other_problems() -> None:
    text = MINIMAL + '[fetch]\nretries = -1\nmax_wire_bytes = "1GiB"\n'
    assert [line.split(": ")[1] for line in problems(text)] == ["fetch.retries", "fetch.max_wire_bytes"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[fetch]\nconcurency = 1", "fetch.concurrency"),
        ("[fetch]\nmax_depth = 1", "scope.max_depth"),
        ("[fetch]\nuser-agent = 'x'", "fetch.user_agent"),
        ("[politeness]\nrobots_max_ag = '1h'", "politeness.robots_max_age"),
        ("[fecth]\nretries = 1", "fetch"),
        ("[parse]\nheaders = ['x']", "headers"),
        ("[crawl]\nallowed_domains = []", None),
        ("[priority]\nraise_ = []", "priority.raise"),
        ("[fetch]\nqwertyuiop = 1", None),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(line: str, found: str | None) -> None:
    (problem,) = problems(f"{MINIMAL}{line}\n")
    assert "unknown key" in problem
    assert ("did you mean" in problem) == (found is not None)
    assert found is None or found in problem.split("did you mean")[1]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("fetch = 3", "expected a table"),
        ("[fetch]\nretries = 1.5", "expected a whole number, got 1.5"),
        ('[fetch]\nretries = "3"', 'expected a whole number, got "3"'),
        ("[fetch]\nretries = 101", "expected a number of at most 100, got 101"),
        ('[fetch]\nuvloop = "yes"', 'expected true or false, got "yes"'),
        ("[fetch]\nuvloop = 1", "expected true or false, got 1"),
        ("[fetch]\nuser_agent = 1", "expected text in quotes, got 1"),
        ('[fetch]\nuser_agent = "a\\nb"', "without line breaks"),
        ('[fetch]\nuser_agent = " "', "not empty"),
        ("[fetch]\ntotal_timeout = 10", 'with unit ("10s", "2m"), got 10; write the unit'),
        ('[fetch]\ntotal_timeout = "0s"', 'expected a time above 0 with unit ("10s", "2m"), got "0s"'),
        ("[fetch]\ntotal_timeout = -5", "expected a time above 0"),
        ("[fetch]\ntotal_timeout = nan", "expected a time above 0"),
        ("[fetch]\ntotal_timeout = inf", "expected a time above 0"),
        ("[fetch]\ntotal_timeout = true", "expected a time above 0"),
        ("[fetch]\ntotal_timeout = 1979-05-27", "got 1979-05-27"),
        ("[fetch]\ntotal_timeout = ['1s']", "got a list"),
        (
            "[fetch]\nmax_wire_bytes = 1000",
            'expected a size above 0 with unit ("500kB", "16MiB"), got 1000; write the unit',
        ),
        ("[fetch]\nallow_addresses = ['127.0.0.1/8']", 'write "127.0.0.0/8"'),
        ("[fetch]\nallow_addresses = ['localhost']", "expected an address range"),
        ("[fetch]\nallow_addresses = '127.0.0.0/8'", "expected a list, in square brackets"),
        ("[parse]\noutlinks = 'none'", "expected 'anchors', 'pages' or 'all'"),
        ("[parse]\nfollow = 'all'", 'expected at most what parse.outlinks keeps ("pages"), got "all"'),
        ("[parse]\nstages = ['mystages.clean']", 'expected "package.module:function"'),
        ("[output]\nheaders = ['a b']", "expected a header name"),
        ("[output]\nfields = ['titel']", 'fields[0]: expected a key of the record, got "titel"; did you mean "title"?'),
        ("[output]\nfields = ['zzz']", "docs/records.md lists them"),
        ("[output]\nfields = [1]", "expected a key of the record"),
        ("[[origin]]\nheaders = {}", "origin[0].url: this key is required"),
        ("[origin]\nurl = 'https://example.org'", "expected a list"),
        ("[scope]\nhosts = ['other.org']", "expected the host of at least one seed (example.org)"),
    ],
)
def test_a_wrong_value_names_the_rule_and_the_value(line: str, rule: str) -> None:
    (problem,) = problems(f"{line}\n{MINIMAL}")
    assert rule in problem
    assert problem.startswith("config.toml:")


def test_max_failed_ratio_is_a_finite_share() -> None:
    for value in ("nan", "inf", "1.1", "-0.1", "true", "'half'"):
        assert len(problems(f"{MINIMAL}max_failed_ratio = {value}\n")) == 1
    assert loads(f"{MINIMAL}max_failed_ratio = 1\n").job.max_failed_ratio == 1


def test_a_config_without_seeds_says_how_to_write_them() -> None:
    for text in ("", "[job]\n", "[job]\nseeds = []\n", "[fetch]\nretries = 1\n"):
        (problem,) = problems(text)
        assert 'job.seeds: expected at least one URL; write seeds = ["https://example.org/"]' in problem


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ("[job\n", 1, "not valid TOML"),
        ("a = 1\n\nb = \n", 3, "not valid TOML"),
        ("a = 1\na = 2\n", 2, "not valid TOML"),
        ('a = "', 1, "not valid TOML"),
        ("a = " + "[" * 5000, None, "not valid TOML"),
        ("a = " + "9" * 5000, None, "not valid TOML"),
        ("\ufeffa = 1", 1, "byte order mark"),
        ("a = 1\x00", 1, "not valid TOML"),
    ],
)
def test_what_is_no_toml_is_one_problem_with_its_line(text: str, line: int | None, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text)
    (problem,) = caught.value.problems
    assert rule in problem.rule
    assert problem.source == "config.toml"
    assert line is None or problem.line == line


@pytest.mark.parametrize(
    ("data", "rule", "line"),
    [
        (b"\xef\xbb\xbf[job]\n", "byte order mark", 1),
        ("[job]\n".encode("utf-16"), "byte order mark", 1),
        (b"[job]\nout = '\xe9'\n", "expected UTF-8, found the byte 0xe9", 2),
        (b"#" * (10 * 1024**2), "at most 1 MiB", None),
    ],
)
def test_bytes_that_are_no_config_are_refused(tmp_path: Path, data: bytes, rule: str, line: int | None) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert rule in problem.rule
    assert problem.line == line
    assert problem.source == str(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A named pipe must not be waited for: the test itself would hang."""
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path: "found a folder",
        tmp_path / "absent.toml": "no such file",
        tmp_path / "pipe": "expected a regular file",
        Path("a\0b"): "cannot be read",
        tmp_path / ("x" * 300): "cannot be read",
    }
    for path, rule in cases.items():
        with pytest.raises(ConfigError, match=rule) as caught:
            load(path)
        assert caught.value.exit_code == ExitCode.USAGE


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(MINIMAL + 'out = "runs/one"\n')
    assert load(tmp_path / "config.toml").job.out == tmp_path / "runs/one"
    assert loads(MINIMAL, base=tmp_path).job.out == tmp_path / "out"
    assert loads(MINIMAL + 'out = "/srv/x"\n', base=tmp_path).job.out == Path("/srv/x")
    assert loads(MINIMAL + 'out = "~/x"\n', base=tmp_path).job.out == Path.home() / "x"


def test_overrides_go_over_the_file() -> None:
    text = MINIMAL + "[fetch]\nconcurrency = 1\n"
    config = loads(
        text,
        overrides=[
            "fetch.concurrency=128",
            "politeness.delay=250ms",
            'scope.deny=["a", "b"]',
            "fetch.headers.X-Id=7=8",
        ],
    )
    assert config.fetch.concurrency == 128
    assert config.politeness.delay == 0.25
    assert config.scope.deny == ("a", "b")
    assert config.fetch.headers == {"X-Id": "7=8"}


def test_problems_of_overrides_name_the_option_instead_of_a_line() -> None:
    text = MINIMAL + "[fetch]\nconcurrency = 1\n"
    assert problems(text, "fetch.concurrency=many", "fetch.concurency=1", "nonsense", "=", "a.b.=1") == [
        "--set nonsense: expected section.key=value; e.g. fetch.concurrency=128",
        "--set : expected section.key=value; e.g. fetch.concurrency=128",
        "--set a.b.: expected section.key=value; e.g. fetch.concurrency=128",
        '--set: fetch.concurrency: expected a whole number, got "many"',
        '--set: fetch.concurency: unknown key; did you mean "fetch.concurrency"?',
    ]


def test_an_override_cannot_smuggle_in_a_second_key() -> None:
    (problem,) = problems(MINIMAL, "fetch.retries=1\nuvloop = false")
    assert "expected a whole number" in problem


def test_an_override_inside_what_is_no_table_leaves_the_problem_of_the_file() -> None:
    assert problems("fetch = 3\n" + MINIMAL, "fetch.retries=1") == ["config.toml:1: fetch: expected a table, got 3"]


def test_names_and_values_cannot_reach_the_terminal_unescaped() -> None:
    found = problems(
        MINIMAL + '"a\\u001b[31mb" = 1\n[fetch]\nuser_agent = ["\\u001b[2J"]\n[scope]\nhosts = ["\\u202ex y"]\n'
    )
    assert len(found) == 3
    assert all(line.isprintable() for line in found)


def test_a_long_value_is_cut() -> None:
    (problem,) = problems(MINIMAL + f'[fetch]\nretries = "{"x" * 5000}"\n')
    assert len(problem) < 200
    assert "(5002 characters)" in problem


def test_an_error_is_a_value_that_travels() -> None:
    import pickle

    with pytest.raises(ConfigError) as caught:
        loads("", "x.toml")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.problems == caught.value.problems
    assert isinstance(copy.problems[0], Problem)


def test_seeds_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_bytes(b"\xef\xbb\xbf# mine\nhttps://b.org\r\n\n  https://example.org/#x\n")
    config = loads(MINIMAL + 'seeds_file = "seeds.txt"\n', base=tmp_path)
    assert config.job.seeds == ("https://example.org/", "https://b.org/")
    assert config.scope.hosts == ("example.org", "b.org")


def test_each_bad_line_of_a_seeds_file_is_a_problem_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_bytes(b"https://a.org/\nfile:///etc/passwd\n\xff\nhttps://u:hunter2@b.org/\n")
    found = problems(f"[job]\nseeds_file = '{path}'\nmax_pages = 0\n")
    assert found == [
        "config.toml:3: job.max_pages: expected a number of at least 1, got 0",
        (
            f'{path}:2: expected an http or https URL, got "file:///etc/passwd"; '
            "serve the folder with a web server (python -m http.server)"
        ),
        f"{path}:3: expected UTF-8",
        f"{path}:4: expected a URL without user and password; give them as basic_auth of an [[origin]]",
    ]


def test_a_seeds_file_full_of_something_else_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text("no url at all\n" * 1000)
    with pytest.raises(ConfigError) as caught:
        loads('[job]\nseeds_file = "seeds.txt"\n', base=tmp_path)
    assert len(caught.value.problems) == 21
    assert "980 more lines" in caught.value.problems[-1].rule


def test_a_seeds_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    for name, rule in (("absent", "no such file"), (".", "a folder")):
        with pytest.raises(ConfigError, match=rule):
            loads(f'[job]\nseeds_file = "{name}"\n', base=tmp_path)


def test_loading_does_not_touch_the_config_built_in_python() -> None:
    assert loads(MINIMAL).redacted() == Config(job={"seeds": ["https://example.org/"]}).redacted()
