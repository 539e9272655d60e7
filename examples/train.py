"""A training run as a command: `python train.py --epoch 100`. The standard library only; each epoch is printed at once.

It fits a line to noisy points by gradient descent, writes what it has learned to model.json beside itself, and ends in
good order when it is told to (SIGTERM) or when its time is nearly up (TASK_DEADLINE).
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

SLOPE, OFFSET = 3.0, -2.0
RATE = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description="Fit a line.")
    parser.add_argument("--epoch", type=int, default=10, help="how many times to go over the data")
    parser.add_argument(
        "--pause", type=float, default=0.02, help="seconds between epochs, so that there is time to watch"
    )
    options = parser.parse_args()
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    ends_at = float(os.environ.get("TASK_DEADLINE", "inf")) - 1
    chance = random.Random(7)
    points = [(x, SLOPE * x + OFFSET + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(200))]
    slope = offset = 0.0
    for epoch in range(1, options.epoch + 1):
        loss = 0.0
        for x, y in points:
            error = slope * x + offset - y
            slope -= RATE * error * x
            offset -= RATE * error
            loss += error * error
        print(f"epoch {epoch}/{options.epoch}  loss {loss / len(points):.5f}", flush=True)
        if told or time.time() > ends_at:
            print(f"stopped after epoch {epoch}", file=sys.stderr)
            break
        time.sleep(options.pause)
    Path("model.json").write_text(json.dumps({"slope": slope, "offset": offset}), "utf-8")
    print(f"y = {slope:.2f} x {offset:+.2f}")
    return 0 if not told else 1


if __name__ == "__main__":
    sys.exit(main())
