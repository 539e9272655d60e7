"""What texts mean, and what is said about those that mean nothing."""

from __future__ import annotations

import pytest

from angelica.domain.cron.dayfields import parse_month_days, parse_week_days
from angelica.domain.cron.fields import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, YEAR, bits
from angelica.domain.cron.interval import Every
from angelica.domain.cron.items import parse_mask
from angelica.domain.cron.parse import LONGEST, MACROS, parse
from angelica.domain.cron.problem import Part
from angelica.errors import InvalidValue


def values(field, text, dialect="standard"):
    return list(bits(parse_mask(Part(field, text, 0), dialect)))


def refused(text, **options):
    with pytest.raises(InvalidValue) as caught:
        parse(text, **options)
    return caught.value


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        (MINUTE, "5/15", [5, 20, 35, 50]),
        (MINUTE, "*/60", [0]),
        (HOUR, "*/24", [0]),
        (HOUR, "22-4/2", [0, 2, 4, 22]),
        (HOUR, "08", [8]),
        (SECOND, "58-2", [0, 1, 2, 58, 59]),
        (MINUTE, "1,1,3-5,59", [1, 3, 4, 5, 59]),
        (DAY, "30-2", [1, 2, 30, 31]),
        (DAY, "*/31", [1]),
        (MONTH, "NOV-FEB", [1, 2, 11, 12]),
        (MONTH, "*/5", [1, 6, 11]),
        (WEEKDAY, "7", [0]),
        (WEEKDAY, "7-2", [0, 1, 2]),
        (WEEKDAY, "5-7", [0, 5, 6]),
        (WEEKDAY, "0-7", [0, 1, 2, 3, 4, 5, 6]),
        (WEEKDAY, "7-7", [0]),
        (WEEKDAY, "1-7/3", [0, 1, 4]),
        (WEEKDAY, "MON-MON", [1]),
        (WEEKDAY, "FRI-SUN", [0, 5, 6]),
        (WEEKDAY, "SUN-TUE", [0, 1, 2]),
        (WEEKDAY, "SAT-MON", [0, 1, 6]),
        (WEEKDAY, "THU-TUE/2", [1, 4, 6]),
        (WEEKDAY, "5/2", [5]),
        (WEEKDAY, "MON/2", [1, 3, 5]),
        (WEEKDAY, "7/2", [0, 2, 4, 6]),
        (WEEKDAY, "*/7", [0]),
        (YEAR, "1970,2199", [0, 229]),
        (YEAR, "2190/5", [220, 225]),
    ],
)
def test_values_of_plain_fields(field, text, expected):
    assert values(field, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1", [0]), ("7", [6]), ("2-6", [1, 2, 3, 4, 5]), ("6-1", [0, 5, 6]), ("5/2", [4, 6])]
)
def test_quartz_numbers_days_from_sunday_as_one(text, expected):
    assert values(WEEKDAY, text, "quartz") == expected


def test_day_of_month_forms():
    days = parse_month_days(Part(DAY, "1W,15,LW,L,L-3,L-5W,31W", 0), "standard")
    assert list(bits(days.plain)) == [15]
    assert list(bits(days.nearest)) == [1, 31]
    assert list(bits(days.last)) == [0, 3]
    assert list(bits(days.last_nearest)) == [0, 5]


def test_day_of_week_forms():
    days = parse_week_days(Part(WEEKDAY, "MON#1,WED#3,FRIL,7#5,2,0L", 0), "standard")
    assert list(bits(days.plain)) == [2]
    assert [list(bits(mask)) for mask in days.nth] == [[1], [], [3], [], [0]]
    assert list(bits(days.last)) == [0, 5]


def test_five_six_and_seven_fields():
    assert parse("0 2 * * *") == parse("0 0 2 * * ?") == parse("0 0 2 ? * * *") == parse("\t0  2 * *\n*  ")
    assert parse("0 0 2 * * ? 2026").years == 1 << 56
    assert parse("0 0 2 * * ? 2026,*").years is None


def test_macros_in_any_case_and_dialect():
    for macro, text in MACROS.items():
        assert parse(macro.upper()) == parse(text) == parse(macro, dialect="quartz")


def test_case_does_not_matter_and_the_normal_form_means_the_same():
    for text in ("*/5 9-17 * jan-mar mon-fri", "0 0 0 lw * ? 2026", "0 0 1w,15 * fril,mon#2", "@hourly"):
        trigger = parse(text)
        assert parse(text.upper()) == trigger
        assert parse(trigger.normal) == trigger
        assert len(trigger.normal.split()) in {6, 7}


def test_a_text_is_parsed_once():
    assert parse("17 3 * * *", timezone="Europe/Oslo") is parse("17 3 * * *", timezone="Europe/Oslo")


