#!/usr/bin/env python3
"""Draws docs/images/cast.svg, the terminal in README.md, from the commands and output that docs/guide.md shows.

The tests run these blocks, so the picture shows what happens. Without arguments it writes the picture; `--check` fails if the
picture does not fit the guide. Needs nothing but Python.
"""

import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs/guide.md"
PICTURE = ROOT / "docs/images/cast.svg"

# What each scene shows: its title, the beginnings of its commands, and how many lines of each command's output.
SCENES = [
    ("1 first backup", [("drumlin quickstart ", 10)]),
    ("2 change", [("echo ", 0), ("drumlin backup ", 6)]),
    ("3 history", [("drumlin history ", 7)]),
    ("4 restore", [("drumlin restore ", 3), ("diff -r ", 1)]),
]
SCENE_SECONDS = 6.0
# The command of a scene is seen alone for this part of the scene.
COMMAND_ALONE = 0.15

# Sizes in pixels. A line has a fixed length, so that columns stay in place whatever font is used.
CHAR, LINE, MARGIN, BAR = 7.8, 18, 16, 34

STYLE = """
  svg { --back: #f6f8fa; --bar: #e7ebef; --text: #24292f; --dim: #6a737d; --mark: #0550ae; --edge: #d0d7de }
  @media (prefers-color-scheme: dark) {
    svg { --back: #161b22; --bar: #21262d; --text: #c9d1d9; --dim: #8b949e; --mark: #79c0ff; --edge: #30363d }
  }
  text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--text); white-space: pre }
  .dim { fill: var(--dim) } .mark { fill: var(--mark) } .command { font-weight: bold }
  .window { fill: var(--back); stroke: var(--edge) } .bar { fill: var(--bar) }
"""


def commands(page):
    """Returns the commands of the page's console blocks with the lines of their output."""
    found, is_console = [], False
    for line in page.splitlines():
        if line.startswith("```"):
            is_console = line == "```console"
        elif is_console and line.startswith("$ "):
            found.append((line[2:], []))
        elif is_console:
            found[-1][1].append(line)
    return found


def scene_lines(found, wanted):
    """Returns the lines of a scene as (class, text)."""
    lines = []
    for start, count in wanted:
        command, output = next(one for one in found if one[0].startswith(start))
        shown = output[:count]
        while shown and not shown[-1]:
            shown.pop()
        lines.append(("command", "$ " + command))
        lines += [("output", line) for line in shown]
        lines += [("dim", "…")] if count and len(output) > count else []
    return lines


def text(x, y, kind, words):
    """Returns a line of text that is as long as its characters, whatever the font."""
    if not words:
        return ""
    length = f' textLength="{len(words) * CHAR:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{length} xml:space="preserve">{escape(words)}</text>\n'


def keyframes(name, first, last):
    """Returns an animation that shows something from one percentage of the whole to another."""
    before = f"0%, {first - 0.01:.2f}% {{ opacity: 0 }} " if first > 0 else ""
    after = f" {last + 0.01:.2f}%, 100% {{ opacity: 0 }}" if last < 100 else ""
    return f"  @keyframes {name} {{ {before}{first:.2f}%, {last:.2f}% {{ opacity: 1 }}{after} }}\n"


def draw(page):
    """Returns the picture."""
    found = commands(page)
    scenes = [(title, scene_lines(found, wanted)) for title, wanted in SCENES]
    width = 2 * MARGIN + CHAR * max(len(words) for _, lines in scenes for _, words in lines)
    height = BAR + LINE * max(len(lines) for _, lines in scenes) + 2 * MARGIN
    share, total = 100 / len(scenes), SCENE_SECONDS * len(scenes)
    style, tabs, body = STYLE, "", ""
    x = MARGIN
    for number, (title, lines) in enumerate(scenes):
        first, last = number * share, (number + 1) * share
        late = first + share * COMMAND_ALONE
        style += keyframes(f"scene{number}", first, last) + keyframes(f"output{number}", late, last)
        for part in ("scene", "output"):
            style += f"  .{part}{number} {{ animation: {part}{number} {total:.0f}s infinite"
            # Where nothing moves, the first scene is seen.
            style += f"; opacity: {int(number == 0)} }}\n"
        tabs += text(x, 22, "dim", title)
        parts = {"scene": text(x, 22, "mark", title), "output": ""}
        for row, (kind, words) in enumerate(lines):
            is_first = row == 0
            y = BAR + MARGIN + LINE * row + 12
            parts["scene" if is_first else "output"] += text(MARGIN, y, kind, words)
        body += "".join(f'<g class="{part}{number}">\n{drawn}</g>\n' for part, drawn in parts.items())
        x += CHAR * (len(title) + 3)
    style += "  @media (prefers-reduced-motion: reduce) { g { animation: none !important } }\n"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">\n'
        f"<title>Drumlin in a terminal: first backup, change, history, restore</title>\n<style>{style}</style>\n"
        f'<rect class="window" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8"/>\n'
        f'<rect class="bar" x="1" y="1" width="{width - 2:.0f}" height="{BAR - 1}" rx="8"/>\n{tabs}{body}</svg>\n'
    )


def main():
    picture = draw(GUIDE.read_text())
    if sys.argv[1:] == ["--check"]:
        if not PICTURE.exists() or PICTURE.read_text() != picture:
            sys.exit(f"{PICTURE.relative_to(ROOT)} does not show what {GUIDE.relative_to(ROOT)} says: run scripts/cast.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        PICTURE.write_text(picture)


if __name__ == "__main__":
    main()
