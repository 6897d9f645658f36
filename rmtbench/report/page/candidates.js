"use strict";
// The table of what may be chosen between, and a verdict as a card: the tabs Summary and Decision share both.
const Candidates = (() => {
  const {seconds, size, score} = Decision.format;
  const NOTE = "Cost of all questions over one corpus, preparation included. Wait: nine of ten answers come sooner. Memory: the most taken while preparing and answering. §: without what an earlier run had done, so too little. A system's name leads to its answers.";

  function table(contest, page, verdict) {
    const isOut = new Map(verdict.out), names = contest.candidates.map((_, at) => at);
    names.sort((x, y) => isOut.has(x) - isOut.has(y) || (contest.candidates[y].score || 0) - (contest.candidates[x].score || 0)
      || (verdict.costs[x] || 0) - (verdict.costs[y] || 0) || x - y);
    return [sortableTable({title: "Candidates", labels: 2, columns: ["system", "verdict", Decision.HEADINGS[contest.metric],
      Decision.priced(page.terms) ? "total cost" : "total time", "preparation", "a question", "wait", "memory"],
    mark: (row) => names[row] === verdict.choice ? "chosen" : "",
    rows: names.map((at) => { const system = contest.candidates[at]; return [system.name, Decision.standing(contest, verdict, at),
      system.score === null ? Decision.MISSING : score(system.score, system.error), Decision.costText(verdict.costs[at], page.terms),
      seconds(system.preparation) + (system.spared ? " §" : ""), seconds(system.seconds), seconds(system.slow), size(system.memory)]; }),
    pick: (row) => page.toAnswers(contest.candidates[names[row]].run_id)}).element, make("p", {class: "dim", text: NOTE})];
  }

  // The verdict's sentences; what would change it is `folded` where there is little room.
  function verdict(lines, kind, title, folded, ...more) {
    const [first, ...others] = lines, changes = others.filter((text) => /^(would change it|cheaper): /.test(text));
    const said = (text, look) => make("p", {class: look, text: Texts.plain(text, 2000)});
    const told = changes.map((text) => said(text, "change"));
    return make("section", {class: `card verdict ${kind.replace(" ", "-")}`, "aria-label": "Verdict"}, title ? make("h3", {text: title}) : null,
      said(first, "headline"), ...others.filter((text) => !changes.includes(text)).map((text) => said(text, "")),
      ...told.length ? [opened("What would change it", () => told, !folded)] : [], ...more);
  }
  return {table, verdict};
})();
