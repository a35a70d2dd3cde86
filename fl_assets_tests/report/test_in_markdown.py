"""The report as Markdown, as the Dagster UI shows it."""

import re

from fl_assets.report.build import build_report
from fl_assets.report.in_markdown import report_in_markdown
from fl_assets_tests.build import pattern
from fl_assets_tests.report.test_page import hostile_report
from fl_assets_tests.report.test_report import decision_row, example_row, rows


def test_it_says_what_to_do_how_sure_that_is_and_how_to_accept_it():
    exported = decision_row(reasons=["for review: a config is changed by people"])
    report = build_report(rows(decisions=[exported], examples=[example_row()]))
    told = report_in_markdown(report)
    for words in (
        "**Raise the time limit** (config)",
        "likely to continue: 90 %, 80 % even without the worst nodes",
        "this change: not tried yet",
        '`fl-assets approve d1 --reason "why"`',
        "`503 search timed out after 5012 ms`",
        "on 1, needs 3",
        "1 for review",
    ):
        assert words in told


def test_an_incident_of_one_node_is_a_part_of_its_own():
    told = report_in_markdown(build_report(rows(patterns=[pattern(incident_node="eu-02")])))
    assert "## On one node only: to be fixed there\n\n- `eu-02`: 200 of" in told


def test_hostile_text_is_code_or_escaped():
    told = report_in_markdown(hostile_report())
    without_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", told)
    assert "alert(1)" in told
    assert not re.search(r"(?<!\\)<(?:script|img|svg)", without_code)
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", without_code)
