"use strict";
// The page: its state, its address and its tabs. Every tab is drawn from the state when it is shown.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panels = document.getElementById("panels"), picker = document.getElementById("section");
  const PANELS = {Summary: summaryPanel, Decision: decisionPanel, Tables: tablesPanel, Figures: figuresPanel, Answers: answersPanel,
    Provenance: provenancePanel};
  const [state, terms] = Address.read(location.hash, data.terms);
  let written = location.hash, waiting = null;

  const page = {
    data, state, terms,
    section: () => data.sections[Number(state.runs)],
    runs: () => data.runs.filter((run) => run.section === Number(state.runs)),
    contests: (metric = state.metric) => data.contests.filter((each) => each.section === Number(state.runs) && each.metric === metric),
    // The position of the chosen corpus; the first one where none is chosen.
    place: () => Math.max(0, page.contests().findIndex((each) => `${each.dataset} ${each.size}` === state.corpus)),
    contest: () => page.contests()[page.place()],
    metrics: () => Object.keys(Decision.HEADINGS).filter((name) => name === state.metric
      || page.contests(name).some((each) => each.candidates.some((one) => one.score !== null))),
    judged: (each) => Decision.decide(each, terms),
    // A verdict in words: the terminal's own under the usual terms.
    sentences: (each, verdict) => Object.keys(data.terms).every((name) => terms[name] === data.terms[name]) ? each.verdict
      : Decision.lines(each, terms, verdict),
    link: (changes) => `#${Address.write({...state, ...changes}, terms, data.terms)}`,
    toAnswers: (run) => page.go({tab: "Answers", a: run, b: "", is: "", but: "", kind: "", at: "", find: "", question: ""}, true),
    // Change what is chosen without drawing: at once as a step in the history, or in place once typing pauses.
    note(changes, step = false) {
      Object.assign(state, changes);
      clearTimeout(waiting);
      if (step) write("pushState");
      else waiting = setTimeout(() => write("replaceState"), 300);
    },
    // Change what is chosen and draw it.
    go(changes, focus = false) {
      page.note(changes, true);
      draw(focus);
    },
  };

  function write(how) {
    const fragment = page.link({});
    if (fragment === (location.hash || "#")) return;
    history[how](null, "", fragment);
    written = location.hash;
  }
  // Back, forward, or an address typed by hand.
  function follow() {
    if (location.hash === written) return;
    clearTimeout(waiting);
    written = location.hash;
    const [nextState, nextTerms] = Address.read(location.hash, data.terms);
    Object.assign(state, nextState);
    Object.assign(terms, nextTerms);
    draw();
  }

  const tabs = Object.keys(PANELS).map((name) => make("button", {type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
    text: name, onclick: () => page.go({tab: name}), onkeydown: (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const names = Object.keys(PANELS), now = names.indexOf(state.tab), last = names.length - 1;
      const next = step === -Infinity ? 0 : step === Infinity ? last : (now + step + names.length) % names.length;
      page.go({tab: names[next]});
      tabs[next].focus();
    }}));

  function check() {
    if (!data.sections[Number(state.runs)]) state.runs = Address.USUAL.runs;
    if (!page.contests().length) state.metric = Address.USUAL.metric;
  }
  function draw(focus) {
    check();
    picker.value = state.runs;
    tabs.forEach((each) => {
      const own = each.id === `tab-${state.tab}`;
      each.setAttribute("aria-selected", String(own));
      each.tabIndex = own ? 0 : -1;
    });
    document.title = `${state.tab} – rmtbench report`;
    const held = document.activeElement, again = held && held !== document.body && panels.contains(held) ? placeOf(held) : null;
    const panel = make("div", {role: "tabpanel", id: "panel", "aria-labelledby": `tab-${state.tab}`, tabindex: -1});
    Charts.clear();
    Charts.use(data.looks[Number(state.runs)]);
    panels.replaceChildren(panel);
    PANELS[state.tab](panel, page);
    if (focus) { panel.focus({preventScroll: true}); scrollTo(0, 0); }
    else if (again !== null) (controls()[again] || panel).focus({preventScroll: true});
  }
  // A control that makes its own panel anew keeps the focus: it is the same one in the order of the new panel.
  const controls = () => [...panels.querySelectorAll("select, input, button, a[href]")].filter((each) => !each.closest(".list, .detail, table"));
  const placeOf = (element) => { const place = controls().indexOf(element); return place < 0 ? null : place; };

  Stored.use(data.slice);
  document.getElementById("tabs").append(...tabs);
  picker.append(...data.sections.map((each, at) => make("option", {value: String(at), text: Texts.plain(each.title)})));
  picker.addEventListener("change", () => page.go({...Address.USUAL, tab: state.tab, runs: picker.value}));
  document.getElementById("section-field").hidden = data.sections.length < 2;
  document.querySelector("a.skip").addEventListener("click", (event) => { event.preventDefault(); panels.focus(); });
  document.getElementById("counts").textContent =
    `${counted(data.runs.length, "run")}, ${counted(data.runs.reduce((sum, run) => sum + run.count, 0), "answer")}`;
  addEventListener("popstate", follow);
  addEventListener("hashchange", follow);
  Charts.dark.addEventListener("change", () => draw());
  draw();
})();
