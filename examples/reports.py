"""Data cleaning and reports: a CSV of orders is cleaned, then summarised into a result file.

The names DATA_IMPORT and REPORT_GEN with their concurrency and time-out are the registry of a classic task system.
"""

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from app import engine

from angelica import Context, Fail

HERE = Path(__file__).parent
OUTPUT = HERE / "output"


@dataclass
class Cleaned:
    """What an import kept, and why it dropped the rest."""

    rows: int
    dropped: dict[str, int]
    path: str


@engine.task(name="DATA_IMPORT", concurrency=10, timeout="300s", queue="etl", labels={"kind": "import"})
def data_import(context: Context, source: str = "orders.csv") -> Cleaned:
    """Clean a CSV of the data directory: trim, drop broken rows and doubles, write what is left."""
    path = HERE / "data" / Path(source).name
    if not path.is_file():
        raise Fail(f"there is no {path.name} in {path.parent.name}/")
    seen: set[str] = set()
    dropped: dict[str, int] = defaultdict(int)
    kept = []
    lines = path.read_text("utf-8").splitlines()
    for number, row in enumerate(csv.DictReader(lines), start=2):
        order = {key: (value or "").strip() for key, value in row.items() if key}
        problem = _problem(order, seen)
        if problem:
            dropped[problem] += 1
            context.log.warning("line %d dropped: %s", number, problem)
            continue
        seen.add(order["order_id"])
        kept.append(order)
        context.progress(number / len(lines), f"{len(kept)} rows")
    OUTPUT.mkdir(exist_ok=True)
    target = OUTPUT / f"clean-{path.stem}.json"
    target.write_text(json.dumps(kept, indent=1), "utf-8")
    context.log.info("kept %d of %d rows", len(kept), len(lines) - 1)
    return Cleaned(len(kept), dict(dropped), str(target))


@engine.task(name="REPORT_GEN", concurrency=5, timeout="600s", queue="etl", labels={"kind": "report"})
def report_gen(context: Context, source: str = "orders.csv") -> str:
    """Import a CSV and write its totals by country as Markdown; the result is the path of the report."""
    cleaned = data_import(context, source)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    counts: dict[str, int] = defaultdict(int)
    for order in json.loads(Path(cleaned.path).read_text("utf-8")):
        totals[order["country"]] += Decimal(order["amount"])
        counts[order["country"]] += 1
    lines = [f"# Orders in {source}", "", "| country | orders | total |", "|---|---:|---:|"]
    lines += [f"| {c} | {counts[c]} | {totals[c]:.2f} |" for c in sorted(totals, key=lambda c: -totals[c])]
    lines += ["", f"{cleaned.rows} rows kept, {sum(cleaned.dropped.values())} dropped."]
    target = OUTPUT / f"report-{Path(source).stem}.md"
    target.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"wrote {target}")
    return str(target)


def _problem(order: dict[str, str], seen: set[str]) -> str | None:
    if not order.get("order_id"):
        return "no order id"
    if order["order_id"] in seen:
        return "double order id"
    try:
        amount = Decimal(order.get("amount", ""))
    except InvalidOperation:
        return "amount is no number"
    return "amount is negative" if amount < 0 else None
