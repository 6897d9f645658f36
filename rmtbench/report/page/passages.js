"use strict";
// Passages of documents, with the gold evidence marked in them. Places count letters as Python does: a pair is one.
const Passages = (() => {
  const MOST = 20000, cutters = new WeakMap();

  // The letters of a text by their numbers, and how many there are.
  function cutter(range) {
    if (!cutters.has(range)) {
      const text = range[1], letters = /[\ud800-\udfff]/.test(text) ? Array.from(text) : null;
      cutters.set(range, letters ? {length: letters.length, cut: (from, to) => letters.slice(from, to).join("")}
        : {length: text.length, cut: (from, to) => text.slice(from, to)});
    }
    return cutters.get(range);
  }
  // A function that cuts any part of one passage by its places in the document; null where the page has no text of it.
  function find(texts, name, start, end) {
    if (!texts || !Object.hasOwn(texts, name)) return null;
    for (const range of texts[name][1]) {
      const first = range[0], {length, cut} = cutter(range);
      if (first <= start && end <= first + length) return (from, to) => cut(from - first, to - first);
    }
    return null;
  }
  // The parts of start to end that lie in any of the spans, in order, each part once.
  function within(spans, name, start, end) {
    const parts = [];
    const own = spans.filter((span) => span[0] === name && span[1] < end && start < span[2]).sort((a, b) => a[1] - b[1]);
    for (const [, from, to] of own) {
      const last = parts[parts.length - 1];
      if (last && from <= last[1]) last[1] = Math.max(last[1], Math.min(to, end));
      else parts.push([Math.max(from, start), Math.min(to, end)]);
    }
    return parts;
  }
  // The text from start to end as nodes, evidence in <mark>.
  function marked(cut, spans, name, start, end) {
    const stop = Math.min(end, start + MOST), nodes = [];
    let from = start;
    for (const [first, last] of within(spans, name, start, stop)) {
      nodes.push(...Texts.nodes(cut(from, first)), make("mark", {}, ...Texts.nodes(cut(first, last))));
      from = last;
    }
    nodes.push(...Texts.nodes(cut(from, stop)));
    if (stop < end) nodes.push(`… (${(end - stop).toLocaleString("en-US")} more characters)`);
    return nodes;
  }
  const where = (name, start, end) => `${name}, characters ${start.toLocaleString("en-US")}–${end.toLocaleString("en-US")}`;

  // What a system read, best first: texts where the page has them, else places.
  function list(retrieved, evidence, corpus, texts) {
    const spans = evidence.flat();
    if (!texts) {
      return [make("p", {class: "dim", text: corpus.why}), sortableTable({title: "Retrieved passages", labels: 2,
        columns: ["document", "evidence", "characters", "score"],
        rows: retrieved.map(([name, start, end, points, holds]) => [name, holds ? "yes" : "", `${start}–${end}`, String(points)])}).element];
    }
    return [make("ol", {class: "passages"}, ...retrieved.map(([name, start, end, points, holds]) => {
      const cut = find(texts, name, start, end), title = Object.hasOwn(texts, name) ? texts[name][0] : "";
      return make("li", {}, make("p", {class: "dim"}, make("bdi", {text: Texts.plain(title && title !== name ? `${title} (${where(name, start, end)})`
        : where(name, start, end))}), `, score ${points}`, holds ? make("strong", {class: "right", text: ", holds evidence"}) : null),
      make("div", {class: "text", dir: "auto"}, ...(cut ? marked(cut, spans, name, start, end) : ["(no text at this place)"])));
    }))];
  }
  // The gold evidence, fact by fact; of several places that state a fact any one does.
  function gold(evidence, texts) {
    return evidence.map((spans) => make("li", {}, ...spans.map(([name, start, end], at) => {
      const cut = find(texts, name, start, end);
      return make("div", {}, at ? "or " : "", cut ? make("div", {class: "text", dir: "auto"}, make("mark", {}, ...Texts.nodes(cut(start, Math.min(end, start + MOST))))) : null,
        make("bdi", {class: "dim", text: Texts.plain(where(name, start, end))}));
    })));
  }
  return {list, gold, find, within};
})();
