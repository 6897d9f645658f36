"use strict";
// The tab of questions and answers: choose two systems and what became of their answers, search, and compare all systems.
const corpusOf = (run) => `${run.dataset} ${run.size}`;
// A system without its settings, where there is little room: "rag-sparse top-3".
const shortName = (run) => Texts.plain(run.name.replace(/, .*?(?= top-\d+$|$)/, ""), 32);

// What two systems are called beside each other: in full where the short names are the same.
function pairNames(a, b) {
  const full = b && shortName(a) === shortName(b);
  return (run) => full ? Texts.plain(run.name, 60) : shortName(run);
}

// Which systems the address names: `a`, `b` or null, and all others of their corpus.
function namedSystems(state, runs) {
  const first = runs.find((run) => run.id === state.a) || runs.find((run) => corpusOf(run) === state.corpus) || runs[0];
  const own = runs.filter((run) => corpusOf(run) === corpusOf(first));
  const a = own.find((run) => run.id === state.a) || own.find((run) => run.name === "cag") || own[0];
  const b = state.b === "none" ? null : own.find((run) => run.id === state.b && run !== a)
    || own.find((run) => run !== a && run.name.startsWith("rag")) || null;
  return {own, a, b, order: [a, ...b ? [b] : [], ...own.filter((run) => run !== a && run !== b)]};
}

// The controls above the list. `anew` draws the tab again; `kind` and `search` are the caller's own.
function answerTools({own, a, b}, wanted, runs, anew, kind, search) {
  const corpora = [...new Set(runs.map(corpusOf))].map((name) => [name, name]), id = b ? b.id : "none";
  const systems = own.map((run) => [run.id, run.failed ? `${run.name} (${run.failed} failed)` : run.name]);
  const named = pairNames(a, b), quick = (text, changes) => make("button", {type: "button", text, onclick: () => anew(changes)});
  return [make("div", {class: "tools"},
    labelled("Corpus", choice(corpora, corpusOf(a), (corpus) => anew({corpus, a: "", b: "", kind: ""}))),
    labelled("System", choice(systems, a.id, (next) => anew({a: next, b: id === next ? a.id : id}))),
    labelled("…its answer is", choice(Filters.OUTCOMES, wanted.is, (is) => anew({is}))),
    labelled("Other system", choice([["none", "none"], ...systems.filter(([other]) => other !== a.id)], id,
      (next) => anew({a: a.id, b: next, but: next === "none" ? "" : wanted.but}))),
    b ? labelled("…the other's is", choice(Filters.OUTCOMES, wanted.but, (but) => anew({but}))) : null,
    labelled("Kind of question", kind),
    labelled("Evidence is in", choice(Filters.PLACES, wanted.at, (at) => anew({at}))),
    labelled("Search in all texts", search)),
  make("div", {class: "shortcuts"},
    ...b ? [quick(`${named(a)} right, ${named(b)} not`, {is: "right", but: "not right"}),
      quick(`${named(b)} right, ${named(a)} not`, {is: "not right", but: "right"}),
      quick("Both not right", {is: "not right", but: "not right"})] : [quick(`${named(a)} not right`, {is: "not right"})],
    quick("All questions", {is: "", but: "", kind: "", at: "", find: ""}))];
}

function answersPanel(panel, page) {
  const {data, state} = page, runs = page.runs();
  if (!runs.length) { panel.append(make("p", {text: "There are no runs here."})); return; }
  const systems = namedSystems(state, runs), {own, a, b, order} = systems, set = questionSet(own, a, b);
  const wanted = {is: Filters.known(Filters.OUTCOMES, state.is), but: b ? Filters.known(Filters.OUTCOMES, state.but) : "",
    at: Filters.known(Filters.PLACES, state.at)};
  const named = pairNames(a, b);
  let shown = [], turn = 0, picked = 0;

  const search = make("input", {type: "search", value: state.find, maxlength: 300, oninput: () => { page.note({find: search.value}); refilter().catch(missing); }});
  const kind = make("select", {onchange: () => { page.note({kind: kind.value}, true); refilter().catch(missing); }}, make("option", {value: "", text: "any"}));
  const count = make("p", {class: "dim", "aria-live": "polite"});
  const detail = make("div", {class: "detail", tabindex: 0, role: "region", "aria-label": "The chosen question"});
  const list = answerList({label: "Questions", row: listed, chosen: (at, how) => pick(at, how).catch(missing)});
  panel.append(...answerTools(systems, wanted, runs, (changes) => page.go({...changes, question: ""}), kind, search), count,
    make("div", {class: "split"}, list.element, detail));
  start().catch(missing);

  // Texts beside a page can be missing, where the page was passed on without them.
  function missing(error) { detail.replaceChildren(make("p", {class: "warning", role: "alert", text: error.message})); }
  async function start() {
    await set.load();
    const kinds = set.kinds();
    kind.append(...kinds.map((value) => make("option", {value, text: Texts.plain(value, 40)})));
    kind.value = kinds.includes(state.kind) ? state.kind : "";
    kind.disabled = !kinds.length;
    await refilter();
  }
  async function refilter() {
    const mine = turn += 1, found = await set.matching({...wanted, kind: kind.value, find: search.value});
    if (mine !== turn || !panel.isConnected) return;
    shown = found;
    count.textContent = `${shown.length.toLocaleString("en-US")} of ${counted(set.count(), "question")}`;
    list.show(shown.length, shown.findIndex((place) => set.keyOf(set.at(place)) === state.question));
  }
  // A row of the list: the question, and what became of it. The answer comes with it once its slice is unpacked.
  function listed(at) {
    const place = shown[at], row = Stored.answerNow(a, place, () => { if (panel.isConnected) list.draw(); });
    const badges = (b ? [a, b] : [a]).map((run) => {
      const [text, look] = set.badge(run, place);
      return make("span", {class: `badge ${look}`, text: b ? `${named(run)}: ${text}` : text});
    });
    return [make("div", {dir: "auto", text: Texts.plain(set.at(place)[2], 200)}),
      make("div", {class: "said"}, ...badges, make("bdi", {text: row ? Texts.plain(row[4] === null ? row[1] : row[4], 90) : ""}))];
  }
  async function pick(at, how) {
    const mine = picked += 1;
    if (at < 0) { detail.replaceChildren(make("p", {text: "No question is like this. “All questions” shows them again."})); return; }
    const question = set.at(shown[at]), corpus = data.corpora[data.draws[a.draws][question[0]]] || {texts: null, why: ""};
    if (how) page.note({a: a.id, question: set.keyOf(question)}, how === "click");
    const entries = await set.entries(order, shown[at]), texts = corpus.texts === null ? null : await Stored.block(corpus.texts);
    if (mine !== picked || !panel.isConnected) return;
    detail.replaceChildren(...Compare.show(question, entries, corpus, texts, b ? 2 : 1));
    detail.scrollTop = 0;
  }
}
