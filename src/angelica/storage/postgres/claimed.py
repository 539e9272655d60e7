"""Which rows of `claims` this process has made, and how many of their tasks have not ended: what is over is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Claimed:
    """A hint and no more: what it forgets, with its process or after a lost answer, heartbeats and pruning delete."""

    __slots__ = ("_left", "_of", "_over")

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._left: dict[int, tuple[str, int]] = {}
        self._over: dict[str, list[int]] = {}

    def taken(self, worker: str, place: int, ids: Sequence[str]) -> None:
        """Note what a worker has claimed in one go."""
        self._left[place] = (worker, len(ids))
        self._of.update(dict.fromkeys(ids, place))

    def ended(self, ids: Iterable[str]) -> None:
        """Note which tasks run no more under a claim of ours."""
        counts: dict[int, int] = {}
        pop = self._of.pop
        for id_ in ids:
            place = pop(id_, None)
            if place is not None:
                counts[place] = counts.get(place, 0) + 1
        for place, n in counts.items():
            worker, left = self._left[place]
            if left > n:
                self._left[place] = (worker, left - n)
            else:
                del self._left[place]
                self._over.setdefault(worker, []).append(place)

    def over(self, worker: str) -> list[int]:
        """Return the rows of a worker of which nothing runs any more."""
        return list(self._over.get(worker, ()))

    def deleted(self, worker: str, places: Sequence[int]) -> None:
        """Forget rows that `over` has returned."""
        if not places:
            return
        left = [place for place in self._over.get(worker, ()) if place not in places]
        if left:
            self._over[worker] = left
        else:
            self._over.pop(worker, None)
