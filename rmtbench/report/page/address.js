"use strict";
// What is shown, as the address's fragment tells it: a link leads to the same tab, filter and question.
const Address = (() => {
  const USUAL = {tab: "Summary", runs: "0", corpus: "", metric: "em", a: "", is: "", b: "", but: "", kind: "", at: "", find: "",
    question: "", rows: "", table: ""};
  // What belongs to each tab; the rest of what was chosen is kept, and left out of its address.
  const PARTS = {
    Summary: ["metric"], Decision: ["corpus", "metric"], Tables: ["rows", "table"], Figures: ["corpus", "metric"],
    Answers: ["corpus", "a", "is", "b", "but", "kind", "at", "find", "question"], Provenance: [],
  };
  const LONGEST = 300;

  // Whether a value is one that the rules of the decision take.
  function allowed(name, value) {
    if (value === null) return name.startsWith("max_");
    if (!Number.isFinite(value) || value < 0) return false;
    if (name === "questions") return Number.isInteger(value) && value >= 1 && value <= 1e12;
    if (name === "margin") return value > 0 && value < 1;
    return !name.startsWith("max_") || value > 0;
  }

  // From a fragment to [state, terms]; whatever is unknown or out of range is as usual.
  function read(fragment, usualTerms) {
    const given = new URLSearchParams(fragment.replace(/^#/, "")), state = {...USUAL}, terms = {...usualTerms};
    for (const name of Object.keys(USUAL)) {
      const text = given.get(name);
      if (text !== null && text.length <= LONGEST) state[name] = text;
    }
    if (!Object.hasOwn(PARTS, state.tab)) state.tab = USUAL.tab;
    for (const name of Object.keys(usualTerms)) {
      const text = given.get(name);
      if (text !== null && text !== "" && allowed(name, Number(text))) terms[name] = Number(text);
    }
    return [state, terms];
  }

  // From state and terms to a fragment, without its hash sign; what is usual is left out, and terms are kept on every tab.
  function write(state, terms, usualTerms) {
    const told = new URLSearchParams();
    for (const name of ["tab", "runs", ...PARTS[state.tab]]) {
      if (state[name] !== USUAL[name] && String(state[name]).length <= LONGEST) told.set(name, state[name]);
    }
    for (const name of Object.keys(usualTerms)) if (terms[name] !== usualTerms[name]) told.set(name, String(terms[name]));
    return told.toString();
  }
  return {USUAL, PARTS, read, write, allowed};
})();
