"use strict";
// Which questions are listed: by what became of them in one or two systems, by their kind, and by where their evidence is.
const Filters = (() => {
  // Of each letter: what it says, and its colour.
  const BADGES = {r: ["right", "right"], p: ["partly right", "partly"], w: ["wrong", "wrong"], u: ["said unknown", "partly"],
    f: ["failed", "wrong"], n: ["not scored", "partly"], "-": ["no answer", "dim"]};
  const LETTERS = {right: "r", "not right": "pwufn", wrong: "w", "partly right": "p", unknown: "u", failed: "f", "not scored": "n", "no answer": "-"};
  const FLAGS = {"cut off": "c", empty: "e"};
  const OUTCOMES = [["", "anything"], ["right", "right"], ["not right", "not right"], ["wrong", "wrong"], ["partly right", "partly right"],
    ["unknown", "“unknown”"], ["failed", "failed"], ["cut off", "cut off"], ["empty", "empty"], ["not scored", "not scored"], ["no answer", "missing"]];
  const PLACES = [["", "anywhere"], ["1", "the first fifth"], ["2", "the second fifth"], ["3", "the third fifth"], ["4", "the fourth fifth"],
    ["5", "the last fifth"], ["none", "no known place"]];

  const known = (choices, value) => choices.some(([own]) => own === value) ? value : "";
  const letterAt = (marks, place) => place === undefined ? "-" : marks.outcomes[place];

  // Whether the answer at a place is what is wanted; a place is undefined where the run was not asked that question.
  function holds(wanted, marks, place) {
    if (wanted === "") return true;
    if (Object.hasOwn(FLAGS, wanted)) return place !== undefined && marks.flags[place] === FLAGS[wanted];
    return LETTERS[wanted].includes(letterAt(marks, place));
  }
  function isThere(wanted, fifths) {
    if (wanted === "") return true;
    return wanted === "none" ? fifths.length === 0 : fifths.includes(Number(wanted) - 1);
  }
  const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  // What became of one answer, in words: "wrong, cut off".
  function badge(marks, place) {
    const [text, look] = BADGES[letterAt(marks, place)], flag = {c: ", cut off", e: ", empty"}[marks.flags[place]] || "";
    return [text + flag, look];
  }
  return {OUTCOMES, PLACES, known, holds, isThere, wordsOf, badge};
})();
