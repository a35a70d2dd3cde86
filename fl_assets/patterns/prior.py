"""What other fleets taught: weights that each fleet's own learning begins with and is drawn to.

Fitted by empirical Bayes to kinds of fleets, each of which has weights of its own around the common ones:
simulated fleets, the stress worlds of `benchmarks/stress_fleets.py`, and real counts of eight kinds (delays
of flights, outages of machines, birds that hit aeroplanes, complaints to a city's police, two epidemics,
sightings that people report, hours of bad weather). `benchmarks/fit_prior.py` prints them again when a
feature changes, and checks each kind with what the others taught; docs/confidence.md has its figures.
"""

BY_FEATURE = (
    ("constant", 0.455, 0.201),
    ("enough", 0.117, 0.192),
    ("not_one_off", 0.631, 0.300),
    ("goes_on", -0.085, 0.151),
    ("own_outcomes", -0.102, 0.187),
    ("own_days", 0.302, 0.173),
    ("own_runs", -0.175, 0.157),
    ("above_usual", -0.610, 0.276),
    ("below_usual", -0.164, 0.248),
    ("fleet_weekday", 0.197, 0.229),
    ("own_weekday", 0.063, 1.264),
    ("failures", 0.113, 0.215),
    ("nodes", 0.066, 0.201),
    ("first_day", -0.225, 0.264),
    ("first_day_failures", 0.087, 0.202),
    ("age", 0.072, 0.163),
    ("fleet_outcomes", -0.072, 0.216),
    ("variance", 0.065, 0.150),
    ("reporting", 0.026, 0.177),
    ("fleet_above_usual", 0.228, 0.303),
    ("expected", 0.029, 0.187),
    ("next_weekday", 0.575, 0.687),
    ("runs", 0.492, 0.168),
)
"""Weight of each feature, in the order of `features.NAMES`, and by how much kinds of fleets differ in it."""
WEIGHTS = tuple(weight for _, weight, _ in BY_FEATURE)
PRECISION = tuple(spread**-2 for *_, spread in BY_FEATURE)
"""Precision of each weight: where kinds of fleets differ much, a fleet soon learns its own."""
