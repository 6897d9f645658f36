"use strict";
// Elements from texts, and tables that sort and filter. No text of a run is ever parsed as HTML: textContent alone.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const UNITS = {"µs": 1e-6, ms: 1e-3, s: 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, x: 1};

// What a cell sorts by: a figure with its unit, else its words; a cell without a figure stays last either way.
function sortKey(text) {
  const found = /^([-+]?[\d,]*\.?\d+)[†*]*(?:\/[\d.,]+)?\s*(µs|ms|s|B|KiB|MiB|GiB|x)?(?![\w])/.exec(text);
  if (found) return Number(found[1].replaceAll(",", "")) * (UNITS[found[2]] || 1);
  return text === "" || text === "–" || text === "n/a" ? null : text.toLowerCase();
}

function compareKeys(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return (a < b ? -1 : a > b ? 1 : 0) * direction;
}

// A table of texts. `pick` is called with a row's number where rows can be chosen; `mark` gives a row's class.
function sortableTable({title, columns, rows, labels, pick, mark}) {
  let order = rows.map((_, place) => place), sorted = null, direction = 1, words = [];
  const keys = rows.map((row) => row.map(sortKey)), lower = rows.map((row) => row.join("\u0000").toLowerCase());
  const body = make("tbody");
  const heads = columns.map((column, place) => make("th", {scope: "col", class: place < labels ? "" : "figure"},
    make("button", {type: "button", text: column || "–", onclick: () => sortBy(place)})));
  const lines = rows.map((row, place) => {
    const cells = row.map((text, column) => make("td", {class: column < labels ? (text.length > 34 ? "wrap" : "") : "figure"}));
    cells.forEach((cell, column) => { cell.textContent = row[column]; cell.dir = "auto"; });
    if (pick) {
      cells[0].replaceChildren(make("button", {type: "button", text: row[0], onclick: () => pick(place)}));
    }
    return make("tr", {class: mark ? mark(place) : ""}, ...cells);
  });
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
    const shown = order.filter((row) => words.every((word) => lower[row].includes(word)));
    body.replaceChildren(...shown.map((row) => lines[row]));
    return shown.length;
  }
  function filter(text) {
    words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return draw();
  }
  draw();
  const table = make("table", {}, make("caption", {class: "skip", text: title}), make("thead", {}, make("tr", {}, ...heads)), body);
  const element = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title}, table);
  return {element, filter};
}

function reportTable(table, level) {
  const {element, filter} = sortableTable(table);
  const notes = table.notes.map((note) => make("li", {text: note}));
  return {
    filter, title: table.title,
    element: make("section", {}, make(level, {text: table.title}), make("p", {class: "dim", text: table.caption}), element,
      notes.length ? make("ul", {class: "notes"}, ...notes) : null),
  };
}
