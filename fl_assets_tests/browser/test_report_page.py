"""The report page in a browser: no server behind it, nothing loaded, everything at hand."""

import pytest
from playwright.sync_api import expect

from fl_assets.report.build import build_report
from fl_assets.report.page import write_report
from fl_assets_tests.build import pattern
from fl_assets_tests.report.test_page import hostile_report
from fl_assets_tests.report.test_report import example_row, rows, verdict_row

STATES = ("new", "rising", "known", "resolved")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A report of 40 patterns, ten of each state; the resolved ones do not fail any more."""
    many = [
        pattern(
            pattern_id=f"p-{place:012x}",
            template=f"failure number-{place}-of <*> in the {'search' if place % 2 else 'billing'} service",
            state=STATES[place % 4],
            failures=0 if place % 4 == 3 else 100 + place,
            failure_class="timeout" if place < 20 else "auth",
            confidence=place / 40,
            nodes_affected=place % 7,
        )
        for place in range(40)
    ]
    many.append(pattern())
    many.append(
        pattern(
            pattern_id="p-incident",
            family_id="f-incident",
            template="<NUM> Unauthorized: token of <*> expired",
            state="known",
            failures=90,
            failure_class="auth",
            incident_node="eu-central-02",
            confidence=0.02,
        )
    )
    said = example_row(
        family_id="f-incident",
        message="401 Unauthorized: token of svc-meters expired",
        node_id="eu-central-02",
    )
    nodes = [{"pattern_id": "p-incident", "node_id": "eu-central-02", "failures": 90}]
    nodes += [
        {"pattern_id": "p-timeout", "node_id": f"us-{place:02}", "failures": 50 - place}
        for place in range(40)
    ]
    given = rows(patterns=many, earlier_patterns=[], examples=[said], by_node=nodes, verdicts=[verdict_row()])
    page, _ = write_report(tmp_path_factory.mktemp("page"), build_report(given))
    return page.as_uri()


@pytest.fixture
def page(watched, address):
    """The page; whatever a test does, it asks for nothing but itself and complains of nothing."""
    watched.page.goto(address)
    yield watched.page
    assert {url.partition("#")[0] for url in watched.requests} == {address}
    assert watched.complaints == []


def shown(page):
    return page.locator("#patterns tbody tr:visible")


def first_cells(page, column: int) -> list[str]:
    return page.eval_on_selector_all(
        "#patterns tbody tr",
        "(rows, column) => rows.filter(row => !row.hidden).map(row => row.cells[column].dataset.v)",
        column,
    )


def test_it_opens_on_what_fails_now(page):
    assert shown(page).count() == 32
    assert page.get_by_role("status").inner_text() == "32 of 42 patterns shown"


def test_it_filters_by_state_class_and_words(page):
    page.get_by_role("button", name="Rising 10").click()
    assert shown(page).count() == 10
    page.get_by_label("Class").select_option("auth")
    assert shown(page).count() == 5
    page.get_by_label("Search").fill("SEARCH number-25-of")
    assert shown(page).count() == 1
    page.get_by_label("Search").fill("no such words")
    assert page.get_by_text("No pattern fits.").is_visible()
    page.get_by_label("Search").press("Escape")
    page.get_by_label("Class").select_option("")
    page.get_by_role("button", name="All 42").click()
    assert shown(page).count() == 42


def test_a_status_code_and_a_node_are_found(page):
    for words in ("401", "eu-central-02"):
        page.get_by_label("Search").fill(words)
        assert shown(page).count() == 1
        expect(shown(page)).to_have_id("p-incident")


def test_an_incident_of_one_node_is_named_with_its_message_and_leads_to_its_pattern(page):
    do = page.locator("#do")
    expect(do.get_by_role("heading", name="On one node only: to be fixed there")).to_be_visible()
    expect(do.get_by_text("401 Unauthorized: token of svc-meters expired")).to_be_visible()
    do.get_by_role("link", name="Unauthorized").click()
    expect(page.locator("#p-incident").get_by_text("an incident of node")).to_be_visible()


def test_a_section_opens_when_a_link_leads_to_it(page):
    gate = page.get_by_role("heading", name="What the gate found")
    expect(gate).to_be_hidden()
    page.get_by_role("link", name="Held back", exact=True).click()
    expect(gate).to_be_visible()


def test_it_sorts_by_heads_and_by_the_list(page):
    failures = [int(value) for value in first_cells(page, 2)]
    assert failures == sorted(failures, reverse=True)
    head = page.locator("#patterns th").nth(5)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    confidence = [float(value) for value in first_cells(page, 5)]
    assert confidence == sorted(confidence, reverse=True)
    page.get_by_label("Sort by").select_option("fewest nodes")
    nodes = [int(value) for value in first_cells(page, 4)]
    assert nodes == sorted(nodes)
    assert head.get_attribute("aria-sort") is None


def test_a_playbook_leads_to_its_pattern_and_opens_it(page):
    page.get_by_label("Search").fill("number-7-of")
    page.get_by_role("link", name="the pattern", exact=True).first.click()
    row = page.locator("#p-timeout")
    row.get_by_text("Why one pattern").wait_for()
    assert page.get_by_label("Search").input_value() == ""


def test_a_node_is_found_that_the_evidence_does_not_name(page):
    assert page.get_by_text("us-39").count() == 0
    page.get_by_label("Search").fill("us-39")
    assert shown(page).count() == 1


def test_it_works_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the patterns"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("billing")
    assert shown(page).count() == 20
    page.get_by_role("button", name="New 10").focus()
    page.keyboard.press("Enter")
    assert shown(page).count() == 10


def test_it_turns_dark_and_light(page):
    def ground() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    page.get_by_role("button", name="Dark mode").click()
    dark = ground()
    assert dark != light
    for _ in range(10):  # the browser stores the choice in its own time
        page.wait_for_timeout(200)
        page.reload()
        if ground() == dark:
            break
    assert ground() == dark
    page.get_by_role("button", name="Light mode").click()
    assert ground() == light
    page.emulate_media(color_scheme="dark")
    assert ground() == light, "who chose a mode keeps it"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_and_nothing_sticks_out(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    weak = page.evaluate(CONTRAST)
    assert weak == []


def test_it_prints_every_shown_pattern_with_its_evidence(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#patterns details[open]").count() == 32
    assert page.get_by_label("Search").is_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#patterns details[open]").count() == 0


def test_all_of_it_is_there_without_script(chromium, address):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert shown(page).count() == 42
    assert page.locator("#tools").is_hidden()
    context.close()


def test_hostile_text_runs_nothing_in_a_browser(watched, tmp_path):
    page, _ = write_report(tmp_path, hostile_report())
    watched.page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    watched.page.goto(page.as_uri())
    watched.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert watched.page.locator("img").count() == 0
    assert watched.page.locator("script").count() == 1
    assert watched.requests == [page.as_uri()]
    assert watched.complaints == []


# Relative luminance and contrast as in WCAG 2.2, 1.4.3: 4.5 to 1 for text, 3 to 1 for large text.
CONTRAST = """() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found[3] ?? 1 };
  };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => {
    const [r, g, b] = rgb.map((one) => linear(one / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.alpha === 1) return colour.rgb;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('.sr, svg, option')) continue;
    const style = getComputedStyle(element);
    const front = light(parse(style.color).rgb), back = light(ground(element));
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const name = `${element.tagName}.${element.className}`;
    if (contrast < (large ? 3 : 4.5))
      weak.push(`${name} ${contrast.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return [...new Set(weak)].slice(0, 10);
}"""
