"""After new zone data every schedule that was timed by other data gets its next fire computed again, and only those."""

from dataclasses import replace

import pytest

from angelica.domain.schedule import Phase
from angelica.runtime.retime import Retimer
from angelica.runtime.zonedata import zone_data
from angelica.storage.protocol import ScheduleFilter, SchedulePut
from tests.schedules.office import STORES, in_office

HOUR = 3_600_000_000


@pytest.fixture(params=STORES)
def office(request, tmp_path):
    return lambda story: in_office(request.param, tmp_path, story)


async def mistime(o, schedule_id, edition):
    """Store a schedule as another edition of the zone data would have timed it: an hour off."""
    standing = await o.schedules.get(schedule_id)
    wrong = replace(standing, tz_version=edition, next_fire_at=standing.next_fire_at + HOUR)
    put = SchedulePut(wrong, expect=standing.version, seen=standing)
    assert await o.storage.put_schedules([put], now=o.clock.now()) == ("updated",)
    return standing


def test_only_what_other_data_timed_is_timed_again(office) -> None:
    async def story(o):
        for name in ("old", "new"):
            await o.create(schedule_id=name, every=None, cron="0 2 * * *", timezone="Europe/Berlin")
        await o.create(schedule_id="plain", every=60)
        right = await mistime(o, "old", "1999a")
        kept = await mistime(o, "new", zone_data())
        await Retimer(o.storage, means=o.means, edition=zone_data()).step()
        timed = await o.schedules.get("old")
        assert (timed.next_fire_at, timed.tz_version, timed.version) == (right.next_fire_at, zone_data(), 1)
        assert (await o.schedules.get("new")).next_fire_at == kept.next_fire_at + HOUR
        assert (await o.schedules.get("plain")).tz_version == ""
        assert (await o.storage.list_schedules(ScheduleFilter(timed_by_other=zone_data()))).items == ()

    office(story)


def test_a_paused_schedule_is_timed_too_and_stays_paused(office) -> None:
    async def story(o):
        await o.create(schedule_id="s", every=None, cron="0 2 * * *", timezone="Europe/Berlin")
        await o.schedules.pause("s")
        right = await mistime(o, "s", "1999a")
        await Retimer(o.storage, means=o.means, edition=zone_data()).step()
        timed = await o.schedules.get("s")
        assert (timed.next_fire_at, timed.phase) == (right.next_fire_at, Phase.PAUSED)

    office(story)


def test_the_edition_has_a_name() -> None:
    assert zone_data()[:4].isdigit()
