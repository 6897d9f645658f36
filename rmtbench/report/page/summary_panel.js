"use strict";
// The first tab: the verdict of every corpus, as the terminal prints it, and what was measured.
function summaryPanel(panel, page) {
  const contests = page.contests(), FACTS = ["model", "data source", "data", "device", "dtype", "machine", "mode", "draws"];
  const cards = contests.map((each, at) => {
    const found = page.judged(each), name = `${each.dataset} ${each.size}`;
    return Candidates.verdict(page.sentences(each, found), found.kind, Texts.plain(name), true, make("p", {class: "links"},
      make("button", {type: "button", text: "Decide with my numbers", onclick: () => page.go({tab: "Decision", corpus: name}, true)})));
  });
  panel.append(make("h2", {class: "quiet", text: "Which system, and how sure is that?"}), make("div", {class: contests.length === 1 ? "" : "cards"}, ...cards),
    make("p", {class: "dim", text: `By ${Decision.HEADINGS[page.state.metric]}, for ${counted(page.terms.questions, "question")} a corpus.`}));
  if (contests.length === 1) panel.append(...Candidates.table(contests[0], page, page.judged(contests[0])));
  const known = new Map(page.section().provenance);
  panel.append(make("h2", {text: "What was measured"}), facts(FACTS.filter((name) => known.has(name)).map((name) => [name, known.get(name)]), {class: "facts"}));
}
