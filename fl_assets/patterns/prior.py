"""What other fleets taught: weights that each fleet's own learning begins with and is drawn to.

Fitted by empirical Bayes to kinds of fleets, each of which has weights of its own around the common ones:
simulated fleets, the stress worlds of `benchmarks/stress_fleets.py`, and four sources of real counts (delays
of flights, two; outages of machines; birds that hit aeroplanes, by state).
`benchmarks/fit_prior.py` prints them again when a feature changes, and checks each kind with what the others
taught; docs/confidence.md has its figures.
"""

BY_FEATURE = (
    ("constant", 0.444, 0.190),
    ("enough", 0.151, 0.181),
    ("not_one_off", 0.659, 0.202),
    ("goes_on", -0.020, 0.157),
    ("own_outcomes", -0.085, 0.194),
    ("own_days", 0.303, 0.181),
    ("own_runs", -0.210, 0.160),
    ("above_usual", -0.608, 0.189),
    ("below_usual", -0.160, 0.221),
    ("fleet_weekday", 0.261, 0.215),
    ("own_weekday", 0.066, 1.192),
    ("failures", 0.046, 0.165),
    ("nodes", 0.020, 0.205),
    ("first_day", -0.275, 0.228),
    ("first_day_failures", -0.031, 0.192),
    ("age", -0.048, 0.163),
    ("fleet_outcomes", 0.047, 0.194),
    ("variance", 0.087, 0.163),
    ("reporting", -0.015, 0.189),
    ("fleet_above_usual", 0.168, 0.204),
    ("expected", 0.069, 0.203),
    ("next_weekday", 1.040, 0.288),
    ("runs", 0.545, 0.175),
)
"""Weight of each feature, in the order of `features.NAMES`, and by how much kinds of fleets differ in it."""
WEIGHTS = tuple(weight for _, weight, _ in BY_FEATURE)
PRECISION = tuple(spread**-2 for *_, spread in BY_FEATURE)
"""Precision of each weight: where kinds of fleets differ much, a fleet soon learns its own."""
