"""Lanes as texts: what a tenant is called never changes what else a lane says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.lanes import AFTER, kind_of, known_lane, lane_of, needs_of, tenant_lane

labels = st.dictionaries(st.sampled_from(["gpu", "zone"]), st.sampled_from(["a", "true", "x-1"]), max_size=2)
tenants = st.text(max_size=400) | st.text("!~;,=%.<", max_size=9)


@given(labels, tenants, st.booleans())
def test_a_lane_says_what_it_said_and_the_tenant(requires, tenant, known):
    base = lane_of("async", requires)
    base = known_lane(base, "mail.send") if known else base
    lane = tenant_lane(base, tenant)
    before, after = needs_of(base), needs_of(lane)
    assert after._replace(tenant=None) == before
    assert after.tenant is not None
    assert kind_of(lane) == "async"
    assert "async" < lane < f"async{AFTER}"
    assert len(lane) < 400
    assert tenant_lane(lane, "other") == lane
    assert needs_of(known_lane(lane, "mail.send")).tenant == after.tenant


@given(tenants, tenants)
def test_two_tenants_have_two_lanes(one, other):
    assert (tenant_lane("async", one) == tenant_lane("async", other)) == (one == other)
