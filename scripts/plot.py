#!/usr/bin/env python3
"""Draws what scripts/measure.py has measured: SVG files, with nothing but the standard library.

Small dots are runs, lines go through their medians. Colors and lines can be told apart on a light
and on a dark page; the background is the page's.
"""

import argparse
import json
import math
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

EXAMPLES = """examples:
  scripts/plot.py
  scripts/plot.py --data /tmp/try --out /tmp/try
"""

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 64, 58
# Of middle lightness: three to one and more against white and against near-black.
INK = "#737b85"
COLORS = ["#3b82f6", "#d9730d", "#2a9d4f", "#a066f0"]
DASHES = ["", "7 4", "2 3", "9 3 2 3"]


class Axis:
    """From values to pixels, with ticks where people expect them."""

    def __init__(self, values, pixels, is_log, ticks=None):
        self.pixels, self.is_log = pixels, is_log
        if is_log:
            low, high = min(values), max(values)
            self.ticks = ticks or log_ticks(low, high)
            self.low = min(low, self.ticks[0]) / 1.08
            self.high = max(high, self.ticks[-1]) * 1.08
        else:
            step = linear_step(max(values))
            self.low, self.high = 0.0, step * math.ceil(max(values) * 1.02 / step)
            count = round(self.high / step)
            self.ticks = ticks or [step * number for number in range(count + 1)]

    def at(self, value):
        scale = math.log if self.is_log else float
        low, high = scale(self.low), scale(self.high)
        share = (scale(value) - low) / (high - low)
        return self.pixels[0] + share * (self.pixels[1] - self.pixels[0])


