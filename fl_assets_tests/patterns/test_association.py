"""Statistics of 2x2 tables are those that scipy computes."""

import subprocess
import sys

import numpy as np
from scipy.stats import hypergeom

from fl_assets.patterns.association import p_more


def test_the_test_of_a_trait_is_fishers_on_every_table_of_up_to_eleven():
    tables = [
        (hits, group, hits_all, everyone)
        for everyone in range(1, 12)
        for hits_all in range(everyone + 1)
        for group in range(everyone + 1)
        for hits in range(min(hits_all, group) + 1)
    ]
    hits, group, hits_all, everyone = np.array(tables, float).T
    expected = hypergeom.sf(hits - 1, everyone, hits_all, group)
    np.testing.assert_allclose(p_more(hits, group, hits_all, everyone), expected, rtol=1e-9, atol=1e-15)


def test_the_test_of_a_trait_is_fishers_on_large_tables():
    draw = np.random.default_rng(1)
    everyone = draw.integers(1, 200_000, 500)
    hits_all = np.minimum(draw.integers(0, everyone + 1), 10 ** draw.integers(1, 6, 500))
    group = np.minimum(draw.integers(0, everyone + 1), 10 ** draw.integers(1, 6, 500))
    mean = group * hits_all / everyone
    hits = np.rint(mean + 3 * np.sqrt(mean) * draw.normal(size=500))
    hits = np.clip(hits, np.maximum(0, group + hits_all - everyone), np.minimum(group, hits_all))
    expected = hypergeom.sf(hits - 1, everyone, hits_all, group)
    np.testing.assert_allclose(p_more(hits, group, hits_all, everyone), expected, rtol=1e-7, atol=1e-300)


def test_a_cycle_imports_no_statistics_of_scipy():
    code = (
        "import sys, numpy as np, fl_assets.coordinator\n"
        "from fl_assets.patterns.association import p_more\n"
        "p_more(*np.array([[1.0], [2.0], [3.0], [9.0]]))\n"
        "sys.exit('scipy.stats' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
