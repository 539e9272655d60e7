"""Notes: the newest of each attempt, in batches, from any thread, and not lost when the store fails."""

from __future__ import annotations

import asyncio
import threading

from angelica.domain.task import Lease
from angelica.errors import StorageUnavailable
from angelica.runtime import notes as module
from angelica.runtime.notes import Notes
from angelica.storage.protocol import Note
from tests.runtime.house_of_attempts import assignment, no_handler, run, until


class Store:
    def __init__(self):
        self.calls = []
        self.errors = []
        self.stale = frozenset()

    async def annotate(self, notes):
        self.calls.append(tuple(notes))
        if self.errors:
            raise self.errors.pop(0)
        return self.stale


def notes_on(store, stale=None):
    return Notes(store, chance=lambda: 0.0, on_stale=lambda leases, verb: stale.append((leases, verb)))


def test_the_newest_of_each_part_is_written_in_one_batch(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def story():
        store = Store()
        notes = notes_on(store)
        notes.start()
        notes.add(Note("a", 1, checkpoint="1"))
        notes.add(Note("a", 1, progress="p"))
        notes.add(Note("a", 1, checkpoint="2"))
        notes.add(Note("b", 1, progress="q"))
        await until(lambda: store.calls)
        assert store.calls == [(Note("a", 1, "2", "p"), Note("b", 1, None, "q"))]
        notes.add(Note("a", 1, progress="r"))
        await until(lambda: len(store.calls) == 2)
        await notes.stop()

    run(story())


def test_what_the_store_did_not_take_is_merged_with_what_came_meanwhile(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def story():
        store = Store()
        store.errors = [StorageUnavailable("down")]
        notes = notes_on(store)
        notes.start()
        notes.add(Note("a", 1, checkpoint="kept", progress="old"))
        await until(lambda: store.calls)
        notes.add(Note("a", 1, progress="new"))
        await until(lambda: len(store.calls) == 2)
        assert store.calls[1] == (Note("a", 1, "kept", "new"),)
        await notes.stop()

    run(story())


def test_the_end_of_an_attempt_takes_its_note_along():
    async def story():
        store = Store()
        notes = notes_on(store)
        notes.start()
        made = assignment(no_handler, "a")
        notes.add(Note("a", 1, progress="p"))
        assert notes.take(made) == Note("a", 1, None, "p")
        assert notes.take(made) is None
        await notes.stop()
        assert store.calls == []

    run(story())


def test_stop_writes_what_is_left_and_says_what_was_stale():
    async def story():
        store, stale = Store(), []
        store.stale = frozenset({Lease("a", 1)})
        notes = notes_on(store, stale)
        notes.start()
        thread = threading.Thread(target=notes.add, args=(Note("a", 1, progress="p"),))
        thread.start()
        await asyncio.to_thread(thread.join)
        await notes.stop()
        assert len(store.calls) == 1
        assert stale == [(frozenset({Lease("a", 1)}), "annotate")]

    run(story())
