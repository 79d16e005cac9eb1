"""Colours can be told apart (WCAG 2.2): borders of controls and the ring of the focus by 3:1, texts by 4.5:1."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SHEET = (Path(__file__).resolve().parents[3] / "web" / "static" / "bulkhead.css").read_text(encoding="utf-8")
BACKGROUNDS = ("--paper", "--card", "--tint", "--idle-tint", "--good-tint", "--mixed-tint", "--bad-tint")
CONTROL = re.compile(r"\b(input|select|textarea|button|summary)\b|\.(button|drop|choice)\b")


def properties(block: str) -> dict[str, str]:
    return dict(re.findall(r"(--[\w-]+):\s*(#[0-9a-f]{3,6})\s*;", block))


LIGHT = properties(SHEET.partition("@media")[0])
DARK = LIGHT | properties(SHEET.partition("@media (prefers-color-scheme: dark)")[2].partition("*, *::before")[0])


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2 of ``#rgb`` or ``#rrggbb``."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_known_colours() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_told_apart(colours: dict[str, str]) -> None:
    needed = {"--edge": 3.0, "--accent": 3.0, "--ink": 4.5}
    weak = {
        (name, ground): round(found, 2)
        for name, ratio in needed.items()
        for ground in BACKGROUNDS
        if (found := contrast(colours[name], colours[ground])) < ratio
    }
    assert weak == {}
    for name, ground in (("--soft", "--paper"), ("--soft", "--card"), ("--accent", "--paper"), ("--accent-ink", "--accent")):
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_both_schemes_have_all_colours() -> None:
    dark = properties(SHEET.partition("@media (prefers-color-scheme: dark)")[2].partition("*, *::before")[0])
    assert dark.keys() == LIGHT.keys()
    assert dark["--edge"] != LIGHT["--edge"]


def test_no_control_has_a_faint_border() -> None:
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", SHEET, flags=re.DOTALL))
    faint = [
        selector.strip()
        for selector, body in rules
        if any(CONTROL.search(one.split()[-1]) for one in selector.split(",") if one.strip())
        and re.search(r"border(-color)?:[^;]*var\(--line\)", body)
    ]
    assert faint == []
    (base,) = [body for selector, body in rules if selector.strip() == "input, select, textarea"]
    assert "border: 1px solid var(--edge)" in base
    assert re.search(r":focus-visible[^{]*\{ outline: 2px solid var\(--accent\)", SHEET)
    assert not re.search(r"(input|select|textarea|button|a)(:focus(-visible)?)?\s*\{[^}]*outline:\s*(none|0)", SHEET)
