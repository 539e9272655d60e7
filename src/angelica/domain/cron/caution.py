"""Warnings about texts that are right and yet often not what was meant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from angelica.domain.cron import chinese, english
from angelica.domain.cron.days import SHAPES, month_lengths
from angelica.domain.cron.evaluate import Trigger
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fields import DAY, FIELDS, Field, bits
from angelica.domain.cron.outline import Outline, outline
from angelica.domain.cron.words import Words

_STEP: Final = re.compile(r"(?:\*|([0-9]+))/([0-9]+)")
_FIELDS_ZH: Final = {
    "second": "秒",
    "minute": "分钟",
    "hour": "小时",
    "day_of_month": "日期",
    "month": "月份",
    "day_of_week": "星期",
}


def warnings_for(trigger: Trigger) -> tuple[Words, ...]:
    """Return what the author of `trigger` should know.

    `either_day`: a day needs to match only one of the two day fields; `both_days`: it must match both; `uneven_step`:
    the last gap before the field starts anew is another (`field`, `step`, `gap`); `skips_months`: some months have
    no such day (`months`: those that never have).
    """
    if not isinstance(trigger, Cron):
        return ()
    plan = outline(trigger)
    both = _both_day_fields(plan)
    found = (*both, *_uneven_steps(trigger), *([] if both else _skipped_months(trigger)))
    return tuple(replace(words, zh=chinese.punctuate(words.zh)) for words in found)


def _both_day_fields(plan: Outline) -> list[Words]:
    if not (plan.in_month and plan.in_week):
        return []
    params = {"match": "any" if plan.either else "all"}
    month, week = english.in_month(plan), english.in_week(plan)
    month_zh, week_zh = chinese.in_month(plan), chinese.in_week(plan)
    if plan.either:
        en = f"Both day fields are set and either may match: it runs on {month}, and also on every {week}."
        zh = f"两个日期字段都已设置,满足其一即运行,每月 {month_zh},以及每个{week_zh}。"
        return [Words("either_day", params, en.replace("every the", "the"), zh.replace("每个当月", "每月"))]
    en = f"Both day fields are set and both must match: it runs on {month} only if that is {week}."
    zh = f"两个日期字段都已设置,必须同时满足,每月 {month_zh},且为{week_zh}时才运行。"
    return [Words("both_days", params, en, zh)]


def _uneven_steps(cron: Cron) -> list[Words]:
    texts = cron.normal.split()
    found = []
    for field, text in zip(FIELDS[:6], texts, strict=False):
        step = _STEP.fullmatch(text)
        if step is None:
            continue
        first, size = int(step[1] or field.low), int(step[2])
        count = (field.high - first) // size
        gap = field.size - count * size
        if count and gap != size:
            found.append(_uneven(field, size, gap))
    return found


def _uneven(field: Field, step: int, gap: int) -> Words:
    params = {"field": field.name, "step": step, "gap": gap}
    again = "in a month of 31 days" if field is DAY else "where the field starts anew"
    again_zh = "31 天的月份回绕处" if field is DAY else "回绕处"
    en = f"A step of {step} does not divide the {field.label} field: the gap {again} is {gap}."
    return Words(
        "uneven_step", params, en, f"步长 {step} 不能整除{_FIELDS_ZH[field.name]}字段,{again_zh}的间隔为 {gap}。"
    )


def _skipped_months(cron: Cron) -> list[Words]:
    sometimes = [month for month in bits(cron.months) if not all(_masks(cron, month))]
    if not sometimes or not cron.possible:
        return []
    never = [month for month in sometimes if not any(_masks(cron, month))]
    en = "Some months have no such day and are skipped"
    zh = "某些月份没有这样的日期,将被跳过"
    if never:
        en += f" ({english.join([english.MONTHS[month] for month in never])} always)"
        zh += f"({'、'.join(f'{month} 月' for month in never)}从不运行)"
    if cron.days.month.plain and not cron.days.month.every:
        en += "; L is the last day of every month"
        zh += ";L 表示每月最后一天"
    return [Words("skips_months", {"months": never}, f"{en}.", f"{zh}。")]


def _masks(cron: Cron, month: int) -> list[int]:
    """Return the days of `month` that match, for each shape that the month can have."""
    return [cron.table[shape] for shape in range(SHAPES) if 28 + shape % 4 in month_lengths(month)]
