"use strict";
// The questions of one corpus as system `a` was asked them, and what became of each in every run. `b` may be null.
function questionSet(runs, a, b) {
  const marks = new Map(), places = new Map();
  let questions = [], lower = null;

  const keyOf = (question) => `${question[0]}:${question[1]}`;
  // Where another run has the question that `a` has at a place; undefined where it was not asked that question.
  const placeIn = (run, place) => run.questions === a.questions ? place : places.get(run.questions).get(keyOf(questions[place]));

  async function load() {
    const blocks = [...new Set(runs.map((run) => run.questions))], all = await Promise.all(blocks.map(Stored.block));
    const outcomes = await Promise.all(runs.map((run) => Stored.block(run.outcomes)));
    runs.forEach((run, at) => marks.set(run, outcomes[at]));
    questions = all[blocks.indexOf(a.questions)];
    blocks.forEach((block, at) => places.set(block, new Map(all[at].map((question, place) => [keyOf(question), place]))));
  }
  // What the search looks at, in lower case: made when it is first used.
  async function searched() {
    if (lower) return lower;
    const texts = questions.map((question) => [question[2], question[1], ...question[4]].join("\u0000"));
    for (const run of b ? [a, b] : [a]) {
      const back = run.questions === a.questions ? null : new Map(questions.map((_, place) => [placeIn(run, place), place]));
      await Stored.eachAnswer(run, (row) => {
        const place = back ? back.get(row[0]) : row[0];
        if (place !== undefined) texts[place] += `\u0000${row[1]}`;
      });
    }
    lower = texts.map((text) => text.toLowerCase());
    return lower;
  }
  // Places of the questions that are wanted; a question without an answer only where missing answers are asked for.
  async function matching({is, but, kind, at, find}) {
    const words = Filters.wordsOf(find), texts = words.length ? await searched() : null, found = [];
    questions.forEach((question, place) => {
      if (kind && question[3] !== kind) return;
      if (!Filters.isThere(at, question[6]) || !Filters.holds(is, marks.get(a), place)) return;
      if (b && !Filters.holds(but, marks.get(b), placeIn(b, place))) return;
      if (!is && (!b || !but) && marks.get(a).outcomes[place] === "-") return;
      if (texts && !words.every((word) => texts[place].includes(word))) return;
      found.push(place);
    });
    return found;
  }
  // What runs said to one question, in their order.
  const entries = (order, place) => Promise.all(order.map(async (run) => {
    const its = placeIn(run, place);
    return {run, place: its, marks: marks.get(run), row: its === undefined ? undefined : await Stored.answer(run, its)};
  }));
  const badge = (run, place) => Filters.badge(marks.get(run), placeIn(run, place));
  const kinds = () => [...new Set(questions.map((question) => question[3]))].filter(Boolean).sort();
  return {load, matching, entries, badge, kinds, keyOf, at: (place) => questions[place], count: () => questions.length};
}
