"use strict";
// One question and what every system said to it, side by side.
const Compare = (() => {
  const FINISH = {eos: "end of sequence", stop: "stop rule", length: "cut off at the token limit", error: "failed"};
  const {seconds, whole, fixed} = Decision.format;

  function head(question, corpus, texts) {
    const [draw, id, text, kind, references, evidence] = question;
    return [
      make("h3", {text: "Question"}), Texts.said(text, Texts.LONG, "asked"),
      make("p", {class: "dim"}, make("bdi", {text: Texts.plain(`draw ${draw}, ${id}${kind ? `, ${kind}` : ""}`)})),
      make("h3", {text: references.length > 1 ? "References, any of which is right" : "Reference"}), ...references.map((each) => Texts.said(each)),
      ...evidence.length ? [make("h3", {text: "Gold evidence"}), ...texts ? [] : [make("p", {class: "dim", text: corpus.why})],
        make("ol", {class: "passages"}, ...Passages.gold(evidence, texts))] : [],
    ];
  }

  function figures(run, row) {
    const [, , , finish, , tokens, times, , warmup, scores] = row, [retrieve, prefill, first, decode, total] = times;
    const parts = [["retrieve", retrieve], ["prefill", prefill], ["first token", first], ["decode", decode]]
      .filter(([, value]) => value).map(([name, value]) => `${name} ${seconds(value)}`);
    return facts([
      ["scores", run.metrics.map((name, at) => `${name} ${scores[at] === null ? "n/a" : fixed(scores[at], 3)}`).join(", ") || "not scored"],
      ["time", `${seconds(total)}${parts.length ? ` (${parts.join(", ")})` : ""}${warmup ? "; a warm-up, counted nowhere" : ""}`],
      ["tokens", `${whole(tokens[0])} read, ${tokens[1] === null ? "cached unknown" : `of these ${whole(tokens[1])} cached`}; ${whole(tokens[2])} written`],
      ["ended by", FINISH[finish] || finish],
    ]);
  }

  // One system's answer, with what it read.
  function card({run, place, row, marks}, question, corpus, texts, open) {
    const [text, look] = Filters.badge(marks, place), swatch = make("span", {class: "swatch", "aria-hidden": "true"});
    swatch.style.backgroundColor = Charts.lookOf(run.name).backgroundColor;
    const parts = [make("h4", {}, swatch, make("bdi", {text: Texts.plain(run.name)})), make("p", {class: `badge ${look}`, text})];
    if (row) {
      const [, answer, raw, , error, , , retrieved] = row;
      parts.push(error === null ? Texts.said(answer === "" ? "(empty)" : answer) : Texts.said(error, Texts.LONG, "wrong"));
      if (raw !== null && raw !== "") parts.push(opened("All that was written", () => [Texts.said(raw)]));
      parts.push(opened("Scores, time and tokens", () => [figures(run, row)]));
      if (retrieved.length) {
        const holding = retrieved.filter((each) => each[4]).length;
        const title = `${counted(retrieved.length, "passage")}${question[5].length ? `, evidence in ${holding || "none"}` : ""}`;
        parts.push(opened(title, () => Passages.list(retrieved, question[5], corpus, texts), open));
      }
    }
    return make("section", {class: "answer", "aria-label": Texts.plain(run.name)}, ...parts);
  }

  // All of one question; `entries` are the systems in order, and passages of the first `open` of them are shown at once.
  function show(question, entries, corpus, texts, open) {
    return [...head(question, corpus, texts), make("h3", {text: `Answers of ${counted(entries.length, "system")}`}),
      make("div", {class: "answers"}, ...entries.map((entry, at) => card(entry, question, corpus, texts, at < open)))];
  }
  return {show};
})();
