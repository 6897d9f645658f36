"use strict";
// A run's questions and answers: unpacked when they are first asked for, and only the rows in sight are drawn.
const Answers = (() => {
  const ROW = 52, SPARE = 12;
  const unpacked = new Map();
  const FINISH = {eos: "end of sequence", stop: "stop rule", length: "cut off at the token limit", error: "failed"};

  async function block(place) {
    if (!unpacked.has(place)) {
      const element = document.getElementById(`block-${place}`);
      let text = element.textContent;
      if (element.type === "application/gzip-base64") {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
      }
      unpacked.set(place, JSON.parse(text));
    }
    return unpacked.get(place);
  }

  function outcome(row, metrics) {
    if (row[4] !== null) return ["failed", "wrong"];
    const em = metrics.indexOf("em"), f1 = metrics.indexOf("f1");
    if (em < 0 || row[9][em] === null) return ["not scored", "partly"];
    if (row[9][em] > 0) return ["right", "right"];
    return f1 >= 0 && row[9][f1] > 0 ? ["partly right", "partly"] : ["wrong", "wrong"];
  }

  const OUTCOMES = {all: () => true, wrong: (kind) => kind !== "right", failed: (kind, row) => row[4] !== null,
    "cut off": (kind, row) => row[3] === "length", empty: (kind, row) => row[1].trim() === ""};

  function view() {
    const search = make("input", {type: "search", oninput: refilter}), runs = make("select", {onchange: () => open(Number(runs.value))});
    const only = make("select", {onchange: refilter}, ...Object.keys(OUTCOMES).map((name) => make("option", {value: name, text: name})));
    const count = make("p", {class: "dim", "aria-live": "polite"});
    const inner = make("div", {role: "presentation"});
    const list = make("div", {class: "list", role: "listbox", tabindex: 0, "aria-label": "Questions and answers", onscroll: draw, onkeydown: key}, inner);
    const detail = make("div", {class: "detail", tabindex: 0, role: "region", "aria-label": "The chosen question"});
    const field = (label, control) => make("label", {class: "field", text: label}, control);
    const element = make("div", {}, make("div", {class: "tools"}, field("Run", runs), field("Search in questions, answers and references", search),
      field("Show", only)), count, make("div", {class: "split"}, list, detail));
    let choices = [], questions = [], answers = {metrics: [], rows: []}, lower = [], shown = [], current = -1, turn = 0;

    function offer(offered, chosen) {
      choices = offered;
      runs.replaceChildren(...offered.map((run, place) => make("option", {value: place,
        text: `${run.dataset} ${run.size}: ${run.name} (${run.count.toLocaleString("en-US")}${run.failed ? `, ${run.failed} failed` : ""})`})));
      const place = Math.max(0, offered.findIndex((run) => run.id === chosen));
      runs.value = String(place);
      return open(place);
    }
    async function open(place) {
      const mine = turn += 1, run = choices[place];
      if (!run) return;
      const [asked, given] = [await block(run.questions), await block(run.answers)];
      if (mine !== turn) return;
      [questions, answers, lower] = [asked, given, null];
      refilter();
      const end = run.count ? "" : "No answer yet.";
      if (end) detail.replaceChildren(make("p", {text: end}));
    }
    function refilter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), keep = OUTCOMES[only.value];
      if (words.length && lower === null) {
        lower = answers.rows.map((row) => [questions[row[0]][2], row[1], ...questions[row[0]][4]].join("\u0000").toLowerCase());
      }
      shown = [];
      answers.rows.forEach((row, place) => {
        if (keep(outcome(row, answers.metrics)[0], row) && words.every((word) => lower[place].includes(word))) shown.push(place);
      });
      count.textContent = `${shown.length.toLocaleString("en-US")} of ${answers.rows.length.toLocaleString("en-US")} answers`;
      inner.style.height = `${shown.length * ROW}px`;
      list.scrollTop = 0;
      choose(shown.length ? 0 : -1);
    }
    function draw() {
      const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
      const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
      const rows = [];
      for (let at = first; at < last; at += 1) {
        const row = answers.rows[shown[at]], [kind, look] = outcome(row, answers.metrics);
        const element = make("div", {class: "row", role: "option", id: `answer-${at}`, "aria-selected": String(at === current),
          "aria-setsize": shown.length, "aria-posinset": at + 1, onclick: () => choose(at)},
        make("div", {dir: "auto", text: questions[row[0]][2]}),
        make("div", {class: "said"}, make("span", {class: `badge ${look}`, text: kind}), make("bdi", {text: row[4] === null ? row[1] : row[4]})));
        element.style.top = `${at * ROW}px`;
        rows.push(element);
      }
      inner.replaceChildren(...rows);
    }
    function choose(at) {
      current = at;
      if (at >= 0) {
        const top = at * ROW;
        if (top < list.scrollTop) list.scrollTop = top;
        else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
      }
      draw();
      if (at < 0) { list.removeAttribute("aria-activedescendant"); detail.replaceChildren(make("p", {text: "Nothing to show."})); return; }
      list.setAttribute("aria-activedescendant", `answer-${at}`);
      const row = answers.rows[shown[at]];
      detail.replaceChildren(...tell(questions[row[0]], row, answers.metrics));
      detail.scrollTop = 0;
    }
    function key(event) {
      const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
      const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity}[event.key];
      if (step === undefined || !shown.length) return;
      event.preventDefault();
      choose(Math.min(shown.length - 1, Math.max(0, current + step)));
    }
    return {element, offer};
  }

  const said = (text) => make("p", {class: "text", dir: "auto", text});
  const facts = (pairs) => make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {text: name}), make("dd", {dir: "auto", text: value})]));

  function tell(question, row, metrics) {
    const [draw, id, text, kind, references, evidence] = question;
    const [, answer, raw, finish, error, tokens, times, retrieved, warmup, scores] = row;
    const {seconds, whole, fixed} = Decision.format, names = ["retrieve", "prefill", "first token", "decode", "total"];
    const parts = [make("h3", {text: "Question"}), said(text), make("h3", {text: "Answer"}),
      error === null ? said(answer === "" ? "(empty)" : answer) : make("p", {class: "text wrong", dir: "auto", text: error})];
    if (raw !== null && raw !== "") parts.push(make("h3", {text: "All that was written"}), said(raw));
    parts.push(make("h3", {text: "References"}), ...references.map(said));
    parts.push(make("h3", {text: "Scores"}), facts(metrics.map((metric, place) =>
      [metric, scores[place] === null ? "n/a" : fixed(scores[place], 3)])));
    parts.push(make("h3", {text: `Time${warmup ? " (warm-up: counted nowhere)" : ""} and tokens`}), facts([
      ...names.map((name, place) => [name, seconds(times[place])]),
      ["tokens", `${whole(tokens[0])} read, ${tokens[1] === null ? "cached unknown" : `of these ${whole(tokens[1])} cached`}; ${whole(tokens[2])} written`],
      ["ended by", FINISH[finish] || finish], ["draw, id, kind", `${draw}, ${id}${kind ? `, ${kind}` : ""}`]]));
    if (retrieved.length) {
      parts.push(make("h3", {text: "Retrieved chunks, best first"}), sortableTable({title: "Retrieved chunks", labels: 2,
        columns: ["document", "evidence", "characters", "score"],
        rows: retrieved.map(([name, start, end, points, holds]) => [name, holds ? "yes" : "", `${start}–${end}`, String(points)])}).element);
    }
    if (evidence.length) {
      parts.push(make("h3", {text: "Evidence"}), ...evidence.map((spans) =>
        said(spans.map(([name, start, end]) => `${name}, characters ${start}–${end}`).join("; or "))));
    }
    return parts;
  }

  return {view};
})();
