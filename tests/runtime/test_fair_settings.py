"""Fair queues as settings: what is declared of a queue, and how it is taken back."""

from __future__ import annotations

from angelica.runtime.limits_desk import declared
from angelica.settings import Settings
from angelica.storage.protocol import LimitPut


def test_none_takes_back_what_was_declared_and_a_queue_that_is_left_out_stays_as_it_is() -> None:
    settings = Settings.load(environ={"ANGELICA_FAIR_QUEUES": "mail=tenant,slow=none"}, directory="/nonexistent")
    assert declared((), settings.fair_queues) == [
        LimitPut("queue:mail", declared={"fair": "tenant"}),
        LimitPut("queue:slow", declared={}),
    ]
    assert declared(()) == []
