"use strict";
// The tab of figures, by corpus and score. What cannot be drawn is told with its reason.
function figuresPanel(panel, page) {
  const {data, state} = page, each = page.contest(), contests = page.contests();
  if (!each) { panel.append(make("p", {text: "There is nothing to draw: no run may be compared here."})); return; }
  const names = contests.map((other) => `${other.dataset} ${other.size}`), metric = Decision.HEADINGS[each.metric];
  const holder = make("div", {class: "charts"}), same = contests.filter((other) => other.dataset === each.dataset);
  panel.append(make("h2", {class: "quiet", text: "Figures"}), make("div", {class: "tools"},
    labelled("Corpus", choice(names.map((name) => [name, name]), names[page.place()], (name) => page.go({corpus: name}))),
    labelled("Score", choice(page.metrics().map((name) => [name, Decision.HEADINGS[name]]), state.metric, (name) => page.go({metric: name})))), holder);
  const rows = data.positions.filter((row) => row.section === each.section && row.metric === each.metric && row.dataset === each.dataset
    && row.size === each.size);
  const dataset = Texts.plain(each.dataset, 60), bytes = {round: Figures.decimalBytes}, {size, seconds} = Decision.format;
  const byTitle = [
    [`${metric} by system`, () => Figures.scores(holder, "scores", each)],
    [`${metric} against total cost`, () => Figures.frontier(holder, "frontier", each, page.terms)],
    ["Total cost by number of questions", () => Figures.breakEven(holder, "cost", each, page.terms)],
    [`Time of a question by size, ${dataset}`, (title) => Figures.bySize(holder, "time", same, "seconds", title, "seconds", seconds)],
    [`Most memory by size, ${dataset}`, (title) => Figures.bySize(holder, "memory", same, "memory", title, "bytes", size, bytes)],
    [`Kept for answering by size, ${dataset}`, (title) => Figures.bySize(holder, "kept", same, "kept", title, "bytes", size, {...bytes, once: true})],
    [`${metric} by size, ${dataset}`, () => Figures.scoresBySize(holder, "score-by-size", same, `by size, ${dataset}`)],
    [`${metric} by place of the evidence, ${dataset} ${each.size}`, () => Figures.byPosition(holder, "score-by-position", each, rows,
      `by place of the evidence, ${dataset} ${Texts.plain(each.size, 40)}`)],
  ];
  const reasons = byTitle.map(([title, draw]) => [title, draw(title)]).filter(([, why]) => why);
  panel.append(...[Figures.notDrawn(reasons)].filter(Boolean));
}
