"use strict";
// A list of any length of which only the rows in sight are drawn. `row` makes a row's content; `chosen` is told of a choice, and of what made it.
function answerList({label, row, chosen}) {
  const ROW = 60, SPARE = 12;
  const inner = make("div", {role: "presentation"});
  const list = make("div", {class: "list", role: "listbox", tabindex: 0, "aria-label": label, onscroll: draw, onkeydown: key}, inner);
  let count = 0, current = -1;

  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const last = Math.min(count, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE), rows = [];
    for (let at = first; at < last; at += 1) {
      const element = make("div", {class: "row", role: "option", id: `answer-${at}`, "aria-selected": String(at === current),
        "aria-setsize": count, "aria-posinset": at + 1, onclick: () => choose(at, "click")}, ...row(at));
      element.style.top = `${at * ROW}px`;
      rows.push(element);
    }
    inner.replaceChildren(...rows);
  }
  // Show so many rows and choose one of them; -1 for none.
  function show(many, at) {
    count = many;
    inner.style.height = `${count * ROW}px`;
    list.scrollTop = 0;
    choose(count ? Math.max(0, at) : -1, "");
  }
  function choose(at, how) {
    current = at;
    if (at >= 0) {
      const top = at * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    draw();
    if (at < 0) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", `answer-${at}`);
    chosen(at, how);
  }
  function key(event) {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity}[event.key];
    if (step === undefined || !count) return;
    event.preventDefault();
    choose(Math.min(count - 1, Math.max(0, current + step)), "key");
  }
  return {element: list, show, draw};
}
