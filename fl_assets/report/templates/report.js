"use strict";
// Works without: every row is in the page. This adds search, filters, sorting, the theme switch and links into rows.
(() => {
  const byId = (id) => document.getElementById(id);
  const body = document.querySelector("#patterns tbody");
  const rows = body ? [...body.rows] : [];
  const text = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.nodes ?? ""}`.toLowerCase()]));
  const search = byId("search"), group = byId("states"), kind = byId("class"), order = byId("order"), count = byId("count"), none = byId("none");
  const buttons = group ? [...group.querySelectorAll("button")] : [];
  let wanted = buttons.length ? buttons.find((button) => button.getAttribute("aria-pressed") === "true").value : "all";

  const fits = (row) =>
    (wanted === "all" || (wanted === "failing" ? row.dataset.failing === "1" : wanted === "still" ? row.dataset.failing === "0" : row.dataset.state === wanted && row.dataset.failing === "1")) &&
    (!kind.value || row.dataset.class === kind.value) &&
    search.value.toLowerCase().split(/\s+/).every((word) => text.get(row).includes(word));

  const filter = () => {
    let shown = 0;
    for (const row of rows) { row.hidden = !fits(row); shown += row.hidden ? 0 : 1; }
    count.textContent = `${shown} of ${rows.length} patterns shown`;
    none.hidden = shown > 0;
  };
  const press = (value) => {
    wanted = value;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === value));
    filter();
  };
  const sort = (column, way) => {
    const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim().toLowerCase();
    const numeric = rows.every((row) => row.cells[column].dataset.v !== undefined && !Number.isNaN(Number(value(row))));
    const compare = numeric ? (a, b) => Number(value(a)) - Number(value(b)) : (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    rows.sort((a, b) => way * compare(a, b) || a.dataset.rank - b.dataset.rank);
    body.append(...rows);
    document.querySelectorAll("#patterns th").forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    order.value = `${column},${way}`;
  };

  if (rows.length) {
    search.addEventListener("input", filter);
    kind.addEventListener("change", filter);
    order.addEventListener("change", () => sort(...order.value.split(",").map(Number)));
    for (const button of buttons) button.addEventListener("click", () => press(button.value));
    document.querySelectorAll("#patterns th button").forEach((button) => {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        sort(head.cellIndex, head.getAttribute("aria-sort") === "descending" ? 1 : -1);
      });
    });
    filter();
    byId("tools").hidden = false;
  }

  const open = () => {
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target.tagName === "SECTION") for (const one of target.children) if (one.tagName === "DETAILS") one.open = true;
    if (!rows.includes(target)) { target.scrollIntoView(); return; }
    if (target.hidden) { search.value = ""; kind.value = ""; press("all"); }
    target.querySelector("details").open = true;
    target.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", open);
  open();

  addEventListener("keydown", (event) => {
    if (event.key === "/" && search && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && document.activeElement === search) { search.value = ""; filter(); }
  });

  let before = [];
  addEventListener("beforeprint", () => { before = [...document.querySelectorAll("details:not([open])")].filter((one) => !one.closest("[hidden]")).slice(0, 200); for (const one of before) one.open = true; });
  addEventListener("afterprint", () => { for (const one of before) one.open = false; });

  const root = document.documentElement, theme = byId("theme");
  const stored = (value) => { try { if (value) localStorage.setItem("theme", value); return localStorage.getItem("theme"); } catch { return value; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const label = () => { theme.textContent = isDark() ? "Light mode" : "Dark mode"; };
  const kept = stored();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; stored(root.dataset.theme); label(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
  theme.hidden = false;
})();
