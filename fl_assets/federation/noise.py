"""Noise on counts, exactly distributed: the discrete Laplace (two-sided geometric) distribution.

What goes here: the sampler. What does not: which counts get how much of it, and why that hides a session
(`federation.py`).
"""

from fractions import Fraction
from random import Random


def discrete_laplace(scale: Fraction, random: Random) -> int:
    """Return an integer x with probability proportional to exp(-|x| / scale).

    Integers and fractions alone, so that no rounding of floating-point numbers gives a count away (Mironov,
    *On significance of the least significant bits for differential privacy*, 2012). The method is Algorithm 2
    of Canonne, Kamath and Steinke, *The discrete Gaussian for differential privacy*, 2020.

    Args:
        scale: Sensitivity over epsilon; positive.
        random: What is drawn from: `secrets.SystemRandom()` where the noise has to hide something, a
            seeded `Random` in tests.

    Raises:
        ValueError: the scale is not positive.
    """
    if scale <= 0:
        message = f"scale={scale}: must be positive"
        raise ValueError(message)
    while True:
        rest = random.randrange(scale.numerator)
        if not _happens(Fraction(rest, scale.numerator), random):
            continue
        whole = 0
        while _happens(Fraction(1), random):
            whole += 1
        size = (rest + scale.numerator * whole) // scale.denominator
        is_negative = random.randrange(2) == 1
        if is_negative and size == 0:
            continue  # or 0 would be drawn twice as often
        return -size if is_negative else size


def _happens(gamma: Fraction, random: Random) -> bool:
    """Return True with probability exp(-gamma), gamma between 0 and 1 (the same paper, Algorithm 1)."""
    tries = 1
    while random.randrange(gamma.denominator * tries) < gamma.numerator:
        tries += 1
    return tries % 2 == 1