def test_fixed_and_wild_do_not_depend_on_the_number_of_fields():
    assert parse("30 2 * * *").fixed
    assert parse("* 30 2 * * ? 2026").fixed
    assert parse("0/15 0-23 * * *").fixed
    assert not parse("*/5 2 * * *").fixed
    assert not parse("0 30 * * * *").fixed


@pytest.mark.parametrize(
    ("text", "match", "both"),
    [
        ("0 0 13 * FRI", "auto", False),
        ("0 0 13 * FRI", "all", True),
        ("0 0 13 * FRI", "any", False),
        ("0 0 */2 * FRI", "auto", True),
        ("0 0 */2 * FRI", "any", False),
        ("0 0 1-7 * */7", "auto", True),
        ("0 0 * * FRI", "any", True),
        ("0 0 13 * ?", "any", True),
        ("0 0 1-31 * FRI", "auto", False),
    ],
)
def test_day_match(text, match, both):
    assert parse(text, day_match=match).days.both is both


def test_zone_prefix():
    assert parse("TZ=Asia/Shanghai 0 2 * * *") == parse("0 2 * * *", timezone="Asia/Shanghai")
    assert parse("CRON_TZ=Asia/Shanghai @daily") == parse("@daily", timezone="Asia/Shanghai")
    assert parse("tz=UTC 0 2 * * *", timezone="UTC") == parse("0 2 * * *")
    assert parse("0 2 * * *", timezone="+05:30").zone.constant == 19_800
    assert parse("TZ=UTC @every 5m") == Every(300_000_000)
    error = refused("TZ=Europe/Berlin 0 2 * * *", timezone="UTC")
    assert (error.rule, error.params["position"], error.params["token"]) == ("zone_conflict", 3, "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("EST", "America/Panama"),
        ("PST", "IANA"),
        ("Europe/Berlinn", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("shanghai", "Asia/Shanghai"),
        ("../../etc/passwd", "IANA"),
        ("right/UTC", ""),
        ("Europe", ""),
        ("", "IANA"),
        ("+25:00", ""),
        ("+05:75", ""),
        ("UTC\0", ""),
        ("Ü", ""),
        ("x" * 600, ""),
    ],
)
def test_zones_that_are_refused(name, hint):
    error = refused("0 2 * * *", timezone=name)
    assert (error.field, error.rule) == ("/timezone", "unknown_zone")
    assert hint in error.hint
    assert error.hint


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("@every 90s", 90_000_000),
        ("@every 1h30m", 5_400_000_000),
        ("@EVERY 1.5h", 5_400_000_000),
        ("@every 1d", 86_400_000_000),
        ("@every 1w", 604_800_000_000),
        ("@every 1s500ms250us", 1_500_250),
        ("@every 1000000500us", 1_000_000_500),
        ("@every 1s1000ns", 1_000_001),
        ("@every 1.000001s", 1_000_001),
    ],
)
def test_every(text, micros):
    assert parse(text) == Every(micros)


def test_the_least_interval_can_be_lowered():
    assert refused("@every 100ms").rule == "too_short"
    assert parse("@every 100ms", least=100_000) == Every(100_000)
    assert refused("@every 99ms", least=100_000).rule == "too_short"


