"""What other fleets taught: weights that each fleet's own learning begins with and is drawn to.

Fitted to simulated fleets, to the stress worlds of `benchmarks/counted_fleets.py` and to two sources of real
counts (outages of machines, delays of flights), each kind of fleet weighted alike whatever its size; checked
by leaving sources out. `benchmarks/fit_prior.py` prints them anew when a feature changes.
"""

BY_FEATURE = (
    ("constant", 0.217),
    ("enough", 0.538),
    ("not_one_off", 0.556),
    ("goes_on", -0.072),
    ("own_outcomes", 0.119),
    ("own_days", 0.288),
    ("own_runs", -0.094),
    ("above_usual", -0.693),
    ("below_usual", -0.246),
    ("fleet_weekday", 0.492),
    ("own_weekday", 1.010),
    ("failures", -0.020),
    ("nodes", 0.104),
    ("first_day", -0.407),
    ("first_day_failures", 0.202),
    ("age", 0.061),
    ("fleet_outcomes", 0.121),
    ("variance", 0.054),
    ("reporting", -0.065),
    ("fleet_above_usual", 0.161),
    ("expected", -0.120),
)
"""Weight of each feature, in the order of `features.NAMES`."""
WEIGHTS = tuple(weight for _, weight in BY_FEATURE)
PRECISION = (10.0,) * len(WEIGHTS)
"""Precision of each weight: with 10 a fleet's own weights may well differ by 0.3."""
