"""docs/configuration.md says what the model says."""

import re
from pathlib import Path

from crawler.config import loads
from crawler.config.reference import render, sections, table
from crawler.config.tree import keys

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_tables_are_those_of_the_model() -> None:
    """Red? `python -m crawler.config.reference docs/configuration.md` writes them anew."""
    text = PAGE.read_text("utf-8")
    assert render(text) == text
    assert re.findall(r"<!-- keys: (\w+) -->", text) == [name for name, _ in sections()]


def test_a_table_has_one_row_for_each_key() -> None:
    for name, model in sections():
        rows = table(name).splitlines()[2:]
        assert [row.split("`")[1] for row in rows] == [key.name for key in keys(model, name)]
        assert all(row.count(" | ") == 3 for row in rows)


def test_the_first_example_works() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert example is not None
    assert loads(example[1]).job.seeds == ("https://example.org/",)
