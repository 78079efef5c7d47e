"""The quality of methods over density, as an SVG without any library.

    python benchmarks/plot.py

Reads ``results/retraining_free.jsonl``, writes ``docs/retraining-free.svg``: SST-2, the mean over
calibration seeds.
"""

import statistics
from collections import defaultdict
from pathlib import Path

from cells import rows

COLOURS = {"prunus": "#b8005c", "K-prune": "#2563eb", "Kwon et al.": "#059669"}
WIDTH, HEIGHT, EDGE = 640, 360, 48
DOCS = Path(__file__).parents[1] / "docs"


def curves(task: str) -> dict[str, list[tuple[float, float]]]:
    """{method: [(density, mean quality)]}, densities falling."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows("retraining_free"):
        cell = row["cell"]
        if cell["task"] == task and cell["method"] in COLOURS:
            found[cell["method"]][cell["density"]].append(row["pruned"])
    return {
        method: [(d, statistics.mean(own[d])) for d in sorted(own, reverse=True)]
        for method, own in found.items()
    }


def svg(task: str, dense: float) -> str:
    """The plot; density falls from left to right."""
    lines = curves(task)
    low = min(value for points in lines.values() for _, value in points) - 1
    high = max(dense, *(value for points in lines.values() for _, value in points)) + 1

    def place(density: float, value: float) -> tuple[float, float]:
        x = EDGE + (0.65 - density) / 0.6 * (WIDTH - 2 * EDGE)
        return round(x, 1), round(
            HEIGHT - EDGE - (value - low) / (high - low) * (HEIGHT - 2 * EDGE), 1
        )

    level = place(0, dense)[1]
    parts = [
        f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{level}" y2="{level}" stroke="#888"'
        ' stroke-dasharray="4"/>',
        f'<text x="{WIDTH - EDGE}" y="{level - 6}" text-anchor="end">dense {dense:.2f}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">FLOPs that stay</text>',
        f'<text x="{EDGE}" y="20">{task}: accuracy, %</text>',
    ]
    for density in (0.6, 0.5, 0.4, 0.25, 0.2, 0.1):
        parts.append(f'<text x="{place(density, low)[0]}" y="{HEIGHT - 28}">{density:g}</text>')
    for index, (method, points) in enumerate(lines.items()):
        path = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        colour = COLOURS[method]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point in points:
            x, y = place(*point)
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
            if index == 0:
                parts.append(f'<text x="{x}" y="{y - 8}" fill="{colour}">{point[1]:.1f}</text>')
        y = HEIGHT - EDGE - 20 * (index + 1)
        parts.append(f'<text x="{EDGE + 8}" y="{y}" fill="{colour}">{method}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12"'
        ' font-family="sans-serif">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{body}\n</svg>\n"
    )


if __name__ == "__main__":
    dense = next(r["dense"] for r in rows("retraining_free") if r["cell"]["task"] == "sst2")
    (DOCS / "retraining-free.svg").write_text(svg("sst2", dense))
