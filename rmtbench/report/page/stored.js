"use strict";
// What the page holds of runs, unpacked when it is looked at: questions, outcomes, answers in slices, passages.
const Stored = (() => {
  const MOST = 400, unpacked = new Map();
  let slice = 256;

  async function unpack(place) {
    const element = document.getElementById(`block-${place}`);
    let text = element.textContent;
    if (element.type === "application/gzip-base64") {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    }
    return JSON.parse(text);
  }
  // A block by its number. The last ones that were looked at are kept.
  function block(place) {
    const held = unpacked.get(place) || {value: undefined, promise: null};
    unpacked.delete(place);
    unpacked.set(place, held);
    if (!held.promise) held.promise = unpack(place).then((value) => { held.value = value; return value; });
    if (unpacked.size > MOST) unpacked.delete(unpacked.keys().next().value);
    return held.promise;
  }
  const rowIn = (found, place) => found.rows.find((row) => row[0] === place);
  // A run's answer to the question at a place; undefined without one.
  const answer = async (run, place) => rowIn(await block(run.answers[Math.floor(place / slice)]), place);
  // The same if it is unpacked already, else null, and `then` is called once it is.
  function answerNow(run, place, then) {
    const number = run.answers[Math.floor(place / slice)], held = unpacked.get(number);
    if (held && held.value) return rowIn(held.value, place);
    block(number).then(then);
    return null;
  }
  // All answers of a run, slice by slice.
  async function eachAnswer(run, call) {
    for (const number of run.answers) for (const row of (await block(number)).rows) call(row);
  }
  const use = (size) => { slice = size; };
  return {use, block, answer, answerNow, eachAnswer};
})();
