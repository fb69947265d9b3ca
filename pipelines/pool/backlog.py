"""The tasks that no worker has been given yet, first come, first served, and the bytes they hold."""

from __future__ import annotations

from collections import OrderedDict

from pipelines.pool.task import Task


class Backlog:
    """A queue from whose middle a task can be taken by its number."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self.size = 0  # bytes, pickled

    def __len__(self) -> int:
        return len(self._tasks)

    def append(self, task: Task) -> None:
        """Take a new task."""
        self._tasks[task.ident] = task
        self.size += task.size

    def put_back(self, task: Task) -> None:
        """Take a task that was given away; it is the next."""
        self.append(task)
        self._tasks.move_to_end(task.ident, last=False)

    def popleft(self) -> Task:
        """Give away the next task; raises KeyError."""
        _, task = self._tasks.popitem(last=False)
        self.size -= task.size
        return task

    def discard(self, ident: int) -> Task | None:
        """Take out a task, if it is here."""
        task = self._tasks.pop(ident, None)
        if task is not None:
            self.size -= task.size
        return task

    def drain(self) -> list[Task]:
        """Take out all."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self.size = 0
        return tasks
