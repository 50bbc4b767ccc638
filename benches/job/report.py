"""Prints the tables of the benchmark in Markdown, and draws its charts: report.py FIGURES FOLDER

FIGURES is the file in JSON that the benchmark wrote. The charts go to FOLDER as benchmark-light.svg and
benchmark-dark.svg, if all cases in them were measured.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

OURS = "pod-identity-demo"
BASELINE = "baseline"
# Title, case and column, for each part of the chart.
CHARTS = [
    ("200 KB pictures, TLS: CPU for each", "pictures_tls", "CPU per picture"),
    ("Start to first object, TLS: wall time", "start_tls", "wall"),
    ("1 GiB, TLS: CPU", "large_tls", "CPU"),
    ("1 GiB, TLS: peak memory", "large_tls", "peak RSS"),
]
COLOURS = {
    "light": {"text": "#1f2328", "ours": "#0969da", "peer": "#afb8c1"},
    "dark": {"text": "#e6edf3", "ours": "#4493f8", "peer": "#57606a"},
}
UNITS = {"milliseconds": " ms", "seconds": " s", "mebibytes": " MiB", "megabytes": " MB", "per_second": " /s", "count": "", "cores": ""}


class Figures:
    def __init__(self, file):
        self.cases = {case["id"]: case for case in json.loads(Path(file).read_text())}

    def column(self, case, column):
        """The medians of a column by the names of the rows."""
        index = self.names(case).index(column)
        return {row: figures[index]["median"] for row, figures in self.cases[case]["rows"]}

    def unit(self, case, column):
        """The unit of a column, as it is written behind a number."""
        return UNITS[self.cases[case]["columns"][self.names(case).index(column)][1]]

    def names(self, case):
        """The names of a case's columns."""
        return [name for name, _ in self.cases[case]["columns"]]


