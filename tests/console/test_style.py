"""The colours of the console can be read by everybody: contrasts as WCAG 2.2 AA asks for, in light and dark."""

from __future__ import annotations

import re

import pytest

from app.console.render import STATIC

STYLE = (STATIC / "console.css").read_text()
TEXTS = ("ink", "muted", "link", "good", "warn", "bad")
TEXT, DRAWING = 4.5, 3.0
PAIRS = [
    *((text, paper, TEXT) for text in TEXTS for paper in ("paper", "raised")),
    ("button-ink", "button", TEXT),
    *((bar, "raised", DRAWING) for bar in ("fit", "engagement", "bad")),
    *((edge, paper, DRAWING) for edge in ("muted", "link") for paper in ("paper", "raised")),
]


def colours(scheme: str) -> dict[str, str]:
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in re.findall(ROOT, STYLE))
    return light if scheme == "light" else light | dark


ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)


def luminance(colour: str) -> float:
    parts = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_contrast_is_computed_as_the_standard_says() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_every_colour_stands_out_from_what_is_behind_it(scheme: str, front: str, back: str, least: float) -> None:
    known = colours(scheme)
    assert contrast(known[front], known[back]) >= least


def test_both_schemes_name_the_same_colours_and_rules_use_no_others() -> None:
    light, dark = (set(re.findall(r"--([a-z-]+):", block)) for block in re.findall(ROOT, STYLE))
    assert light == dark
    used = set(re.findall(r"var\(--([a-z-]+)\)", STYLE))
    assert used == light
    rules = STYLE.rpartition("--engagement: ")[2].partition(";")[2]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules) == []
