"use strict";
// All tables of a section, with their contents and one search over all rows.
function tablesPanel(panel, page) {
  const tables = page.section().tables.map((table) => reportTable(table, "h3")), {state} = page;
  const left = make("p", {class: "dim", "aria-live": "polite"});
  const search = make("input", {type: "search", value: state.rows, maxlength: 300, oninput: () => { page.note({rows: search.value}); refilter(); }});
  const entries = tables.map((table, at) => make("li", {}, make("a", {text: Texts.plain(table.title),
    href: page.link({table: String(at + 1)}),
    onclick: (event) => { event.preventDefault(); page.note({table: String(at + 1)}, true); lead(table); }})));
  function refilter() {
    const counts = tables.map((table, at) => {
      const shown = table.filter(search.value);
      table.element.hidden = entries[at].hidden = shown === 0;
      return shown;
    });
    left.textContent = search.value.trim() ? counted(counts.reduce((x, y) => x + y, 0), "row") : "";
  }
  function lead(table) {
    table.heading.focus({preventScroll: true});
    table.heading.scrollIntoView({block: "start"});
  }
  const contents = make("nav", {class: "contents", "aria-label": "Tables"}, opened(`${counted(tables.length, "table")}`, () => [make("ol", {}, ...entries)], true));
  panel.append(make("h2", {class: "quiet", text: "Tables"}), make("div", {class: "tools"}, labelled("Show rows that hold (such as: small cag)", search)), left,
    make("div", {class: "beside"}, contents, make("div", {class: "tables"}, ...tables.map((table) => table.element))));
  if (state.rows) refilter();
  const wanted = tables[Number(state.table) - 1];
  if (wanted) lead(wanted);
}
