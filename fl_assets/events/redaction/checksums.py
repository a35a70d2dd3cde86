"""Checksums of numbers: Luhn (ISO/IEC 7812-1) and that of account numbers (ISO 13616, mod 97-10)."""


def luhn_holds(digits: str) -> bool:
    """Tell whether a string of decimal digits carries a valid Luhn check digit."""
    doubled = [
        int(c) if i % 2 == 0 else (int(c) * 2 - 9 if c > "4" else int(c) * 2)
        for i, c in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0


def iban_holds(iban: str) -> bool:
    """Tell whether letters and digits, in any case, form an account number whose remainder by 97 is 1."""
    remainder = 0
    for c in (iban[4:] + iban[:4]).upper():
        value = ord(c) - 48 if c <= "9" else ord(c) - 55
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97
    return remainder == 1
