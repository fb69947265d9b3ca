"""sample_config.toml holds every key exactly once, with meaning and default; a key it lacks or invents fails here."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from crawler.config import Config, load, loads
from crawler.config.reference import sections
from crawler.config.tree import Key, default_of, keys, kind_of

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "sample_config.toml"
_HEAD = re.compile(r"(# )?(\[\[?)(\w+)\]\]?$")
_KEY = re.compile(r"(?P<off># )?(?P<name>[a-z0-9_]+) = (?P<value>.+?)(?:  # default: (?P<default>.+))?$")
_NO_DEFAULT = {"no limit", "none", "all cores", "required"}


class Shown(NamedTuple):
    """One key as the sample shows it."""

    is_on: bool
    value: object
    default: str | None
    meaning: str


def shown() -> list[tuple[str, Shown]]:
    found = []
    section, comment = "", ""
    for line in SAMPLE.read_text("utf-8").splitlines():
        if head := _HEAD.match(line):
            section, comment = head[3], ""
        elif key := _KEY.match(line):
            value = tomllib.loads(f"v = {key['value']}")["v"]
            found.append((f"{section}.{key['name']}", Shown(not key["off"], value, key["default"], comment.strip())))
            comment = ""
        elif line.startswith("#"):
            comment += line.removeprefix("#")
        else:
            assert not line, f"neither key, head nor comment: {line}"
            comment = ""
    return found


KEYS = [key for name, model in sections() for key in keys(model, name)]


def test_every_key_is_shown_exactly_once_and_in_order() -> None:
    assert [name for name, _ in shown()] == [key.dotted for key in KEYS]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.dotted)
def test_a_key_is_shown_with_its_meaning_and_its_default(key: Key) -> None:
    sample = dict(shown())[key.dotted]
    assert sample.meaning == key.field.description
    default = None if key.field.is_required() else default_of(key.field)
    if key.dotted == "fetch.user_agent":
        assert sample.default == '"' + re.sub(r"/\S+", "/<version>", str(default), count=1) + '"'
    elif default is None:
        assert not sample.is_on
        assert sample.default in _NO_DEFAULT
    else:
        said = sample.value if sample.default is None else tomllib.loads(f"v = {sample.default}")["v"]
        kind = kind_of(key.field)
        same_unit = kind.show(kind.read(said, None)) if kind and kind.label in ("time", "size") else said  # type: ignore[arg-type] # these need no source
        assert same_unit == default
        assert sample.default is None or said != sample.value, "the comment repeats the value"


def test_the_sample_crawls_the_demo_site() -> None:
    config = load(SAMPLE)
    assert config.warnings == ()
    assert config.job.seeds == ("http://127.0.0.1:8642/",)
    assert config.scope.hosts == ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    assert [str(network) for network in config.fetch.allow_addresses] == ["127.0.0.0/8"]
    assert config.job.out == ROOT / "out"


def test_what_is_switched_off_in_the_sample_works_when_it_is_switched_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "SESSION", "PASSWORD", "PROXY_PASSWORD"):
        monkeypatch.setenv(name, "value")
    (tmp_path / "seeds.txt").write_text("http://127.0.0.2:8642/\n")
    text = re.sub(r"(?m)^# (?=\[\[(?:origin|download)\]\]$|[a-z0-9_]+ = )", "", SAMPLE.read_text("utf-8"))
    config = loads(text, base=tmp_path)
    assert config.scope.max_depth == 5
    assert config.origin[0].url == "https://example.org"
    assert config.download[0].known_digests()[0].startswith("sha256:9f86")
    assert config.downloads.max_bytes == 2 * 1024**3
    assert config.fetch.user_agent.startswith("my-crawler/")
    assert config.job.seeds[1] == "http://127.0.0.2:8642/"


def test_the_rest_of_the_sample_is_the_defaults() -> None:
    changed = {name for name, sample in shown() if sample.is_on and sample.default is not None}
    sample, default = load(SAMPLE).redacted(), Config(job={"seeds": ["http://127.0.0.1:8642/"]}).redacted()
    different = {
        f"{section}.{key}"
        for section, table in default.items()
        if isinstance(table, dict)
        for key, value in table.items()
        if sample[section][key] != value
    }
    assert different - {"job.out"} == changed - {"job.seeds"}
