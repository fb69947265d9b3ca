"""On which line each key of a TOML file is: `tomllib` does not say.

A scanner for text that `tomllib` has already accepted, so it checks nothing: it walks over keys, strings, arrays and
inline tables and writes down where they start. What it cannot follow it leaves out: a problem then shows the line of
the table around it, or none.
"""

import re
import tomllib
from bisect import bisect_left
from typing import Final

from crawler.config.parsed import KeyPath

_BLANK: Final = re.compile(r"[ \t]*")
_GAP: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'  # a multi-line string may end with quotes of its own
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR: Final = re.compile(r"[^,\]}\n#]*")  # a date may contain a space
_REST_OF_LINE: Final = re.compile(r"[^\n]*\n?")


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the one-based line of every table, key and array element, by path: `("job", "seeds", 0)`.

    An element of an array of tables has its index in the path, as in the parsed data: `("origin", 1, "url")`.
    """
    scanner = _Scanner(text)
    try:
        scanner.run()
    except (ValueError, RecursionError):  # not the TOML this scanner knows: what was found so far is right
        pass
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._position = 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._last_element: dict[KeyPath, int] = {}

    def run(self) -> None:
        table: KeyPath = ()
        self._skip(_GAP)
        while self._position < len(self._text):
            if self._text.startswith("[[", self._position):
                table = self._table_element()
            elif self._text.startswith("[", self._position):
                table = self._table()
            else:
                self._pair(table)
                self._skip(_REST_OF_LINE)
            self._skip(_GAP)

    def _table(self) -> KeyPath:
        start = self._position
        self._expect("[")
        table = self._inside((), self._key())
        self._note(table, start)
        self._expect("]")
        return table

    def _table_element(self) -> KeyPath:
        start = self._position
        self._expect("[[")
        *parents, name = self._key()
        array = (*self._inside((), parents), name)
        self._note(array, start)
        self._last_element[array] = self._last_element.get(array, -1) + 1
        element = (*array, self._last_element[array])
        self._note(element, start)
        self._expect("]]")
        return element

    def _inside(self, table: KeyPath, names: list[str]) -> KeyPath:
        """Return the path of a key, going into the last element of each array of tables on the way."""
        for name in names:
            table = (*table, name)
            if table in self._last_element:
                table = (*table, self._last_element[table])
        return table

    def _pair(self, table: KeyPath) -> None:
        start = self._position
        names = self._key()
        for length in range(1, len(names) + 1):
            self._note((*table, *names[:length]), start)
        self._expect("=")
        self._value((*table, *names))

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip(_BLANK)
            if match := _STRING.match(self._text, self._position):
                names.append(str(tomllib.loads(f"key = {match[0]}")["key"]))
            elif match := _BARE_KEY.match(self._text, self._position):
                names.append(match[0])
            else:
                raise ValueError(self._position)
            self._position = match.end()
            self._skip(_BLANK)
            if not self._text.startswith(".", self._position):
                return names
            self._position += 1

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        if self._text.startswith("[", self._position):
            self._array(path)
        elif self._text.startswith("{", self._position):
            self._inline_table(path)
        else:
            self._skip(_STRING if _STRING.match(self._text, self._position) else _SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._expect("[")
        index = 0
        while not self._closes("]"):
            element = (*path, index)
            self._note(element, self._position)
            self._value(element)
            self._separator("]")
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._expect("{")
        while not self._closes("}"):
            self._pair(path)
            self._separator("}")

    def _closes(self, bracket: str) -> bool:
        self._skip(_GAP)
        if not self._text.startswith(bracket, self._position):
            return False
        self._position += 1
        return True

    def _separator(self, bracket: str) -> None:
        self._skip(_GAP)
        if not self._text.startswith(bracket, self._position):
            self._expect(",")

    def _expect(self, mark: str) -> None:
        self._skip(_BLANK)
        if not self._text.startswith(mark, self._position):
            raise ValueError(self._position)
        self._position += len(mark)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._text, self._position):
            self._position = match.end()

    def _note(self, path: KeyPath, position: int) -> None:
        self.lines.setdefault(path, bisect_left(self._ends, position) + 1)
