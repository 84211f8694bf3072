"use strict";
(function () {
  const SIZES = { k: 1e3, M: 1e6, G: 1e9 };
  const form = document.getElementById("controls");
  const shown = document.getElementById("shown");
  const all = (where, selector) => Array.from(where.querySelectorAll(selector));

  // The number that a cell begins with, null for none: "+1.02 ±0.14", "<0.001", "3/5", "560 M".
  function number(text) {
    const found = /^[<>≤≥]?\s*([+−-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*([kMG])(?![a-z]))?/i.exec(text.trim());
    return found ? parseFloat(found[1].replace("−", "-")) * (SIZES[found[2]] || 1) : null;
  }

  // By number, or by text in columns of words; what is empty comes last either way.
  function compare(a, b, words, down) {
    const [x, y] = words ? [a, b] : [number(a), number(b)];
    const empty = (value) => value === null || value === "";
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const order = words ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return down ? -order : order;
  }

  // Rows move within their regime: ranks count there.
  function sort(table, header) {
    const place = header.cellIndex;
    const words = header.classList.contains("words");
    const before = header.getAttribute("aria-sort");
    const down = before ? before === "ascending" : !words;
    all(table, "thead th").forEach((th) => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    for (const body of table.tBodies) {
      const text = (row) => row.cells[place].textContent;
      const rows = all(body, "tr[data-name]").sort((a, b) => compare(text(a), text(b), words, down));
      body.append(...rows);
    }
  }

  function sortable(table) {
    for (const header of all(table, "thead th")) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, header));
    }
  }

  // Which rows, figures of a method and settings are seen; an empty choice is every one.
  function filter() {
    const chosen = new FormData(form);
    const value = (name) => chosen.get(name) || "";
    const text = value("text").trim().toLowerCase();
    const fits = (name, other) => !value(name) || value(name) === other;
    let count = 0, total = 0;
    for (const section of all(document, "main > section")) {
      section.hidden = Boolean(section.dataset.setting) && !fits("setting", section.dataset.setting);
      for (const body of all(section, "table.rows > tbody")) {
        const rows = all(body, "tr[data-name]");
        for (const row of rows) {
          const seen = fits("method", row.dataset.method) && row.textContent.toLowerCase().includes(text);
          row.hidden = !(seen && fits("regime", body.dataset.regime));
        }
        const left = rows.filter((row) => !row.hidden).length;
        body.hidden = rows.length > 0 && left === 0;
        if (section.dataset.setting) {
          total += rows.length;
          count += section.hidden ? 0 : left;
        }
      }
      figures(section, value("method"));
    }
    shown.textContent = `${count} of ${total} rows shown`;
  }

  function figures(section, method) {
    for (const each of all(section, ".of-method, table.heat tr[data-name]")) {
      const name = each.dataset.name;
      each.hidden = Boolean(method) && name !== method && !name.startsWith(method + "[");
      each.hidden = each.hidden || (each.matches(".of-method") && hiddenEverywhere(section, name));
    }
  }

  // A figure of a method stays where any row of it does.
  function hiddenEverywhere(section, name) {
    const rows = all(section, "table.rows tr[data-name]").filter((row) => row.dataset.name === name);
    return rows.length > 0 && rows.every((row) => row.hidden);
  }

  all(document, "table.rows").forEach(sortable);
  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    filter();
  }
  // Paper shows the protocol, too.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all(document, "details.facts:not([open])");
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
})();
