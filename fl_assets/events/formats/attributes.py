"""Which attributes say what (`attributes.yaml`), and how errors are told in words (`errors.yaml`)."""

import re
from pathlib import Path

from fl_assets.core.data import read_data

ATTRIBUTES: dict[str, list[str]] = read_data(Path(__file__).with_name("attributes.yaml"))
"""Names by what they say, in order of preference."""
ERRORS: dict[str, list[str]] = read_data(Path(__file__).with_name("errors.yaml"))
"""Words, names of exceptions and phrases by what they tell."""


def telling(what: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Return the pattern of the names of exceptions and the phrases that tell something."""
    types = rf"\b(?:{'|'.join(ERRORS[f'{what}_types'])})\b"
    return re.compile("|".join([types, *ERRORS[f"{what}_phrases"]]), flags)