def draw(figures, colours, file):
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "benchmark",
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": colours["text"],
            "xtick.color": colours["text"],
            "ytick.color": colours["text"],
        }
    )
    figure, parts = pyplot.subplots(2, 2, figsize=(9, 4.6), layout="constrained")
    for part, (title, case, column) in zip(parts.flat, CHARTS):
        bars = sorted(figures.column(case, column).items(), key=lambda bar: bar[1])
        names = [name for name, _ in bars]
        values = [value for _, value in bars]
        drawn = part.barh(names, values, color=[colours["ours" if name == OURS else "peer"] for name in names])
        unit = figures.unit(case, column)
        texts = [f"{value:.2f}{unit}" if value < 10 else f"{value:.0f}{unit}" for value in values]
        part.bar_label(drawn, texts, padding=3, color=colours["text"])
        part.set_title(title, loc="left", fontsize=10, fontweight="bold")
        part.invert_yaxis()
        part.set_xlim(0, max(values) * 1.22)
        part.set_facecolor("none")
        part.xaxis.set_visible(False)
        part.tick_params(left=False)
        for spine in part.spines.values():
            spine.set_visible(False)
    figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def goals(figures):
    """Rows of what was aimed at and what was measured; those of cases that were not measured are left out."""

    def ours(case, column):
        return figures.column(case, column)[OURS]

    def best(case, column):
        """The best of those that store into S3: curl alone does not."""
        column = figures.column(case, column)
        return min(value for name, value in column.items() if name not in (OURS, BASELINE) and "unsigned" not in name)

    def peak(case):
        return f"{ours(case, 'peak RSS'):.1f} MiB"

    def of_peer(case, column, peer):
        return f"{ours(case, column) / figures.column(case, column)[peer]:.3f}"

    def cores(way, column, row, base):
        rows = figures.column(f"cores_{way}", column)
        return f"{rows[row] / rows[base]:.2f}"

    def processes():
        """Pictures a second for each core that is busy, of those of one process."""
        rates, busy = (figures.column("processes", column) for column in ["pictures a second", "busy cores, servers included"])
        one, *more = [rates[row] / busy[row] for row in rates]
        return ", ".join(f"{rate / one:.2f}" for rate in more)

    def slower_way():
        alone = [row for row in figures.column("slow", "wall") if "alone" in row]
        return max(figures.column("slow", "wall")[row] for row in alone)

    def silence(column):
        return f"{ours('silence_30', column):.0f}"

    def tick_cpu():
        cpu = ours("tick_30", "CPU")
        return f"{cpu:.2f} ms ({20 * cpu:.0f} ms)"

    def page_adds():
        """The worst of the sizes that were measured, in MiB."""
        peaks = [figures.column(case, "peak RSS") for case in ["page", "page_300", "page_1000"]]
        return f"{max(peak['PAGE=on'] - peak['PAGE=off'] for peak in peaks):.1f} MiB"

    streaming, whole, curl = "boto3 upload_fileobj", "boto3 put_object", "curl | curl, unsigned"
    one, one_core, two_cores = "one at a time, one core", "64 at a time, one core", "64 at a time, two cores"
    by_cpu = "pictures per second of CPU"
    rows = [
        ("200 KB pictures, plain HTTP: CPU, of boto3's upload_fileobj", "at most 0.12", lambda: of_peer("pictures_plain", "CPU per picture", streaming)),
        ("200 KB pictures, plain HTTP: CPU, of boto3's put_object", "at most 0.12", lambda: of_peer("pictures_plain", "CPU per picture", whole)),
        ("200 KB pictures, plain HTTP: peak RSS", "9 MiB", lambda: peak("pictures_plain")),
        ("200 KB pictures, TLS: CPU, of boto3's upload_fileobj", "at most 0.09", lambda: of_peer("pictures_tls", "CPU per picture", streaming)),
        ("200 KB pictures, TLS: CPU, of boto3's put_object", "at most 0.09", lambda: of_peer("pictures_tls", "CPU per picture", whole)),
        ("200 KB pictures, TLS: peak RSS", "10 MiB", lambda: peak("pictures_tls")),
        ("start, plain HTTP: wall, of the best peer's", "at most 0.25", lambda: f"{ours('start_plain', 'wall') / best('start_plain', 'wall'):.3f}"),
        ("start, TLS: wall", "at most 20 ms", lambda: f"{ours('start_tls', 'wall'):.1f} ms"),
        ("start, TLS: wall, of the best peer's", "at most 0.12", lambda: f"{ours('start_tls', 'wall') / best('start_tls', 'wall'):.3f}"),
        ("after 30 s of silence, TLS: wall, of a fresh curl's", "at most 1", lambda: of_peer("tick_30", "tick to object stored", curl)),
        ("64 at a time, plain HTTP, one core: pictures per second of CPU, of one at a time", "1", lambda: cores("plain", by_cpu, one_core, one)),
        ("the same on two cores, of one at a time on one", "1", lambda: cores("plain", by_cpu, two_cores, one)),
        ("64 at a time, TLS, one core: pictures per second of CPU, of one at a time", "1", lambda: cores("tls", by_cpu, one_core, one)),
        ("the same on two cores, of one at a time on one", "1", lambda: cores("tls", by_cpu, two_cores, one)),
        ("64 at a time, plain HTTP, two cores: pictures a second, of on one core", "2, less what the servers take", lambda: cores("plain", "pictures a second", two_cores, one_core)),
        ("64 at a time, TLS, two cores: pictures a second, of on one core", "2, less what the servers take", lambda: cores("tls", "pictures a second", two_cores, one_core)),
        ("64 at a time, plain HTTP: peak RSS", "20 MiB", lambda: peak("at_once_plain")),
        ("1 GiB, plain HTTP: CPU, of curl's to curl", "below 1", lambda: of_peer("large_plain", "CPU", curl)),
        ("1 GiB, plain HTTP: peak RSS", "22 MiB", lambda: peak("large_plain")),
        ("1 GiB, TLS: CPU, of curl's to curl", "below 1", lambda: of_peer("large_tls", "CPU", curl)),
        ("1 GiB, TLS: peak RSS", "22 MiB", lambda: peak("large_tls")),
        ("2, 4, 8 processes, TLS: pictures a second for each busy core, of one process's", "1", processes),
        ("slow to slow: wall, of the slower way alone", "at most 1.1", lambda: f"{ours('slow', 'wall') / slower_way():.3f}"),
        ("between ticks of 30 s: wake-ups, in the whole silence", "0", lambda: silence("wake-ups between two ticks")),
        ("between ticks of 30 s: wake-ups, after the connections have closed", "0", lambda: silence("of these, after 12 s")),
        ("between ticks of 30 s: RSS, with the page", "9 MiB", lambda: f"{ours('silence_30', 'RSS between ticks'):.1f} MiB"),
        ("page on, nobody looking: peak RSS above page off", "at most 4 MiB", page_adds),
        ("a job of 30 s, TLS: CPU of a tick and its silence (in 10 minutes)", "1 ms (20 ms)", tick_cpu),
        ("stripped binary", "7.2 MB", lambda: f"{figures.column('size', 'size')['stripped binary']:.1f} MB"),
    ]
    for case, goal, measured in rows:
        try:
            yield case, goal, measured()
        except (KeyError, ValueError):
            continue


def text(figure, unit):
    """The median, and in brackets the least and the most."""

    def number(value):
        digits = {"seconds": 2, "milliseconds": 2 if value < 10 else 1, "mebibytes": 1, "megabytes": 1, "cores": 2}.get(unit, 0)
        return f"{value:.{digits}f}"

    median, least, most = (number(figure[key]) for key in ["median", "least", "most"])
    return f"{median}{UNITS[unit]}" + (f" ({least}–{most})" if least != most else "")


def table(case):
    """A case's table. The ratios are to the first row, of the same thing with other means."""
    print(f"\n### {case['title']}\n\n| | {' | '.join(name for name, _ in case['columns'])} |")
    print(f"|---|{'---|' * len(case['columns'])}")
    first = case["rows"][0]
    for row, figures in case["rows"]:
        cells = []
        for (_, unit), figure, base in zip(case["columns"], figures, first[1]):
            cell = text(figure, unit)
            if case["compares"] and row != first[0]:
                ratio = figure["median"] / base["median"]
                cell += f", {ratio:.0f}×" if ratio >= 10 else f", {ratio:.2g}×"
            cells.append(cell)
        print(f"| {row.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")


def main():
    figures = Figures(sys.argv[1])
    if {case for _, case, _ in CHARTS} <= figures.cases.keys():
        for name, colours in COLOURS.items():
            draw(figures, colours, Path(sys.argv[2]) / f"benchmark-{name}.svg")
    print("### The goals\n\n| case | goal | measured |\n|---|---|---|")
    for row in goals(figures):
        print(f"| {' | '.join(row)} |")
    for case in figures.cases.values():
        table(case)


main()
