"""The values of the runs' logs as lines of small charts, in the coordinates of an SVG."""
import math
from dataclasses import dataclass

from tools.lib.training.log import PANELS

#: Size of a chart and of the margins around its lines, in units of the SVG.
WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 10, 26
#: Most points of a line: more cannot be told apart.
POINTS = 240
#: Outputs that are drawn in one chart: the second is dashed.
PAIRS = (("domain_loss", "domain_loss_inverse"),
         ("domain_accuracy_source", "domain_accuracy_target"),
         ("feature_norm_source", "feature_norm_target"), ("mil_precision", "mil_recall"))
#: Words for outputs, in the paper's notation where it has one.
WORDS = {
    "loss": "whole loss", "seg_loss": "segmentation loss", "domain_loss": "L_D",
    "domain_loss_inverse": "L_Dinv", "classifier_loss": "L_D after the classifier's own steps",
    "mil_loss": "constrained MIL loss", "domain_accuracy_source": "source",
    "domain_accuracy_target": "target", "feature_norm_source": "source",
    "feature_norm_target": "target", "domain_gradient_ratio": "domain / segmentation gradient",
    "mil_gradient_ratio": "category / segmentation gradient",
    "domain_target_share": "target's share of the domain gradient",
    "mil_present": "classes present in an image", "mil_active": "active bounds of an image",
    "mil_relaxed": "images with relaxed bounds", "mil_precision": "precision",
    "mil_recall": "recall"}
#: Values that mean chance, drawn as a thin line.
CHANCE = {"domain_loss": math.log(2), "domain_accuracy_source": 0.5}


@dataclass
class Line:
    """A line of one run: path is an SVG path, dots are the (x, y) of test phases."""

    name: str       # "GA, L_D", or of the run alone where the chart has one output
    colour: int     # number of the run's group
    dashed: bool
    path: str
    dots: list
    first: str      # values as text
    last: str


@dataclass
class Chart:
    """A chart: axes as [(position, text)], and what a reader of the page's data needs."""

    title: str
    lines: list
    x_ticks: list
    y_ticks: list
    extent: tuple   # (x of the left edge, of the right, y of the bottom, of the top)
    chance: float   # position of a line for chance, or None
    words: list     # of its outputs, where it has two: the first is solid


def charts(runs, colours):
    """[Chart] of everything that the logs hold, in the order of PANELS.

    colours: {group: number of its colour}.
    """
    sections = [(title, [Output(name) for name in outputs]) for title, outputs in PANELS]
    known = {name for _, outputs in PANELS for name in outputs}
    others = {name for run in runs for entry in run.log if entry["kind"] in ("train", "test")
              for name in _values(entry)} - known
    sections.append(("other outputs", [Output(name) for name in sorted(others)]))
    sections.append(("schedule and speed", [
        Output("learning rate", "learning_rate"),
        Output("iterations a second", "iterations_per_second")]))
    found = []
    for title, outputs in sections:
        drawn = [chart for chart in (_chart(runs, colours, pair) for pair in _paired(outputs))
                 if chart]
        if len(drawn) == 1 and drawn[0].words:
            drawn[0].title = title
        found += drawn
    return found


@dataclass
class Output:
    """A number of the log: an output of the net, or a key of the entry itself."""

    name: str
    key: str = None

    @property
    def words(self):
        return WORDS.get(self.name, self.name)

    def points(self, run, kind):
        """[(iteration, value)] of the finite values in a run's log."""
        found = []
        for entry in run.log:
            if entry["kind"] == kind:
                value = entry.get(self.key) if self.key else _values(entry).get(self.name)
                if type(value) in (int, float) and math.isfinite(value):
                    found.append((entry["iteration"], value))
        return found


def _values(entry):
    values = entry.get("values")
    return values if isinstance(values, dict) else {}


def _paired(outputs):
    """Lists of outputs that share a chart, in the order of `outputs`."""
    by_name = {output.name: output for output in outputs}
    second = {pair[1]: pair[0] for pair in PAIRS if pair[0] in by_name}
    partner = {first: later for later, first in second.items()}
    return [[output] + [by_name[name] for name in [partner.get(output.name)] if name in by_name]
            for output in outputs if output.name not in second]


def _chart(runs, colours, outputs):
    """The Chart of one or two outputs, or None where no run has a value."""
    data = [(run, number, output, output.points(run, "train"), output.points(run, "test"))
            for run in runs for number, output in enumerate(outputs)]
    data = [entry for entry in data if entry[3]]
    if not data:
        return None
    every = [point for entry in data for points in entry[3:] for point in points]
    x_ticks, left, right = _axis([x for x, _ in every], 5)
    chance = CHANCE.get(outputs[0].name)
    heights = [y for _, y in every] + ([chance] if chance is not None else [])
    y_ticks, bottom, top = _axis(heights, 4)

    def place(x, y):
        return (LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM))

    several = len({entry[2].name for entry in data}) > 1
    lines = []
    for run, number, output, train, test in data:
        lines.append(Line(
            f"{run.name}, {output.words}" if several else run.name, colours[run.group], number > 0,
            "M" + "L".join(f"{x:.1f} {y:.2f}" for x, y in
                           (place(*point) for point in thinned(train))),
            [place(*point) for point in test], f"{train[0][1]:.4g}", f"{train[-1][1]:.4g}"))
    title = " and ".join(output.words for output in outputs) if several else data[0][2].words
    return Chart(
        title, lines, [(place(x, bottom)[0], text) for x, text in x_ticks],
        [(place(left, y)[1], text) for y, text in y_ticks], (left, right, bottom, top),
        None if chance is None else place(left, chance)[1],
        [output.words for output in outputs] if several else [])


def _axis(values, ticks):
    """([(value, text)] of round numbers, the axis's ends) for values on an axis."""
    from matplotlib.ticker import MaxNLocator
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    positions = MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    inside = [float(p) for p in positions if low <= p <= high]
    return [(p, f"{p:.4g}") for p in inside], low, high


def thinned(points, most=POINTS):
    """At most `most` of the points [(x, y)], the lowest and the highest of each stretch."""
    if len(points) <= most:
        return points
    size = len(points) * 2 / most
    kept = set()
    for number in range(most // 2):
        part = range(round(number * size), min(len(points), round((number + 1) * size)))
        kept.add(min(part, key=lambda index: points[index][1]))
        kept.add(max(part, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept | {0, len(points) - 1})]
