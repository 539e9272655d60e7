"""Descriptions in English and Chinese, and warnings."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.cron.caution import warnings_for
from angelica.domain.cron.parse import parse
from angelica.domain.cron.repeat import parse_repeat
from angelica.domain.cron.words import describe
from tests.cron.oracle import random_rule

COMMA = "\uff0c"
NEAREST_ZH = "每月最接近 15 日的工作日 00:00"
SUNDAY_ZH = "每月 1 日至 7 日且为周日 00:00"


@pytest.mark.parametrize(
    ("text", "code", "en", "zh"),
    [
        ("0 0 2 * * ?", "at.daily", "Every day at 02:00", "每天 02:00"),
        ("*/5 * * * *", "every.daily", "Every 5 minutes", "每 5 分钟"),
        ("*/30 * * * *", "every.daily", "Every 30 minutes", "每 30 分钟"),
        ("*/10 * * * * *", "every.daily", "Every 10 seconds", "每 10 秒"),
        ("@hourly", "every.daily", "Every hour", "每小时"),
        ("30 */2 * * *", "every.daily", "Every 2 hours at minute 30", "每 2 小时的第 30 分"),
        ("5/15 * * * *", "every.daily", "Every 15 minutes from minute 5", "从第 5 分起每 15 分钟"),
        ("*/40 * * * *", "every.daily", "Every hour at minute 0 and 40", "每小时的第 0、40 分"),
        (
            "*/15 9-17 * * MON-FRI",
            "every.weekly",
            "Every 15 minutes, from 09:00 to 17:59, on Monday to Friday",
            f"每周一至周五{COMMA}09:00 至 17:59 每 15 分钟",
        ),
        ("5 8-18 * * *", "every.daily", "Every hour from 08:05 to 18:05", "08:05 至 18:05 每小时"),
        ("10 30 4 * * *", "at.daily", "Every day at 04:30:10", "每天 04:30:10"),
        ("0 9,17 * * SAT,SUN", "at.weekly", "On Saturday and Sunday at 09:00 and 17:00", "每周六、周日 09:00、17:00"),
        ("0 0 1,15 * *", "at.monthly", "On day 1 and 15 of the month at 00:00", "每月 1 日、15 日 00:00"),
        ("0 0 L * *", "at.monthly", "On the last day of the month at 00:00", "每月最后一天 00:00"),
        ("0 0 L-2 * *", "at.monthly", "On the 3rd-to-last day of the month at 00:00", "每月倒数第 3 天 00:00"),
        ("0 0 15W * *", "at.monthly", "On the weekday nearest to day 15 of the month at 00:00", NEAREST_ZH),
        ("0 9 * * MON#2", "at.weekly", "On the second Monday of the month at 09:00", "每月第二个周一 09:00"),
        ("0 9 * 1 5L", "at.yearly", "On the last Friday of January at 09:00", "1 月的最后一个周五 09:00"),
        ("@yearly", "at.yearly", "On day 1 of January at 00:00", "1 月的 1 日 00:00"),
        ("0 0 13 * FRI", "at.monthly", "On day 13 of the month or on Friday at 00:00", "每月 13 日或每周五 00:00"),
        ("0 0 1-7 * */7", "at.monthly", "On day 1 to 7 of the month if it is Sunday at 00:00", SUNDAY_ZH),
        ("0 0 2 * * ? 2026-2028", "at.years", "Every day in 2026 to 2028 at 02:00", "2026 年至 2028 年 每天 02:00"),
        ("@every 1h30m", "interval", "Every 1 hour 30 minutes", "每 1 小时 30 分钟"),
    ],
)  # fmt: skip
def test_descriptions(text, code, en, zh):
    words = describe(parse(text))
    assert (words.code, words.en, words.zh) == (code, en, zh)


def test_repeats_in_words():
    words = describe(parse_repeat("R5/2026-01-31T09:00/P1M", timezone="Asia/Shanghai"))
    assert words.en == "Every 1 month from 2026-01-31 09:00, 5 times in all"
    assert words.zh == f"自 2026-01-31 09:00 起每 1 个月{COMMA}共 5 次"
    assert words.params["count"] == 5


def test_parameters_are_enough_to_put_it_in_another_language():
    words = describe(parse("*/20 9-17 1,L * MON", timezone="Asia/Shanghai"))
    assert words.params == {
        "second": [[0, 0]],
        "minute": {"step": 20, "first": 0},
        "hour": [[9, 17]],
        "days": [[1, 1]],
        "back": [0],
        "weekdays": [[1, 1]],
        "match": "any",
        "timezone": "Asia/Shanghai",
    }


@given(st.integers(0, 2**32), st.booleans())
def test_every_expression_has_words(seed, sparse):
    trigger = parse(random_rule(Random(seed), sparse=sparse).text)
    words = describe(trigger)
    for spoken in (words, *warnings_for(trigger)):
        json.dumps(spoken.params)
        assert spoken.en[0].isupper()
        assert spoken.en == " ".join(spoken.en.split())
        assert spoken.zh
        assert ",," not in spoken.en
    assert describe(parse(trigger.normal)) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 13 * FRI", [("either_day", {"match": "any"})]),
        ("0 0 1-7 * */7", [("both_days", {"match": "all"})]),
        ("*/7 * * * *", [("uneven_step", {"field": "minute", "step": 7, "gap": 4})]),
        ("5/7 * * * *", [("uneven_step", {"field": "minute", "step": 7, "gap": 11})]),
        ("0 */5 * * *", [("uneven_step", {"field": "hour", "step": 5, "gap": 4})]),
        ("0 0 1 */5 *", [("uneven_step", {"field": "month", "step": 5, "gap": 2})]),
        ("0 0 * * */2", [("uneven_step", {"field": "day_of_week", "step": 2, "gap": 1})]),
        ("0 0 31 * *", [("skips_months", {"months": [2, 4, 6, 9, 11]})]),
        ("0 0 29 * *", [("skips_months", {"months": []})]),
        ("0 0 * * MON#5", [("skips_months", {"months": []})]),
        ("0 0 31 4 *", []),
        ("*/15 * * * *", []),
        ("5/15 * * * *", []),
        ("0,40 * * * *", []),
        ("*/60 * * * *", []),
        ("0 0 L * *", []),
        ("0 0 2 * * ?", []),
        ("@every 7m", []),
    ],
)
def test_warnings(text, expected):
    assert [(words.code, words.params) for words in warnings_for(parse(text))] == expected


def test_warnings_say_what_will_happen():
    (words,) = warnings_for(parse("0 0 13 * FRI"))
    assert "it runs on day 13 of the month, and also on every Friday" in words.en
    assert "每个周五" in words.zh
    (words,) = warnings_for(parse("0 0 13 * FRI", day_match="all"))
    assert "only if that is Friday" in words.en
    (words,) = warnings_for(parse("0 0 31 * *"))
    assert "L is the last day of every month" in words.en
