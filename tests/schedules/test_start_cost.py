"""What a start costs: it looks at what its own code declares, never at all schedules that there are."""

from __future__ import annotations

import pytest

from angelica.domain.schedule import Phase
from angelica.runtime.ownership import Declaration
from angelica.runtime.schedule_drafts import read_schedule
from tests.schedules.office import STORES, in_office

OTHERS = 1_200


def declared(name, source):
    return Declaration(read_schedule({"schedule_id": name, "name": "report", "cron": "@daily"}), source, 1)


@pytest.mark.parametrize("kind", STORES)
def test_what_others_declare_is_not_looked_at(kind, tmp_path) -> None:
    async def story(o):
        await o.schedules.declare([declared(f"other-{n}", "file") for n in range(OTHERS)])
        await o.schedules.declare([declared("stays", "app"), declared("goes", "app")], sources=["app"], revision=1)
        seen = []
        list_schedules = o.storage.list_schedules

        async def spying(where, **how):
            page = await list_schedules(where, **how)
            seen.extend(page.items)
            return page

        o.storage.list_schedules = spying
        done = await o.schedules.declare([declared("stays", "app")], sources=["app", "lib"], revision=1)
        assert (done.unchanged, done.orphaned) == (("stays",), ("goes",))
        assert sorted(schedule.id for schedule in seen) == ["goes", "stays"]
        assert (await o.schedules.get("other-7")).phase is Phase.ACTIVE

    in_office(kind, tmp_path, story)
