"use strict";
// Elements from texts. No text of a run is ever parsed as HTML: textContent only.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const counted = (many, noun) => `${many.toLocaleString("en-US")} ${noun}${many === 1 ? "" : "s"}`;
const labelled = (label, control, wide) => make("label", {class: wide ? "field wide" : "field", text: label}, control);

// A choice between [value, text] pairs; `change` is called with the value.
function choice(pairs, value, change, more) {
  const control = make("select", {...more, onchange: () => change(control.value)},
    ...pairs.map(([own, text]) => make("option", {value: String(own), text: Texts.plain(text)})));
  control.value = String(value);
  return control;
}

const facts = (pairs, more) => make("dl", more, ...pairs.flatMap(([name, value]) =>
  [make("dt", {text: Texts.plain(name)}), make("dd", {dir: "auto"}, Texts.said(String(value), 600))]));

// A part that is opened on request, and filled then.
function opened(title, fill, open) {
  const element = make("details", {}, make("summary", {text: title}));
  const once = () => { if (element.open && element.childNodes.length === 1) element.append(...fill()); };
  element.addEventListener("toggle", once);
  if (open) { element.open = true; once(); }
  return element;
}
