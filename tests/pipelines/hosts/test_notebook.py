"""In a real Jupyter kernel: `await` in a cell, the pool, and clear advice where a cell's own function cannot travel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

Program = Callable[..., str]
Gone = Callable[[Iterable[int]], None]

TRY = "try:\n    {}\nexcept TaskNotPicklable as error:\n    print(type(error).__name__, '|', error)"

CELLS = [
    "import math, os, host_work\nfrom pipelines.cpu import default_pool, run_cpu_async",
    "print(await run_cpu_async(math.gcd, 12, 18))",
    "print((await host_work.through_the_default_pool())['stream'])",
    "def double(number):\n    return 2 * number\nclass Point: ...",
    "from pipelines.errors import TaskNotPicklable\nfrom pipelines.stream import stream",
    TRY.format("await run_cpu_async(double, 4)"),
    TRY.format("print([value async for value in stream(double, range(3))])"),
    TRY.format("await run_cpu_async(lambda: 1)"),
    TRY.format("await run_cpu_async(repr, Point())"),
    "%%writefile mine.py\ndef double(number):\n    return 2 * number",
    "import mine\nprint(await run_cpu_async(mine.double, 4))",
    "facts = host_work.through_a_pool()\nprint(facts['crashed'], facts['late'], facts['values'])",
    "print(*default_pool().pids)",
]

RUNNER = """
import json
import nbformat
from nbclient import NotebookClient

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in {cells!r}])
NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=".")
texts = []
for cell in notebook.cells:
    texts.append("".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream"))
print(json.dumps(texts))
"""


def test_a_notebook(program: Program, gone: Gone) -> None:
    shown = [text.strip() for text in json.loads(program(RUNNER.format(cells=CELLS)).splitlines()[-1])]
    assert shown[1:3] == ["6", "True"]
    assert shown[5].startswith("TaskNotPicklable | __main__.double: defined in this notebook, which workers do not run")
    assert "%%writefile" in shown[5]
    assert shown[6] == shown[5], "a stream says the same"
    assert shown[7].startswith("TaskNotPicklable | __main__.<lambda>: defined in this notebook")
    assert "Can't get attribute 'Point'" in shown[8]
    assert "workers do not run the script or notebook that started the pool: define it in a module" in shown[8]
    assert shown[10:12] == ["8", "True True [12, 1, 2, 3]"], "and a crash or a deadline does not cost the kernel"
    gone(map(int, shown[12].split()))
