"use strict";
// The tab in which a person decides with own numbers; all of them are in the address.
function decisionPanel(panel, page) {
  const {terms} = page, answer = make("div", {"aria-live": "polite"}), figures = make("div", {class: "charts"}), table = make("div"), left = make("div");
  const number = (name, label, more = {}) => {
    const {scale = 1, ...properties} = more;
    const control = make("input", {type: "number", min: 0, step: "any", ...properties, value: terms[name] === null ? "" : terms[name] / scale,
      oninput: () => take(name, control, scale)});
    return labelled(label, control);
  };
  const slide = make("input", {type: "range", min: 0, max: 6, step: 0.05, value: Math.log10(terms.questions),
    "aria-label": "Questions a corpus, on a logarithmic scale", oninput: () => {
      const value = 10 ** Number(slide.value), unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
      exact.value = String(Math.round(value / unit) * unit);
      take("questions", exact, 1);
    }});
  const exact = make("input", {type: "number", min: 1, step: 1, value: terms.questions, oninput: () => {
    slide.value = String(Math.log10(Math.max(1, Number(exact.value) || 1)));
    take("questions", exact, 1);
  }});
  function take(name, control, scale) {
    const value = control.value === "" ? null : Number(control.value) * scale;
    const wrong = !control.checkValidity() || !Address.allowed(name, value);
    control.setAttribute("aria-invalid", String(wrong));
    if (wrong) return;
    terms[name] = value;
    page.note({});
    update();
  }
  const contests = page.contests(), names = contests.map((each) => `${each.dataset} ${each.size}`);
  panel.append(make("h2", {class: "quiet", text: "Decide with your own numbers"}), answer, make("div", {class: "form"},
    labelled("Corpus", choice(names.map((name) => [name, name]), names[page.place()], (name) => page.go({corpus: name}))),
    labelled("Decide by", choice(page.metrics().map((name) => [name, Decision.HEADINGS[name]]), page.state.metric, (metric) => page.go({metric}))),
    labelled("Questions a corpus gets", exact), labelled("…or slide", slide),
    number("max_seconds", "Longest wait, seconds", {placeholder: "any"}),
    number("max_memory", "Most memory, GiB", {placeholder: "any", scale: 2 ** 30}),
    number("margin", "Smallest difference that matters", {max: 0.99}),
    number("price_per_hour", "Price of the machine, an hour"),
    number("price_input", "…of a million tokens read"), number("price_cached", "…of a million cached tokens"),
    number("price_output", "…of a million tokens written")), table, figures, left);
  function update() {
    const each = page.contest();
    if (!each) { answer.replaceChildren(make("p", {text: "No run may be chosen between here."})); return; }
    const found = page.judged(each);
    answer.replaceChildren(Candidates.verdict(page.sentences(each, found), found.kind, "", innerWidth < 800));
    table.replaceChildren(...Candidates.table(each, page, found));
    figures.replaceChildren();
    const reasons = [["Total cost by number of questions", Figures.breakEven(figures, "decision-cost", each, terms)],
      ["Score against total cost", Figures.frontier(figures, "decision-frontier", each, terms)]].filter(([, why]) => why);
    left.replaceChildren(...[Figures.notDrawn(reasons)].filter(Boolean));
  }
  update();
}