@pytest.mark.parametrize(
    ("text", "rule", "field", "token", "hint"),
    [
        ("", "empty", "", "", "0 2 * * *"),
        ("   ", "empty", "", "", "0 2 * * *"),
        ("TZ=UTC", "empty", "", "", "0 2 * * *"),
        ("* * * *", "field_count", "", "*", "minute hour day month weekday"),
        ("* * * * * * * *", "field_count", "", "*", "minute hour day month weekday"),
        ("0 0 1 1 * 2027", "out_of_range", "day_of_week", "2027", "for a year put seconds first and use 7"),
        ("*/90 * * * *", "step_too_large", "minute", "*/90", "use @every 90m"),
        ("0 */36 * * *", "step_too_large", "hour", "*/36", "use @every 36h"),
        ("*/90 * * * * *", "step_too_large", "second", "*/90", "use @every 90s"),
        ("0 0 1 */18 *", "step_too_large", "month", "*/18", "P18M"),
        ("*/0 * * * *", "bad_step", "minute", "*/0", "1 or more"),
        ("/5 * * * *", "bad_step", "minute", "/5", "write */5"),
        ("*/x * * * *", "bad_step", "minute", "*/X", "*/N"),
        ("*/5/2 * * * *", "bad_step", "minute", "*/5/2", "*/N"),
        ("60 * * * *", "out_of_range", "minute", "60", "0-59"),
        ("0 24 * * *", "out_of_range", "hour", "24", "0-23"),
        ("0 0 0 * *", "out_of_range", "day_of_month", "0", "1-31"),
        ("0 0 32W * *", "out_of_range", "day_of_month", "32W", "1 to 31"),
        ("0 0 L-31 * *", "out_of_range", "day_of_month", "L-31", "1 to 30"),
        ("0 0 1 13 *", "out_of_range", "month", "13", "JAN-DEC"),
        ("0 0 * * 8", "out_of_range", "day_of_week", "8", "SUN-SAT"),
        ("0 0 0 1 1 ? 1969", "out_of_range", "year", "1969", "1970-2199"),
        ("0 0 0 1 1 ? 2030-2026", "bad_range", "year", "2030-2026", "2026-2030"),
        ("0 0 * * L", "misplaced", "day_of_week", "L", "use 5L for the last Friday"),
        ("0 0 * * 2,L", "misplaced", "day_of_week", "L", "use 5L for the last Friday"),
        ("0 0 * * 5W", "misplaced", "day_of_week", "5W", "day of month"),
        ("0 0 MON#1 * *", "misplaced", "day_of_month", "MON#1", "day of week"),
        ("0 0 * * MON#6", "bad_value", "day_of_week", "MON#6", "1 to 5"),
        ("0 0 * * #2", "bad_range", "day_of_week", "#2", "START-END"),
        ("0 0 1-5W * *", "bad_value", "day_of_month", "1-5W", "15W"),
        ("0 0 W * *", "bad_value", "day_of_month", "W", "15W"),
        ("0 L * * *", "misplaced", "hour", "L", "day fields"),
        ("0 ? * * *", "misplaced", "hour", "?", "day field"),
        ("0 0 ?,5 * *", "misplaced", "day_of_month", "?", "day field"),
        ("0 0 ?/2 * *", "misplaced", "day_of_month", "?/2", "day field"),
        ("1,,2 * * * *", "bad_value", "minute", "", "comma"),
        ("1- * * * *", "bad_range", "minute", "1-", "START-END"),
        ("-5 * * * *", "bad_range", "minute", "-5", "START-END"),
        ("*-5 * * * *", "bad_value", "minute", "*-5", "stands alone"),
        ("0 0 1 JULY *", "bad_value", "month", "JULY", "use JUL"),
        ("0 0 * * Tuesday", "bad_value", "day_of_week", "TUESDAY", "use TUE"),
        ("@reboot", "unsupported_macro", "", "@reboot", "enqueue"),
        ("@dayly", "unknown_macro", "", "@dayly", "@daily"),
        ("@daily 5", "field_count", "", "5", "alone"),
        ("@every", "bad_duration", "every", "@every", "1h30m"),
        ("@every 5m 3s", "bad_duration", "every", "3s", "1h30m"),
        ("@every 5", "bad_duration", "every", "5", "units"),
        ("@every 1h-3m", "bad_duration", "every", "-3m", "units"),
        ("@every 2s1ns", "bad_duration", "every", "1ns", "microsecond"),
        ("@every 101y", "bad_duration", "every", "101y", "units"),
        ("@every 40000d", "too_long", "every", "40000d", "100 years"),
        ("R5/2026-01-01/P1D", "iso_repeat", "", "R5/2026-01-01/P1D", "repeat"),
        ("0 \uff12 * * *", "not_ascii", "", "\uff12", "full-width"),
        ("0 0 * * " + "9" * 400, "out_of_range", "day_of_week", "9" * 400, "SUN-SAT"),
    ],
)
def test_errors_name_field_token_place_and_hint(text, rule, field, token, hint):
    error = refused(text)
    assert (error.field, error.rule, error.params["field"], error.params["token"]) == ("/cron", rule, field, token)
    assert hint in error.params["hint"] == error.hint
    at = error.params["position"]
    assert text[at : at + len(token)].upper() == token.upper()


def test_positions_count_from_the_start_of_the_whole_text():
    error = refused("  TZ=UTC  0 0 1,2,99 * *")
    assert (error.params["position"], error.params["token"]) == (18, "99")


def test_quartz_wants_exactly_one_question_mark_and_small_steps():
    assert refused("0 0 0 * * *", dialect="quartz").rule == "question_marks"
    assert refused("0 0 0 ? * ?", dialect="quartz").rule == "question_marks"
    assert refused("0 0 * * ?", dialect="quartz").rule == "field_count"
    assert refused("0 */60 * * * ?", dialect="quartz").rule == "step_too_large"
    assert refused("0 0 0 ? * MON,L", dialect="quartz").rule == "misplaced"
    assert refused("0 0 0 ? * 0", dialect="quartz").rule == "out_of_range"
    assert parse("0 0 0 ? * L", dialect="quartz") == parse("0 0 * * SAT")
    assert parse("0 0 0 ? * 6L", dialect="quartz") == parse("0 0 * * FRIL")


def test_options_are_checked():
    assert refused("0 2 * * *", dialect="spring").field == "/dialect"
    assert refused("0 2 * * *", day_match="both").field == "/day_match"
    assert refused(5).rule == "bad_type"
    assert refused("*" * (LONGEST + 1)).rule == "text_too_long"
    assert parse("0 0 " + ",".join(["1"] * 240) + " * *").days.month.plain == 2
