"""Pictures in metadata."""

import base64
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fl_assets.defs.pictures import (
    MAX_BYTES,
    before_and_after,
    nodes_by_patterns,
    pattern_trends,
    pictures,
    reliability_diagram,
    volume_by_hour,
)
from fl_assets_tests.build import pattern
from fl_assets_tests.report.test_report import outcome_row

HOURS = [{"hour": hour, "calls": 100 + hour, "failures": hour} for hour in range(24)]
PATTERNS = [
    pattern(pattern_id=f"p-{place:02}", failures=10 + place, template=f"failure {place} of <*>")
    for place in range(30)
]
COUNTS = [
    {"pattern_id": one["pattern_id"], "node_id": f"node-{node:03}", "failures": 1 + node % 5}
    for one in PATTERNS
    for node in range(60)
]
BINS = [
    {
        "bin_low": low / 10,
        "bin_high": low / 10 + 0.1,
        "predictions": low,
        "predicted": low / 10 + 0.05,
        "observed": low / 10,
    }
    for low in range(10)
]
OUTCOMES = [
    outcome_row(decision_id=f"d{place}", control_rate=0.1, verdict="worse" if place else "better")
    for place in range(3)
]
DRAWN = {
    "volume": lambda: volume_by_hour(HOURS),
    "trends": lambda: pattern_trends(PATTERNS),
    "nodes": lambda: nodes_by_patterns(COUNTS, PATTERNS),
    "reliability": lambda: reliability_diagram(BINS, 0.7),
    "outcomes": lambda: before_and_after(OUTCOMES),
}


def image_of(picture) -> Image.Image:
    """The picture inside markdown, which must hold nothing else."""
    found = re.fullmatch(r"!\[[a-z0-9 :,]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", picture.value)
    assert found, picture.value[:80]
    return Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB")


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_small_and_fits_the_dialog(name):
    picture = DRAWN[name]()
    assert len(picture.value) <= MAX_BYTES + 100
    image = image_of(picture)
    assert 400 <= image.width <= 900
    assert len(image.getcolors(1_000_000)) > 10


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_rows_give_the_same_picture(name):
    assert DRAWN[name]() == DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_has_its_own_light_ground(name):
    image = image_of(DRAWN[name]())
    corners = [image.getpixel((x, y)) for x in (0, image.width - 1) for y in (0, image.height - 1)]
    assert all(min(colour) > 240 for colour in corners)


def test_nothing_to_see_is_no_picture():
    drawn = pictures(
        volume=volume_by_hour([]),
        trends=pattern_trends([pattern(failures=0)]),
        nodes=nodes_by_patterns([], []),
        outcomes=before_and_after([outcome_row()]),
        reliability=reliability_diagram([{"predictions": 0}], 0.7),
    )
    assert drawn == {}


@settings(deadline=None, max_examples=8)
@given(text=st.text(max_size=80), node=st.text(min_size=1, max_size=30))
def test_any_text_is_drawn_as_it_stands(text, node):
    found = [pattern(template=f"$\\frac{{{text}", failures=3)]
    for picture in (
        pattern_trends(found),
        nodes_by_patterns([{"pattern_id": "p-timeout", "node_id": f"${node}", "failures": 3}], found),
    ):
        assert image_of(picture).width > 400
