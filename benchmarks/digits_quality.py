"""Does my_model find and read digits that it has not learnt? Prints a table; --check fails below the targets.

    OMP_NUM_THREADS=1 python benchmarks/digits_quality.py --check

For each seed a classifier is trained by `my_model.train` in a folder of its own; what that training held out, and
nothing else, is drawn on single pictures and on pages, saved as PNG, and read by `my_model.predict`, as a client would.
A digit is found if a box overlaps its ink's box by half (intersection over union).
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import my_model
from my_model import pages, render

OVERLAP = 0.5
# Shares from the issue; the time is for a page of a million pixels, decoding included.
TARGETS = {"single": 0.98, "found": 0.98, "read": 0.95}
TARGET_MS = 150.0
# The pages, then what it does not ask for; only the first is checked.
STYLES = {
    "ruled page": pages.PageStyle(),
    "plain, white on black": pages.PageStyle(ruled=False, inverted=True),
    "dim, noisy, soft": pages.PageStyle(light=0.55, noise=12.0, blur_px=0.8),
}


class Upload(NamedTuple):
    """What a server hands to the plugin."""

    name: str
    filename: str
    content_type: str
    original_filename: str


@dataclass
class Score:
    """Counts over pages."""

    digits: int = 0
    found: int = 0
    right: int = 0
    extra: int = 0
    in_order: int = 0
    count: int = 0
    times_ms: list[float] = field(default_factory=list)

    def add(self, page: pages.Page, answers: list[dict[str, Any]], elapsed_ms: float) -> None:
        matches = matched(page.boxes, answers)
        order = [match for match in matches if match is not None]
        self.digits += len(page.boxes)
        self.found += len(order)
        self.right += sum(
            match is not None and answers[match]["class"] == digit
            for match, digit in zip(matches, page.digits, strict=True)
        )
        self.extra += len(answers) - len(order)
        self.in_order += order == sorted(order)
        self.count += 1
        self.times_ms.append(elapsed_ms)


def matched(boxes: list[pages.Box], answers: list[dict[str, Any]]) -> list[int | None]:
    """For each true box the answer that overlaps it most, each answer once; None where none overlaps enough."""
    left = set(range(len(answers)))
    matches: list[int | None] = []
    for box in boxes:
        best = max(left, key=lambda index: overlap(box, answers[index]["box"]), default=None)
        if best is not None and overlap(box, answers[best]["box"]) < OVERLAP:
            best = None
        matches.append(best)
        left.discard(-1 if best is None else best)
    return matches


def overlap(box: pages.Box, other: dict[str, float]) -> float:
    """Intersection over union."""
    width = min(box[2], other["x2"]) - max(box[0], other["x1"])
    height = min(box[3], other["y2"]) - max(box[1], other["y1"])
    if width <= 0 or height <= 0:
        return 0.0
    area = (box[2] - box[0]) * (box[3] - box[1]) + (other["x2"] - other["x1"]) * (other["y2"] - other["y1"])
    return width * height / (area - width * height)


def read(image: Image.Image, folder: str) -> tuple[list[dict[str, Any]], float]:
    """What my_model answers to a PNG of the image, and the milliseconds of CPU that it took, decoding included."""
    path = Path(folder) / "page"
    image.save(path, "PNG", compress_level=1)
    # CPU time: the same on a machine that is shared with others, and one thread is what the target is about.
    started = time.process_time()
    answers = my_model.predict(files=Upload("files", str(path), "image/png", "page.png"))
    return answers, (time.process_time() - started) * 1000


def singles(
    cells: render.Floats, labels: render.Ints, draw: Callable[[render.Floats], Image.Image], folder: str
) -> int:
    """How many pictures of one digit are answered with exactly that digit."""
    right = 0
    for one, label in zip(cells, labels, strict=True):
        answers, _ = read(draw(one), folder)
        right += [answer["class"] for answer in answers] == [int(label)]
    return right


def plainly(one: render.Floats, random: np.random.Generator) -> Image.Image:
    """Black on white, as it is in the data, only larger."""
    ink = render.draw(one, render.Stroke(size_px=float(random.uniform(24, 160))))
    return Image.fromarray((255 * (1 - ink)).astype(np.uint8))


def measure(
    seed: int, count: int, folder: str, classifier: str
) -> tuple[dict[str, Any], dict[str, int], dict[str, Score]]:
    """Train with this seed, then read what was held out: metrics, right single digits, scores by page style."""
    metrics = my_model.train(classifier=classifier, seed=seed)
    cells, labels = render.load()
    _, held = render.split(labels, metrics["recipe"]["held_out"], seed)
    random = np.random.default_rng([seed, 2])
    right = {
        "held out": len(held),
        "single, plain": singles(cells[held], labels[held], lambda one: plainly(one, random), folder),
        "single, turned and noisy": singles(
            cells[held], labels[held], lambda one: pages.single(one, float(random.uniform(24, 160)), random), folder
        ),
    }
    scores = {name: Score() for name in STYLES}
    for name, style in STYLES.items():
        for _ in range(count):
            page = pages.generate(cells[held], labels[held], int(random.integers(20, 61)), replace(style), random)
            scores[name].add(page, *read(page.image, folder))
    return metrics, right, scores


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pages", type=int, default=20, help="pages of each style for each seed (20)")
    options.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="splits to train and measure on (0 1 2)"
    )
    options.add_argument("--classifier", default="svm", help="kind of classifier (svm)")
    options.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    asked = options.parse_args()
    singles_right: dict[str, int] = {}
    scores: dict[str, Score] = {name: Score() for name in STYLES}
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MY_MODEL_HOME"] = folder
            metrics, right, found = measure(seed, asked.pages, folder, asked.classifier)
        print(f"seed {seed}: trained in {metrics['seconds']} s, glyph accuracy {metrics['accuracy']:.2%}", flush=True)
        singles_right = {name: singles_right.get(name, 0) + value for name, value in right.items()}
        for name, score in found.items():
            _add_up(scores[name], score)
    return report(singles_right, scores, asked.check)


def _add_up(total: Score, one: Score) -> None:
    for name, value in vars(one).items():
        setattr(total, name, getattr(total, name) + value)


def report(singles_right: dict[str, int], scores: dict[str, Score], check: bool) -> int:
    """Print the table; 1 if asked to check and a target is missed."""
    total = singles_right.pop("held out")
    print()
    for name, right in singles_right.items():
        print(f"{name:26} {right / total:8.2%} of {total}")
    print(
        f"\n{'pages':26} {'digits':>8} {'found':>8} {'read':>8} {'extra':>6} "
        f"{'in order':>9} {'ms median':>10} {'ms p95':>7}"
    )
    for name, score in scores.items():
        print(
            f"{name:26} {score.digits:8} {score.found / score.digits:8.2%} {score.right / score.digits:8.2%} "
            f"{score.extra:6} {score.in_order:5}/{score.count:<3} {np.median(score.times_ms):10.0f} "
            f"{np.percentile(score.times_ms, 95):7.0f}"
        )
    first = scores[next(iter(STYLES))]
    missed = [
        text
        for text, met in (
            ("single digits", singles_right["single, plain"] >= TARGETS["single"] * total),
            ("found", first.found >= TARGETS["found"] * first.digits),
            ("read", first.right >= TARGETS["read"] * first.digits),
            ("time", float(np.median(first.times_ms)) < TARGET_MS),
        )
        if not met
    ]
    print("\nall targets met" if not missed else f"\nbelow target: {', '.join(missed)}")
    return 1 if check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
