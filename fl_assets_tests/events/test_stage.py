"""Texts go through the same statement batch after batch.

Whatever their sizes, each comes back redacted, in its place.
"""

from datetime import date

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_assets.events.redaction import redact
from fl_assets.events.stage import Stager
from fl_assets.infra.lake import Lake

_FORMS = (
    "mail bob{}@example.org",
    "{} from 10.2.3.4",
    "password: Hunter{}x!",
    "{} called +49 170 123 4567",
    "nothing in line {}",
    "key sk-proj-a{}bcdefghijklmnopqrstuvwx",
)


@pytest.fixture(scope="module")
def stager(tmp_path_factory):
    connection = duckdb.connect()
    connection.execute(
        "create table fl_sources (file_no int, path varchar, node varchar, received timestamp)"
    )
    return Stager(connection, Lake(tmp_path_factory.mktemp("lake")), start=date(2026, 1, 1), secret=b"s")


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.one_of(st.integers(0, 5), st.sampled_from((2047, 2048, 2049, 5000))), max_size=4))
def test_batches_of_any_size_come_back_in_their_places(stager, sizes):
    for size in sizes:
        lines = [_FORMS[number % len(_FORMS)].format(number) for number in range(size)]
        assert stager.excerpts([line.encode() for line in lines]) == [redact(line) for line in lines]
