#!/usr/bin/env python3
"""Draws the bar chart of benches/RESULTS.md, and writes its summary, from the page's own tables.

Of each step's first table the seconds of all data sets are added up for each tool, and divided by Drumlin's. With `--check`
nothing is written; the exit code is 1 if the chart or the summary does not fit the tables.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "benches" / "RESULTS.md"
CHART = ROOT / "docs" / "images" / "benchmarks.svg"
BEGIN, END = "<!-- summary: made by scripts/chart.py -->\n", "<!-- end of the summary -->\n"
TOOLS = ["drumlin", "bupstash", "rustic", "restic", "borg"]
# Title of a table, and what a row of the chart says.
STEPS = [
    ("First backup: wall s / CPU s / peak MiB", "first backup"),
    ("Second version: wall s / CPU s / peak MiB", "second version"),
    ("Unchanged, snapshot forced: wall s / CPU s / peak MiB", "unchanged"),
    ("Restore: wall s / CPU s / peak MiB", "restore"),
    ("One file: wall s / CPU s / peak MiB", "one file"),
    ("Full check: wall s / CPU s / peak MiB", "full check"),
    ("Size in MB: first version + added by the second", "size stored"),
]
COLOURS = {"drumlin": "#1f6f8b", "bupstash": "#b8c4cc", "rustic": "#9aa9b3", "restic": "#7c8d99", "borg": "#5f707c"}


def table(page, title):
    """Returns the first table of a section: for each data set the cells of each tool."""
    section = page.split(f"\n### {title}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE).group(0).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = rows[0]
    return {row[0]: dict(zip(head[1:], row[1:])) for row in rows[2:]}


def number(cell):
    """Returns the seconds of a cell, or its sizes added up."""
    return sum(float(part) for part in cell.split(" / ")[0].split(" + "))


def worst_cell(page, title):
    """Returns in words where another tool comes off best beside Drumlin on one data set alone."""
    rows = table(page, title).items()
    cells = [(number(row[tool]) / number(row["drumlin"]), tool, data) for data, row in rows for tool in TOOLS[1:]]
    ratio, tool, data = min(cells)
    return f"{tool} on `{data}` {ratio:.2f}"


def ratios(page):
    """Returns for each step what each tool takes of what Drumlin takes."""
    found = {}
    for title, step in STEPS:
        rows = table(page, title).values()
        sums = {tool: sum(number(row[tool]) for row in rows) for tool in TOOLS}
        found[step] = {tool: sums[tool] / sums["drumlin"] for tool in TOOLS}
    return found


def chart(found):
    """Returns the chart as SVG."""
    left, bar, gap, unit = 165, 11, 14, 66
    most = max(max(tools.values()) for tools in found.values())
    width = left + int(most * unit) + 70
    height = 66 + len(found) * (len(TOOLS) * bar + gap)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        "<title>Drumlin beside other tools: time and size, Drumlin = 1</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<text x="12" y="20" font-size="14" font-weight="bold">Drumlin beside other tools</text>',
        '<text x="12" y="37">Time and size of all data sets together, Drumlin = 1. Shorter is better.</text>',
    ]
    for tick in range(int(most) + 1):
        x = left + tick * unit
        lines.append(f'<line x1="{x}" y1="48" x2="{x}" y2="{height - 14}" stroke="#{"222222" if tick == 1 else "e2e6e9"}"/>')
        lines.append(f'<text x="{x}" y="{height - 3}" text-anchor="middle" font-size="9">{tick}</text>')
    y = 54
    for step, tools in found.items():
        lines.append(f'<text x="12" y="{y + 9}" font-weight="bold">{step}</text>')
        for tool in TOOLS:
            long = tools[tool] * unit
            lines.append(f'<text x="{left - 6}" y="{y + 9}" text-anchor="end" font-size="9">{tool}</text>')
            lines.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{bar - 2}" fill="{COLOURS[tool]}"/>')
            lines.append(f'<text x="{left + long + 4:.1f}" y="{y + 9}" font-size="9">{tools[tool]:.2f}</text>')
            y += bar
        y += gap
    return "\n".join(lines + ["</svg>", ""])


def summary(page, found):
    """Returns the lines above the tables: what each tool takes, where Drumlin takes 1."""
    first, one = (next(title for title, step in STEPS if step == wanted) for wanted in ("first backup", "one file"))

    def span(step):
        others = sorted(ratio for tool, ratio in found[step].items() if tool != "drumlin")
        return f"{others[0]:.1f} to {others[-1]:.1f}"

    def best_other(step):
        return min((ratio, tool) for tool, ratio in found[step].items() if tool != "drumlin")[1]

    return "\n".join(
        [
            "![Bars: time and size of five tools in seven steps](../docs/images/benchmarks.svg)",
            "",
            "In the run of the first tables the four other tools took, where Drumlin takes 1 (all data sets):",
            "",
            f"* **first backup** {span('first backup')} ({worst_cell(page, first)});",
            f"* **second version** {span('second version')}, **restore** {span('restore')}, **full check** {span('full check')};",
            f"* **unchanged** {span('unchanged')} ({best_other('unchanged')} is quicker: it derives no key from a password);",
            f"* **one file** {span('one file')} ({worst_cell(page, one)});",
            f"* **size stored**, both versions {span('size stored')}. \"Worse than a peer\" below says the rest.",
            "",
        ]
    )


def main():
    page = PAGE.read_text()
    found = ratios(page)
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    wanted = {PAGE: f"{before}{BEGIN}\n{summary(page, found)}\n{END}{after}", CHART: chart(found)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not fit the tables of benches/RESULTS.md: run scripts/chart.py", file=sys.stderr)
        sys.exit(1 if stale else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])


if __name__ == "__main__":
    main()
