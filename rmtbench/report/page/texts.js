"use strict";
// Texts of runs, shown so that none hides, reorders or freezes anything: what cannot be seen gets a mark, what is long is cut.
const Texts = (() => {
  const SHORT = 160, LONG = 2000, PIECE = 4000;
  // Control characters, invisible letters, separators of lines, bidi embeddings, overrides and isolates, halves of pairs.
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;
  const NAMES = {0x1b: "escape", 0x202a: "left-to-right embedding", 0x202b: "right-to-left embedding", 0x202c: "end of embedding",
    0x202d: "left-to-right override", 0x202e: "right-to-left override", 0x2066: "left-to-right isolate",
    0x2067: "right-to-left isolate", 0x2068: "isolate", 0x2069: "end of isolate", 0xfeff: "byte order mark", 0x200b: "zero-width space"};

  function mark(letter) {
    const code = letter.codePointAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  }
  // The first characters of a text, without half a pair at the end.
  function head(text, most) {
    if (text.length <= most) return text;
    const last = text.charCodeAt(most - 1);
    return text.slice(0, last >= 0xd800 && last < 0xdc00 ? most - 1 : most);
  }
  // A text on one line, for places that take no elements.
  function plain(text, most = SHORT) {
    const whole = String(text), start = head(whole, most);
    return start.replace(/\r\n?|\n/g, "\u23ce").replace(UNSEEN, mark) + (start.length < whole.length ? "…" : "");
  }
  const lines = (text) => text.replace(/\r\n/g, "\n");

  // Nodes of a text of moderate length: every mark says what it stands for.
  function nodes(text) {
    const parts = [], shown = lines(text);
    let from = 0;
    for (const found of shown.matchAll(UNSEEN)) {
      const code = found[0].codePointAt(0), name = NAMES[code] ? `, ${NAMES[code]}` : "";
      parts.push(shown.slice(from, found.index), make("span", {class: "unseen", text: mark(found[0]),
        title: `U+${code.toString(16).toUpperCase().padStart(4, "0")}${name}`}));
      from = found.index + found[0].length;
    }
    parts.push(shown.slice(from));
    return parts;
  }
  // All of a long text, in pieces of which a browser lays out those in sight only.
  function pieces(text) {
    const shown = lines(text), parts = [];
    for (let from = 0; from < shown.length;) {
      const piece = head(shown.slice(from, from + PIECE + 1), PIECE) || shown.slice(from, from + PIECE);
      parts.push(make("span", {class: "piece", text: piece.replace(UNSEEN, mark)}));
      from += piece.length;
    }
    return parts;
  }

  // A text as it was given, cut where it is long, with a button that shows all of it.
  function said(text, most = LONG, look = "") {
    const shown = make("div", {class: `text ${look}`.trim(), dir: "auto"});
    if (text.length <= most) {
      shown.append(...nodes(text));
      return shown;
    }
    shown.append(...nodes(head(text, most)), "…");
    const more = make("button", {type: "button", class: "more", text: `Show all ${text.length.toLocaleString("en-US")} characters`,
      onclick: () => { shown.replaceChildren(...pieces(text)); more.remove(); shown.tabIndex = -1; shown.focus({preventScroll: true}); }});
    return make("div", {}, shown, more);
  }
  return {plain, said, nodes, head, mark, LONG};
})();
