"""Tables in the UI fit a page: what has no blank may still break into lines."""

from fl_assets.defs.metadata import preview


def test_json_without_blanks_may_break_and_short_lists_stay_as_they_are():
    rows = [{"excerpt": '{"event_id":"1","event_type":"ExecutionTrace","n":[1,2]}', "ids": "1,2,3"}]
    (record,) = preview(rows, ("excerpt", "ids")).records
    assert max(map(len, record.data["excerpt"].split())) < 40
    assert record.data["ids"] == "1,2,3"
