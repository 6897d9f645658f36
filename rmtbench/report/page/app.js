"use strict";
// The page's parts and what connects them: sections, tabs and the terms of the decision.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panels = document.getElementById("panels"), picker = document.getElementById("section");
  const terms = {...data.terms};
  let section = 0, metric = "em", place = 0, tab = "Summary";

  const contestsOf = (by) => data.contests.filter((each) => each.section === section && each.metric === by);
  const contest = () => contestsOf(metric)[place];
  const judged = (each) => Decision.decide(each, terms);
  const count = (many, noun) => `${many.toLocaleString("en-US")} ${noun}${many === 1 ? "" : "s"}`;
  const chosen = (name, value) => make("option", {value: String(value), text: name});
  const field = (label, control, wide) => make("label", {class: wide ? "field wide" : "field", text: label}, control);

  // Chart.js answers resizes, which may come when its tab is hidden: figures are drawn when they are looked at.
  const PARTS = {
    Summary(panel) {
      const shown = contestsOf(metric);
      panel.append(make("h2", {text: "Which system, and how sure is that?"}),
        make("p", {class: "dim", text: `By ${Decision.HEADINGS[metric]}, for ${count(terms.questions, "question")} a corpus; the tab Decision takes your own numbers.`}),
        make("div", {class: "cards"}, ...shown.map((each, at) => {
          const verdict = judged(each), [first, ...others] = Decision.lines(each, terms, verdict);
          return make("section", {class: `card ${verdict.kind.replace(" ", "-")}`}, make("h3", {text: `${each.dataset} ${each.size}`}),
            make("p", {class: "headline", text: first}), ...others.map((text) =>
              make("p", {class: text.startsWith("would change") ? "change" : "", text})),
            make("button", {type: "button", text: "Decide with my numbers", onclick: () => { place = at; show("Decision", true); }}));
        })));
      const facts = new Map(data.sections[section].provenance);
      panel.append(make("h2", {text: "What was measured"}), factList(
        ["model", "data source", "data", "device", "dtype", "machine", "mode", "draws"].filter((name) => facts.has(name))
          .map((name) => [name, facts.get(name)])));
    },
    Decision(panel) {
      const answer = make("div", {"aria-live": "polite"}), figures = make("div", {class: "charts"});
      const number = (name, label, more) => field(label, make("input", {type: "number", min: 0, step: "any", ...more,
        value: terms[name] === null ? "" : more && more.scale ? terms[name] / more.scale : terms[name],
        oninput: (event) => { take(name, event.target, more); }}));
      const slide = make("input", {type: "range", min: 0, max: 6, step: 0.05, value: Math.log10(terms.questions),
        "aria-label": "Questions a corpus, on a logarithmic scale", oninput: () => {
          const value = 10 ** Number(slide.value), unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
          exact.value = String(Math.round(value / unit) * unit); take("questions", exact, {whole: true}); }});
      const exact = make("input", {type: "number", min: 1, step: 1, value: terms.questions, oninput: () => {
        slide.value = String(Math.log10(Math.max(1, Number(exact.value) || 1))); take("questions", exact, {whole: true}); }});
      function take(name, control, more) {
        const text = control.value, value = Number(text) * (more && more.scale || 1), limit = name.startsWith("max_");
        const wrong = !control.checkValidity() || (text !== "" && !Number.isFinite(value)) || (text === "" && !limit)
          || (limit && text !== "" && value <= 0) || (name === "margin" && !(value > 0 && value < 1))
          || (more && more.whole && !(Number.isInteger(value) && value >= 1));
        control.setAttribute("aria-invalid", String(Boolean(wrong)));
        if (wrong) return;
        terms[name] = text === "" ? null : value;
        update();
      }
      panel.append(make("h2", {text: "Decide with your own numbers"}), make("div", {class: "form"},
        field("Corpus", select(contestsOf(metric).map((each) => `${each.dataset} ${each.size}`), place, (value) => { place = value; update(); })),
        field("Decide by", select(metrics().map((name) => Decision.HEADINGS[name]), metrics().indexOf(metric), (value) => { metric = metrics()[value]; update(); })),
        field("Questions a corpus gets", exact), field("…or slide", slide),
        number("max_seconds", "Longest wait, seconds", {placeholder: "any"}),
        number("max_memory", "Most memory, GiB", {placeholder: "any", scale: 2 ** 30}),
        number("margin", "Smallest difference that matters", {max: 0.99}),
        number("price_per_hour", "Price of the machine, an hour"),
        number("price_input", "…of a million tokens read"), number("price_cached", "…of a million cached tokens"),
        number("price_output", "…of a million tokens written")), answer, figures);
      function update() {
        const each = contest(), verdict = judged(each), [first, ...others] = Decision.lines(each, terms, verdict);
        const isOut = new Map(verdict.out), names = each.candidates.map((_, at) => at);
        names.sort((a, b) => isOut.has(a) - isOut.has(b) || (each.candidates[b].score || 0) - (each.candidates[a].score || 0)
          || (verdict.costs[a] || 0) - (verdict.costs[b] || 0) || a - b);
        const {seconds, size, within} = Decision.format;
        answer.replaceChildren(
          make("section", {class: `verdict ${verdict.kind.replace(" ", "-")}`, "aria-label": "Verdict"}, ...[first, ...others].map((text) =>
            make("p", {class: text.startsWith("would change") ? "change" : "", text}))),
          sortableTable({title: "Candidates", labels: 2, columns: ["system", "verdict", Decision.HEADINGS[metric],
            Decision.priced(terms) ? "total cost" : "total time", "preparation", "a question", "wait", "memory"],
          mark: (row) => names[row] === verdict.choice ? "chosen" : "",
          rows: names.map((at) => { const system = each.candidates[at]; return [system.name, Decision.standing(each, verdict, at),
            system.score === null ? Decision.MISSING : within(system), Decision.costText(verdict.costs[at], terms),
            seconds(system.preparation) + (system.spared ? " §" : ""), seconds(system.seconds), seconds(system.slow), size(system.memory)]; }),
          pick: (row) => { toAnswers(each.candidates[names[row]].run_id); }}).element,
          make("p", {class: "dim", text: "Cost of all questions over one corpus, preparation included. Wait: nine of ten answers come sooner. Memory: the most taken while preparing and answering. §: without what an earlier run had done, so too little. A system's name leads to its answers."}));
        figures.replaceChildren();
        Figures.breakEven(figures, "decision-cost", each, terms);
        Figures.frontier(figures, "decision-frontier", each, terms);
      }
      update();
    },
    Tables(panel) {
      const tables = data.sections[section].tables.map((table) => reportTable(table, "h3"));
      const left = make("p", {class: "dim", "aria-live": "polite"});
      const search = make("input", {type: "search", oninput: () => {
        const rows = tables.map((table) => {
          const shown = table.filter(search.value);
          table.element.hidden = shown === 0;
          return shown;
        });
        left.textContent = search.value.trim() ? count(rows.reduce((a, b) => a + b, 0), "row") : "";
      }});
      panel.append(make("h2", {text: "Tables"}), make("div", {class: "tools"}, field("Show rows that hold (such as: small cag)", search)), left,
        ...tables.map((table) => table.element));
    },
    Figures(panel) {
      const holder = make("div", {class: "charts"}), shown = contestsOf(metric);
      const draw = () => {
        const each = contest();
        holder.replaceChildren();
        Figures.scores(holder, "scores", each);
        Figures.frontier(holder, "frontier", each, terms);
        Figures.breakEven(holder, "cost", each, terms);
        const same = contestsOf(metric).filter((other) => other.dataset === each.dataset);
        Figures.bySize(holder, "time", same, "seconds", `Time of a question by size, ${each.dataset}`, "seconds", Decision.format.seconds);
        Figures.bySize(holder, "memory", same, "memory", `Most memory by size, ${each.dataset}`, "bytes",
          Decision.format.size, {round: Figures.decimalBytes});
        Figures.bySize(holder, "kept", same, "kept", `Kept for answering by size, ${each.dataset}`, "bytes",
          Decision.format.size, {round: Figures.decimalBytes, once: true});
        Figures.scoresBySize(holder, "score-by-size", same, `by size, ${each.dataset}`);
        Figures.byPosition(holder, "score-by-position", each, data.positions.filter((row) => row.section === section
          && row.metric === metric && row.dataset === each.dataset && row.size === each.size), `by place of the evidence, ${each.dataset} ${each.size}`);
      };
      panel.append(make("h2", {text: "Figures"}), make("div", {class: "tools"},
        field("Corpus", select(shown.map((each) => `${each.dataset} ${each.size}`), place, (value) => { place = value; draw(); })),
        field("Score", select(metrics().map((name) => Decision.HEADINGS[name]), metrics().indexOf(metric), (value) => { metric = metrics()[value]; draw(); }))),
      holder);
      draw();
    },
    Answers(panel) {
      const view = Answers.view();
      panel.append(make("h2", {text: "Questions and answers"}), make("p", {class: "dim",
        text: "Every answer as it was given. Documents are not kept with a run: chunks and evidence are told by their place."}), view.element);
      view.offer(data.runs.filter((run) => run.section === section), wantedRun);
    },
    Provenance(panel) {
      panel.append(make("h2", {text: "What produced these figures"}), factList(data.sections[section].provenance),
        make("h2", {text: "Runs"}), sortableTable({title: "Runs", labels: 4, columns: ["run", "system", "dataset", "size", "answers", "failed"],
          rows: data.runs.filter((run) => run.section === section).map((run) =>
            [run.id, run.name, run.dataset, run.size, `${run.count}${run.complete ? "" : "*"}`, String(run.failed)]),
          pick: (row) => toAnswers(data.runs.filter((run) => run.section === section)[row].id)}).element,
        make("p", {class: "dim", text: "Charts: Chart.js 4.6.1, MIT licence, (c) 2014-2024 Chart.js Contributors."}));
    },
  };
  let wantedRun = null;
  function toAnswers(run) { wantedRun = run; show("Answers", true); }
  const metrics = () => Object.keys(Decision.HEADINGS).filter((name) => contestsOf(name).some((each) => each.candidates.some((one) => one.score !== null)) || name === metric);
  function select(names, at, change) {
    const control = make("select", {onchange: () => change(Number(control.value))}, ...names.map(chosen));
    control.value = String(at);
    return control;
  }
  const factList = (pairs) => make("dl", {class: "facts"}, ...pairs.flatMap(([name, value]) =>
    [make("dt", {text: name}), make("dd", {text: value})]));

  const tabs = Object.keys(PARTS).map((name) => make("button", {type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
    text: name, onclick: () => show(name), onkeydown: (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const names = Object.keys(PARTS), now = names.indexOf(tab), last = names.length - 1;
      const next = step === -Infinity ? 0 : step === Infinity ? last : (now + step + names.length) % names.length;
      show(names[next]);
      tabs[next].focus();
    }}));
  document.getElementById("tabs").append(...tabs);

  function show(name, focus) {
    tab = name;
    tabs.forEach((each) => {
      const own = each.id === `tab-${name}`;
      each.setAttribute("aria-selected", String(own));
      each.tabIndex = own ? 0 : -1;
    });
    const panel = make("div", {role: "tabpanel", id: "panel", "aria-labelledby": `tab-${name}`, tabindex: -1});
    panels.replaceChildren(panel);
    PARTS[name](panel);
    if (focus) { panel.focus({preventScroll: true}); scrollTo(0, 0); }
  }

  picker.append(...data.sections.map((each, at) => chosen(each.title, at)));
  picker.addEventListener("change", () => { section = Number(picker.value); place = 0; wantedRun = null; metric = "em"; show(tab); });
  document.getElementById("counts").textContent =
    `${count(data.runs.length, "run")}, ${count(data.runs.reduce((sum, run) => sum + run.count, 0), "answer")}`;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (tab === "Decision" || tab === "Figures") show(tab); });
  show("Summary");
})();
