"""Chinese words for schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from angelica.domain.cron.outline import Outline, Pace, Runs, clock, rhythm_of

DAYS: Final = "日一二三四五六"
ORDINALS: Final = ("", "第一个", "第二个", "第三个", "第四个", "第五个")
UNITS: Final = {
    "year": "年",
    "month": "个月",
    "week": "周",
    "day": "天",
    "hour": "小时",
    "minute": "分钟",
    "second": "秒",
    "millisecond": "毫秒",
    "microsecond": "微秒",
}


# Full-width marks; in the source they are written as the ASCII ones that they look like.
_MARKS: Final = str.maketrans({",": "\uff0c", ";": "\uff1b", "(": "\uff08", ")": "\uff09"})


def punctuate(text: str) -> str:
    """Return `text` with the punctuation marks that Chinese uses."""
    return text.translate(_MARKS)


def sentence(plan: Outline) -> str:
    """Return an expression in words, such as `每天 02:00`."""
    when = _days(plan)
    if plan.times:
        return f"{when or '每天'} {'、'.join(clock(time) for time in plan.times)}"
    return punctuate(f"{when},{_rhythm(plan)}" if when else _rhythm(plan))


def interval(amounts: Sequence[tuple[str, int]]) -> str:
    """Return an interval in words, such as `每 1 小时 30 分钟`."""
    return f"每 {_amounts(amounts)}"


def repeat(count: int | None, amounts: Sequence[tuple[str, int]], start: str) -> str:
    """Return a repeat in words."""
    times = "" if count is None else f",共 {count} 次"
    return punctuate(f"自 {start} 起每 {_amounts(amounts)}{times}")


def once(moment: str) -> str:
    """Return a single moment in words."""
    return punctuate(f"于 {moment} 运行一次")


def runs(values: Runs, word: Callable[[int], str] = str) -> str:
    """Return runs as `a、b 至 c`."""
    if rhythm_of(values):
        return f"{word(values[0][0])}、{word(values[1][0])}、{word(values[2][0])} … {word(values[-1][0])}"
    return "、".join(word(a) if a == b else _range(word(a), word(b)) for a, b in values)


def _range(first: str, last: str) -> str:
    gap = " " if last[0].isdigit() else ""
    return f"{first}{' ' if first[-1].isdigit() else ''}至{gap}{last}"


def in_month(plan: Outline) -> str:
    """Return the days of the month, such as `1 日、15 日、最后一天`."""
    parts = [runs(plan.days, lambda day: f"{day} 日")] if plan.days else []
    parts += [f"最接近 {day} 日的工作日" for day in plan.nearest]
    parts += [_from_end(back) for back in plan.back]
    parts += ["最后一个工作日" if not back else f"最接近{_from_end(back)}的工作日" for back in plan.nearest_back]
    return "、".join(parts)


def in_week(plan: Outline) -> str:
    """Return the days of the week, such as `周一至周五` or `每月最后一个周五`."""
    parts = [runs(plan.weekdays, _weekday)] if plan.weekdays else []
    counted = [f"{ORDINALS[n]}{_weekday(day)}" for n, day in plan.nth]
    counted += [f"最后一个{_weekday(day)}" for day in plan.last]
    return "、".join([*parts, *([f"当月{'、'.join(counted)}"] if counted else [])])


def _days(plan: Outline) -> str:
    years = f"{runs(plan.years, lambda year: f'{year} 年')} " if plan.years else ""
    months = runs(plan.months, lambda month: f"{month} 月")
    if plan.any_day:
        return f"{years}{months}每天" if months or years else ""
    if not plan.in_month:
        in_weeks = in_week(plan)
        return (
            f"{years}{months}的{in_weeks}".replace("的当月", "的")
            if months
            else f"{years}每{in_weeks}".replace("每当月", "每月")
        )
    days = f"{months}的 {in_month(plan)}" if months else f"每月 {in_month(plan)}"
    if plan.in_week:
        days += f"{'或每' if plan.either else '且为'}{in_week(plan)}".replace("每当月", "当月")
    return (
        f"{years}{days}".replace("月 最", "月最")
        .replace("月 倒", "月倒")
        .replace("的 最", "的最")
        .replace("的 倒", "的倒")
    )


def _rhythm(plan: Outline) -> str:
    second, minute, hour = plan.second, plan.minute, plan.hour
    hours = _hours(hour)
    if not (second.single and not second.first):
        minutes = "" if minute.all else f"第 {runs(minute.runs)} 分内"
        return f"{hours}{minutes}{_pace(second, '秒', '秒')}"
    if minute.all or minute.step:
        return f"{hours}{_pace(minute, '分钟', '分')}"
    past = "" if minute.single and not minute.first else f"第 {runs(minute.runs)} 分"
    if hour.all or hour.step:
        return _pace(hour, "小时", "点") + (f"的{past}" if past else "")
    if minute.single and len(hour.runs) == 1:
        (first, last), past_hour = hour.runs[0], minute.first * 60
        return f"{clock(first * 3600 + past_hour)} 至 {clock(last * 3600 + past_hour)} 每小时"
    return f"{hours}{past or '整点'}"


def _pace(pace: Pace, span: str, point: str) -> str:
    if pace.all:
        return f"每{span}"
    if pace.step:
        return (f"从第 {pace.first} {point}起" if pace.first else "") + f"每 {pace.step} {span}"
    return f"第 {runs(pace.runs)} {point}"


def _hours(pace: Pace) -> str:
    if pace.all:
        return ""
    if pace.step:
        return f"{runs(pace.runs)} 点内"
    return "、".join(f"{a:02}:00 至 {b:02}:59" for a, b in pace.runs) + " "


def _weekday(day: int) -> str:
    return f"周{DAYS[day]}"


def _from_end(back: int) -> str:
    return "最后一天" if not back else f"倒数第 {back + 1} 天"


def _amounts(amounts: Sequence[tuple[str, int]]) -> str:
    return " ".join(f"{count} {UNITS[unit]}" for unit, count in amounts)
