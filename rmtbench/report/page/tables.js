"use strict";
// Tables that sort and filter, and draw their first rows only until more are asked for.
const UNITS = {"µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, x: 1, k: 1000};
const MOST_ROWS = 200, MOST_LETTERS = 300;

// What a cell sorts by: a figure with its unit, else its words; a cell without a figure stays last either way.
// Only a cell's beginning is looked at: looking for a figure in a megabyte of digits takes minutes.
function sortKey(cell) {
  const text = cell.slice(0, 64);
  const found = /^(<?)([-+−]?[\d,]*\.?\d+)[†*]*(?:\/[\d.,]+)?\s*(µs|ms|s|B|KiB|MiB|GiB|x|k)?(?![\w])/.exec(text);
  // What is less than a figure, such as a p of <.001, stands before it.
  if (found) return Number(found[2].replaceAll(",", "").replace("−", "-")) * (UNITS[found[3]] || 1) / (found[1] ? 2 : 1);
  return text === "" || text === "–" || text === "n/a" ? null : text.toLowerCase();
}

function compareKeys(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return (a < b ? -1 : a > b ? 1 : 0) * direction;
}

// A table of texts. `pick` is called with a row's number where rows can be chosen; `mark` gives a row's class.
function sortableTable({title, columns, rows, labels, pick, mark}) {
  const keys = rows.map((row) => row.map(sortKey)), lines = new Map();
  let order = rows.map((_, place) => place), sorted = null, direction = 1, words = [], lower = null, most = MOST_ROWS;
  const body = make("tbody"), rest = make("button", {type: "button", class: "more", onclick: () => { most = Infinity; draw(); }});
  const heads = columns.map((column, place) => make("th", {scope: "col", class: place < labels ? "" : "figure"},
    make("button", {type: "button", text: Texts.plain(column || "–"), onclick: () => sortBy(place)})));

  function cell(row, column) {
    const text = rows[row][column], element = make("td", {dir: "auto", class: column < labels ? (text.length > 34 ? "wrap" : "") : "figure"});
    if (pick && column === 0) element.append(make("button", {type: "button", text: Texts.plain(text), onclick: () => pick(row)}));
    else if (text.length > MOST_LETTERS) element.append(Texts.said(text, MOST_LETTERS));
    else element.textContent = Texts.plain(text, MOST_LETTERS);
    return element;
  }
  function line(row) {
    if (!lines.has(row)) lines.set(row, make("tr", {class: mark ? mark(row) : ""}, ...columns.map((_, column) => cell(row, column))));
    return lines.get(row);
  }
  function sortBy(place) {
    direction = sorted === place ? -direction : place < labels ? 1 : -1;
    sorted = place;
    order = rows.map((_, row) => row).sort((a, b) => compareKeys(keys[a][place], keys[b][place], direction) || a - b);
    heads.forEach((head, column) => {
      if (column === place) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    draw();
  }
  function draw() {
    if (words.length && lower === null) lower = rows.map((row) => row.join("\u0000").toLowerCase());
    const shown = words.length ? order.filter((row) => words.every((word) => lower[row].includes(word))) : order;
    body.replaceChildren(...shown.slice(0, most).map(line));
    rest.hidden = shown.length <= most;
    rest.textContent = `Show all ${shown.length.toLocaleString("en-US")} rows`;
    return shown.length;
  }
  function filter(text) {
    words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return draw();
  }
  draw();
  const table = make("table", {}, make("caption", {class: "skip", text: title}), make("thead", {}, make("tr", {}, ...heads)), body);
  const element = make("div", {}, make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title}, table), rest);
  return {element, filter};
}

function reportTable(table, level) {
  const {element, filter} = sortableTable(table), heading = make(level, {text: Texts.plain(table.title), tabindex: -1});
  const notes = table.notes.map((note) => make("li", {text: Texts.plain(note, 2000)}));
  return {
    filter, heading, title: table.title,
    element: make("section", {}, heading, make("p", {class: "dim", text: Texts.plain(table.caption, 2000)}), element,
      notes.length ? make("ul", {class: "notes"}, ...notes) : null),
  };
}
