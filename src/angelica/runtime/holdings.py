"""Holdings: the leases of a worker, from the claim until their ends are written, and the start file beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from angelica.domain.task import Lease, Task
from angelica.runtime.assignment import Assignment
from angelica.runtime.startfile import BEGUN, ENDED, StartFile


class Holdings:
    """By task id; the newest attempt of a task stands for it. `marks` is where handlers note their beginning.

    Without a start file (a storage that is not on disk) the marks go nowhere.
    """

    def __init__(self, start_file: StartFile | None) -> None:
        self._file = start_file
        self._held: dict[str, Assignment] = {}
        self._marks: Any = bytearray(1) if start_file is None else start_file.mm

    def slots(self, tasks: Sequence[Task]) -> list[int]:
        """Return a slot of the start file for each claimed task."""
        return [0] * len(tasks) if self._file is None else self._file.hold([task.lease for task in tasks])

    def add(self, assignment: Assignment) -> None:
        """Hold a claimed task."""
        self._held[assignment.task_id] = assignment

    def begun(self, assignment: Assignment) -> None:
        """Note that the handler begins; any thread."""
        self._marks[assignment.slot] = BEGUN

    def ended(self, assignment: Assignment) -> None:
        """Note that the handler has ended, and its end is not written yet."""
        self._marks[assignment.slot] = ENDED

    def drop(self, assignment: Assignment) -> None:
        """Hold no longer what was lost, while its handler may still be stopping."""
        if self._held.get(assignment.task_id) is assignment:
            del self._held[assignment.task_id]

    def forget(self, assignments: Iterable[Assignment]) -> None:
        """Forget what is written, or gone."""
        held = self._held
        freed = []
        for assignment in assignments:
            if held.get(assignment.task_id) is assignment:
                del held[assignment.task_id]
            freed.append(assignment.slot)
        if self._file is not None:
            self._file.free(freed)

    def get(self, task_id: str) -> Assignment | None:
        """Return what is held of a task."""
        return self._held.get(task_id)

    def all(self) -> list[Assignment]:
        """Return everything held; any thread."""
        return list(self._held.values())

    def leases(self) -> tuple[Lease, ...]:
        """Return every lease held; any thread."""
        return tuple([assignment.lease for assignment in list(self._held.values())])

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._held

    def close(self) -> None:
        """Give the start file up; it stays if anything is still held, for whoever settles that."""
        if self._file is not None:
            self._file.close(remove=not self._held)
