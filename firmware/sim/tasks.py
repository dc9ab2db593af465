"""Task and TaskQueue of asyncio on virtual time, in the place of the built-in module `_asyncio`.

What asyncio's core expects of them: a task's `state` is True while it runs, None when it ended and nobody waited, False when
somebody did, else the queue of those who wait (or a callback); `data` is the queue it waits in, the exception to throw into it, or its result.
Tasks due at the same millisecond run in the order in which they were queued.
"""

from time import ticks_diff, ticks_ms

_core = None  # asyncio.core's globals, as it gives them to each Task


class TaskQueue:
    """Tasks by due time."""

    def __init__(self):
        self._tasks = []

    def peek(self):
        """Return the first task or None."""
        return self._tasks[0] if self._tasks else None

    def push(self, task, due=None):
        """Queue a task for now, or for the ticks `due`."""
        task.data = None
        task.ph_key = due = ticks_ms() if due is None else due
        tasks = self._tasks
        place = len(tasks)
        while place and ticks_diff(tasks[place - 1].ph_key, due) > 0:
            place -= 1
        tasks.insert(place, task)

    def pop(self):
        """Take out the first task."""
        return self._tasks.pop(0)

    def remove(self, task):
        """Take out a task wherever it is."""
        self._tasks.remove(task)


class Task:
    """A coroutine that the loop runs; awaiting it waits for its end."""

    def __init__(self, coro, core):
        global _core
        _core = core
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0

    def __iter__(self):
        """Begin to wait for the task's end."""
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif type(self.state) is not TaskQueue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        """Join those who wait; raise its exception or StopIteration(result) once it has ended."""
        if not self.state:
            raise self.data
        waiting = _core["cur_task"]
        self.state.push(waiting)
        waiting.data = self

    def done(self):
        """Tell whether it ended."""
        return not self.state

    def cancel(self):
        """Throw CancelledError into the task, or into the one that it waits for in the end; return False when it has ended."""
        if not self.state:
            return False
        if self is _core["cur_task"]:
            raise RuntimeError("can't cancel self")
        innermost = self
        while isinstance(innermost.data, Task):
            innermost = innermost.data
        queue = _core["_task_queue"]
        if hasattr(innermost.data, "remove"):
            innermost.data.remove(innermost)
            queue.push(innermost)
        elif ticks_diff(innermost.ph_key, ticks_ms()) > 0:
            queue.remove(innermost)
            queue.push(innermost)
        innermost.data = _core["CancelledError"]
        return True
