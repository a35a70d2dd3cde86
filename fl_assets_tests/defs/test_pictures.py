"""Pictures in metadata."""

import base64
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.defs.pictures import (
    GROUND,
    MAX_BYTES,
    _ticks,
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


def image_of(picture) -> ElementTree.Element:
    """The picture inside markdown, which must hold nothing else."""
    found = re.fullmatch(r"!\[[a-z0-9 :,]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", picture.value)
    assert found, picture.value[:80]
    return ElementTree.fromstring(base64.b64decode(found[1]))


def texts_of(picture) -> list[str]:
    return ["".join(one.itertext()) for one in image_of(picture).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_small_and_fits_the_dialog(name):
    picture = DRAWN[name]()
    assert len(picture.value) <= MAX_BYTES + 100
    image = image_of(picture)
    assert 400 <= int(image.get("width")) <= 900
    places = [float(one.get(key)) for one in image.iter() for key in ("x", "cx") if one.get(key)]
    assert len(places) > 10
    assert all(0 <= place <= int(image.get("width")) for place in places)


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_rows_give_the_same_picture(name):
    assert DRAWN[name]() == DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_has_its_own_light_ground(name):
    image = image_of(DRAWN[name]())
    ground = image[0]
    assert [ground.get(key) for key in ("width", "height")] == [image.get(key) for key in ("width", "height")]
    assert ground.get("fill") == GROUND


@pytest.mark.parametrize(
    ("most", "end"), [(0, 0.2), (0.3, 0.3), (1, 1), (7, 8), (37_000, 40_000), (9e6, 1e7)]
)
def test_an_axis_ends_at_a_round_number(most, end):
    ticks = _ticks(most)
    assert len(ticks) <= 6
    assert ticks[-1] == pytest.approx(end)


def test_what_draws_is_imported_by_nobody():
    code = "import sys, fl_assets.coordinator; sys.exit('matplotlib' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_to_see_is_no_picture():
    drawn = pictures(
        volume=volume_by_hour([]),
        trends=pattern_trends([pattern(failures=0)]),
        nodes=nodes_by_patterns([], []),
        outcomes=before_and_after([outcome_row()]),
        reliability=reliability_diagram([{"predictions": 0}], 0.7),
    )
    assert drawn == {}


@settings(deadline=None, max_examples=50)
@given(text=st.text(max_size=80), node=st.text(min_size=1, max_size=18))
def test_any_text_is_drawn_as_it_stands(text, node):
    found = [pattern(template=f"<b>&{text}", failures=3)]
    for picture in (
        pattern_trends(found),
        nodes_by_patterns([{"pattern_id": "p-timeout", "node_id": node, "failures": 3}], found),
    ):
        assert any(one.startswith("<b>&") for one in texts_of(picture))