def log_ticks(low, high):
    """1, 2 and 5 of each decade, or only 1 where there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = [1, 2, 5] if math.log10(high / low) < 2.5 else [1]
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    inner = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
    below = [tick for tick in ticks if tick < low][-1:] if inner[:1] != [low] else []
    above = [tick for tick in ticks if tick > high][:1]
    return below + inner + above


def linear_step(high):
    if high <= 0:
        return 1.0
    rough = high / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * step for step in [1, 2, 5, 10] if unit * step >= rough * 0.999)


def shown(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:g}"


class Plot:
    """One picture."""

    def __init__(self, title, note, x_label, y_label):
        self.title, self.note, self.x_label, self.y_label = title, note, x_label, y_label
        self.series = []
        self.limit = None

    def add(self, name, points):
        """A line; `points` are pairs of x and the values of all runs."""
        points = [(x, [v for v in values if v is not None]) for x, values in points]
        points = sorted((x, values) for x, values in points if values)
        if points:
            self.series.append((name, points))

    def svg(self, x_log, y_log, x_ticks=None):
        xs = [x for _, points in self.series for x, _ in points]
        ys = [y for _, points in self.series for _, values in points for y in values]
        ys += [self.limit[1]] if self.limit else []
        y_log = y_log and min(ys) > 0
        x = Axis(xs, (LEFT, WIDTH - RIGHT), x_log, x_ticks)
        y = Axis(ys, (HEIGHT - BOTTOM, TOP), y_log)
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
            f"<title>{escape(self.title)}</title>",
            text(LEFT, 20, self.title, size=16, weight="bold"),
        ]
        for tick in x.ticks:
            at = x.at(tick)
            out.append(line(at, TOP, at, HEIGHT - BOTTOM, 0.22))
            out.append(text(at, HEIGHT - BOTTOM + 18, shown(tick), anchor="middle"))
        for tick in y.ticks:
            at = y.at(tick)
            out.append(line(LEFT, at, WIDTH - RIGHT, at, 0.22))
            out.append(text(LEFT - 8, at + 4, shown(tick), anchor="end"))
        out.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 1))
        out.append(line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, 1))
        out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20, self.x_label, anchor="middle"))
        out.append(text(WIDTH - RIGHT, HEIGHT - 4, self.note, anchor="end", size=10))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turn = f' transform="rotate(-90 18 {middle:.1f})"'
        out.append(text(18, middle, self.y_label, anchor="middle", more=turn))
        if self.limit:
            at = y.at(self.limit[1])
            out.append(line(LEFT, at, WIDTH - RIGHT, at, 0.9, "3 3"))
            out.append(text(WIDTH - RIGHT - 4, at - 5, self.limit[0], anchor="end", size=11))
        legend = LEFT
        for number, (name, points) in enumerate(self.series):
            color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
            out += curve(points, x, y, color, dash)
            out.append(line(legend, 41, legend + 26, 41, 1, dash, color, 2.2))
            out.append(text(legend + 32, 45, name))
            legend += 56 + 7.2 * len(name)
        return "\n".join(out + ["</svg>", ""])


def curve(points, x, y, color, dash):
    medians = [(x.at(at), y.at(statistics.median(values))) for at, values in points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in medians)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    out = [
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.2"'
        f' stroke-linejoin="round"{dashed}/>'
    ]
    out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.6" fill="{color}"/>' for a, b in medians]
    for at, values in points:
        out += [
            f'<circle cx="{x.at(at):.1f}" cy="{y.at(value):.1f}" r="2" fill="{color}"'
            ' fill-opacity="0.55"/>'
            for value in values
        ]
    return out


def text(x, y, content, anchor="start", size=None, weight=None, more=""):
    more += f' font-size="{size}"' if size else ""
    more += f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(content)}</text>'


def line(x1, y1, x2, y2, opacity, dash="", color=INK, width=1.0):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"'
        f' stroke-opacity="{opacity}" stroke-width="{width}"{dashed}/>'
    )


def note(data):
    machine = data["machine"]
    return (
        f"{data['version']}, {machine['cores']} cores, {machine['system']} {machine['cpu']}, "
        f"{data['runs']} runs of each point"
    )


def of_runs(points, key, value):
    return [(point[key], [value(run) for run in point["runs"]]) for point in points]


def cost_by_clients(data):
    plot = Plot("What a message costs the hub", note(data), "clients", "hub CPU for a message (us)")
    points = data["points"]
    plot.add("CPU of the hub", of_runs(points, "clients", lambda r: r["hub_cpu_us_per_message"]))
    return plot.svg(True, True, [point["clients"] for point in points])


def latency_by_clients(data):
    title = "From client to client through the hub"
    plot = Plot(title, note(data), "clients", "latency since sent (us)")
    points = data["points"]
    for share in ["p50", "p99", "p99.9", "max"]:
        values = of_runs(points, "clients", lambda r, s=share: r["latency_from_send_us"][s])
        plot.add(share, values)
    return plot.svg(True, True, [point["clients"] for point in points])


def throughput_by_size(data):
    plot = Plot("Throughput on loopback", note(data), "message (bytes)", "throughput (MB/s)")
    by_channel(plot, data["points"], "size")
    return plot.svg(True, True, sorted({point["size"] for point in data["points"]}))


def throughput_by_rtt(data):
    rate = data["points"][0]["rate_mbit"]
    title = f"Throughput over an emulated network of {rate:g} Mbit/s"
    plot = Plot(title, note(data), "round trip (ms)", "throughput (MB/s)")
    plot.limit = (f"{rate:g} Mbit/s", rate / 8)
    by_channel(plot, data["points"], "rtt_ms")
    return plot.svg(False, False)


def by_channel(plot, points, key):
    for channel in dict.fromkeys(point["channel"] for point in points):
        own = [point for point in points if point["channel"] == channel]
        plot.add(f"{channel} channel", of_runs(own, key, lambda r: r["mb_per_s"]))


PLOTS = [
    ("hub-load.json", "cost-by-clients.svg", cost_by_clients),
    ("hub-load.json", "latency-by-clients.svg", latency_by_clients),
    ("throughput-by-size.json", "throughput-by-size.svg", throughput_by_size),
    ("throughput-by-rtt.json", "throughput-by-rtt.svg", throughput_by_rtt),
]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="docs/bench", help="where it is; default: %(default)s")
    parser.add_argument("--out", default="docs/bench", help="of the SVGs; default: %(default)s")
    options = parser.parse_args()
    drawn = 0
    for source, target, draw in PLOTS:
        path = pathlib.Path(options.data, source)
        if not path.exists():
            print(f"plot.py: no {path}, so no {target}", file=sys.stderr)
            continue
        try:
            svg = draw(json.loads(path.read_text()))
        except (KeyError, IndexError, ValueError, TypeError) as why:
            print(f"plot.py: {path} is not what measure.py writes: {why!r}", file=sys.stderr)
            return 1
        pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
        pathlib.Path(options.out, target).write_text(svg)
        drawn += 1
    print(f"{drawn} of {len(PLOTS)} drawn in {options.out}")
    return 0 if drawn else 1


if __name__ == "__main__":
    sys.exit(main())
