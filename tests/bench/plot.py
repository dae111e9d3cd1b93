# SPDX-License-Identifier: Apache-2.0
"""Horizontal bars as SVG, with nothing but the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOUR = {"kernel": "#9aa5b1", "fou": "#5b7fa6", "gutless": "#c8682d"}
"""Of whose module a bar is."""
MEANING = {"kernel": "the kernel's other ways", "fou": "the kernel's fou module", "gutless": "gutless"}
LABEL, WIDTH, LINE, TOP = 250, 460, 19, 62
"""Pixels: of the names, of the longest bar, of one line, of the head."""


@dataclass(frozen=True)
class Bar:
    """One of the bars of a plot."""

    label: str
    value: float
    module: str


def plot(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """The text of an SVG file. The bars begin at zero, or their lengths would lie."""
    top = max(bar.value for bar in bars)
    width, height = LABEL + WIDTH + 90, TOP + LINE * len(bars) + 12
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#222222">{escape(title)}</text>',
    ]
    at = 12
    for module, colour in COLOUR.items():
        if any(bar.module == module for bar in bars):
            lines += [
                f'<rect x="{at}" y="34" width="11" height="11" fill="{colour}"/>',
                f'<text x="{at + 16}" y="44" fill="#444444">{MEANING[module]}</text>',
            ]
            at += 40 + 7 * len(MEANING[module])
    lines += [f'<text x="{at}" y="44" fill="#444444">{escape(unit)}</text>']
    for number, bar in enumerate(bars):
        y = TOP + LINE * number
        length = WIDTH * bar.value / top
        value = f"{bar.value:,.0f}" if bar.value >= 100 else f"{bar.value:.2f}"
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end" fill="#222222">{escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{y + 1}" width="{length:.1f}" height="{LINE - 5}" fill="{COLOUR[bar.module]}"/>',
            f'<text x="{LABEL + length + 5:.1f}" y="{y + 12}" fill="#444444">{value}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
