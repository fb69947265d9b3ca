"""Secrets: never in the file, never in what is shown, and sent to one origin only."""

import json
import pickle
from pathlib import Path

import msgspec
import orjson
import pytest
from msgspec.structs import asdict

from crawler.config import Config, loads
from crawler.errors import ConfigError

SECRET = "hunter2-the-secret"
HEAD = '[job]\nseeds = ["https://example.org/"]\n[[origin]]\nurl = "https://example.org"\n'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)


def problem(text: str, base: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, base=base)
    (found,) = caught.value.problems
    assert SECRET not in repr(caught.value) + str(caught.value)
    return str(found)


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(f"{SECRET}\n")
    (tmp_path / "secret.txt").chmod(0o600)
    text = (
        HEAD + 'basic_auth = "me:${TOKEN}"\nheaders = { Authorization = "Bearer ${TOKEN}", Accept = "text/html" }\n'
        'cookies = { a = { file = "secret.txt" }, b = "file:secret.txt" }\n'
        '[fetch]\nproxy = "http://user:${TOKEN}@proxy:3128"\n'
    )
    config = loads(text, base=tmp_path)
    (origin,) = config.origin
    assert origin.basic_auth is not None
    assert origin.basic_auth.get_secret_value() == f"me:{SECRET}"
    assert origin.headers["Authorization"].get_secret_value() == f"Bearer {SECRET}"
    assert origin.headers["Accept"].get_secret_value() == "text/html"
    assert [value.get_secret_value() for value in origin.cookies.values()] == [SECRET, SECRET]
    assert config.fetch.proxy is not None
    assert config.fetch.proxy.get_secret_value() == f"http://user:{SECRET}@proxy:3128/"
    assert config.warnings == ()


def test_nothing_that_shows_a_config_shows_a_secret() -> None:
    text = (
        HEAD
        + 'basic_auth = "me:${TOKEN}"\ncookies.a = "${TOKEN}"\n[fetch]\nproxy = "http://user:${TOKEN}@proxy:3128"\n'
    )
    config = loads(text)
    shown = [
        repr(config),
        str(config),
        str(asdict(config)),
        f"{config.origin[0].basic_auth} {config.fetch.proxy}",
        json.dumps(config.redacted()),
    ]
    assert [SECRET in text for text in shown] == [False] * len(shown)
    assert config.redacted()["fetch"]["proxy"] == "http://***@proxy:3128/"
    for encode in (msgspec.json.encode, msgspec.to_builtins, orjson.dumps):
        with pytest.raises(TypeError):
            encode(config)
    copy = pickle.loads(pickle.dumps(config))
    assert copy.origin[0].cookies["a"].get_secret_value() == SECRET


@pytest.mark.parametrize(
    "line",
    [
        f'basic_auth = "me:{SECRET}"',
        f'basic_auth = "${{TOKEN}}:{SECRET}"',
        f'basic_auth = "{SECRET}"',
        f'cookies.session = "{SECRET}"',
        f'headers.Authorization = "Bearer {SECRET}"',
        f'headers.X-Api-Key = "{SECRET}"',
        f'[fetch]\nproxy = "http://user:{SECRET}@proxy:3128"',
    ],
)
def test_a_secret_in_the_file_is_refused_with_the_way_out(line: str) -> None:
    assert 'found one in the file; write "${NAME}" and set that variable, or { file = "path" }' in problem(
        f"{HEAD}{line}\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        f'password = "{SECRET}"',
        f'url = "https://me:{SECRET}@example.org"',
        f"basic_auth.password = '{SECRET}'",
        f"basic_auth = ['{SECRET}']",
        f'cookies = "{SECRET}"',
        f'headers = ["{SECRET}"]',
        f'headers.X = ["{SECRET}"]',
        f'cookies."a b" = "${{TOKEN}}{SECRET}"',
        f'[fetch]\nproxy = "{SECRET}"',
        f'[fetch]\nproxy = ["{SECRET}"]',
        f'[fetch]\nheaders.Authorization = "{SECRET}"',
        f'[fetch]\nheaders = "{SECRET}"',
        f'[fetch]\npassword = "{SECRET}"',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(line: str) -> None:
    head = HEAD.replace('url = "https://example.org"\n', "") if line.startswith("url") else HEAD
    problem(f"{head}{line}\n")


def test_a_variable_that_is_not_set_is_named() -> None:
    said = problem(HEAD + 'basic_auth = "me:${ABSENT}"\n')
    assert said == "config.toml:5: origin[0].basic_auth: environment variable ABSENT is not set; export ABSENT=…"
    assert "variable EMPTY is empty" in problem(HEAD + 'cookies.a = "${EMPTY}"\n')


def test_a_variable_with_a_line_break_cannot_start_a_second_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", f"{SECRET}\r\nX-Admin: 1")
    assert "one line" in problem(HEAD + 'headers.Authorization = "${TOKEN}"\n')


def test_a_variable_is_text_outside_of_secrets() -> None:
    """`${` is legal in a URL and a pattern; expanding it there would put the environment into requests."""
    config = loads('[job]\nseeds = ["https://example.org/${TOKEN}"]\n[scope]\ndeny = ["${TOKEN}"]\n')
    assert SECRET not in repr(config)
    assert config.scope.deny == ("${TOKEN}",)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "lines").write_text(f"{SECRET}\n{SECRET}\n")
    for name in ("absent", ".", "empty", "large", "latin", "lines", "a\\u0000b"):
        assert "origin[0].cookies.a" in problem(f'{HEAD}cookies.a = {{ file = "{name}" }}\n', tmp_path)
    assert "expected text or" in problem(f'{HEAD}cookies.a = {{ path = "x" }}\n', tmp_path)


def test_a_secret_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.txt").chmod(0o644)
    (warning,) = loads(HEAD + 'cookies.a = "file:secret.txt"\n', base=tmp_path).warnings
    assert "chmod 600" in warning
    assert SECRET not in warning


def test_basic_auth_needs_a_user() -> None:
    assert 'expected "user:password"' in problem(HEAD + 'basic_auth = "${TOKEN}"\n')


def test_one_origin_is_described_once() -> None:
    assert "merge them" in problem(HEAD + '[[origin]]\nurl = "https://example.org:443"\n')


def test_credentials_without_encryption_are_a_warning() -> None:
    for url, count in (("http://example.org", 1), ("http://127.0.0.1:8642", 0), ("https://example.org", 0)):
        config = Config(job={"seeds": ["https://example.org"]}, origin=[{"url": url, "basic_auth": "a:b"}])
        assert len(config.warnings) == count


def test_in_python_a_secret_is_taken_as_it_is() -> None:
    config = Config(
        job={"seeds": ["https://example.org"]}, origin=[{"url": "https://example.org", "cookies": {"a": "${X}"}}]
    )
    assert config.origin[0].cookies["a"].get_secret_value() == "${X}"
    assert "${X}" not in repr(config)
