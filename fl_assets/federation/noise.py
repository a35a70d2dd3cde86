"""An exact sampler of the discrete Laplace (two-sided geometric) distribution.

What does not go here: the noise of each count, and why it hides a session (`privacy.py`).
"""

from fractions import Fraction
from random import Random


def discrete_laplace(scale: Fraction, random: Random) -> int:
    """Return an integer x with probability proportional to exp(-|x| / scale).

    It uses integers and fractions only, so that no rounding of floating-point numbers reveals a count
    (Mironov, *On significance of the least significant bits for differential privacy*, 2012). The method is
    Algorithm 2 of Canonne, Kamath and Steinke, *The discrete Gaussian for differential privacy*, 2020.

    Args:
        scale: Sensitivity over epsilon; positive.
        random: `secrets.SystemRandom()`, or a seeded `Random` in tests.

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
            continue  # else 0 would be drawn twice as often
        return -size if is_negative else size


def _happens(gamma: Fraction, random: Random) -> bool:
    """Return True with probability exp(-gamma), gamma between 0 and 1 (the same paper, Algorithm 1)."""
    tries = 1
    while random.randrange(gamma.denominator * tries) < gamma.numerator:
        tries += 1
    return tries % 2 == 1
