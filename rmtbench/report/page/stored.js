"use strict";
// What the page holds of runs, unpacked when it is looked at: questions, outcomes, answers in slices, passages.
const Stored = (() => {
  const MOST = 400, FILES = 80, FOLDER = "answers", unpacked = new Map(), files = new Map();
  let slice = 256;

  async function unpack(place) {
    if (typeof place === "string") return beside(place);
    const element = document.getElementById(`block-${place}`);
    return JSON.parse(element.type === "application/gzip-base64" ? await inflate(element.textContent) : element.textContent);
  }
  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
  // A block of a file beside the page: "FILE#NUMBER".
  async function beside(place) {
    const [name, number] = place.split("#"), blocks = await load(name);
    return JSON.parse(await inflate(blocks[Number(number)]));
  }
  // The blocks of a file. A page from a disk may load scripts only, so the file is one, and calls `take`.
  function load(name) {
    if (files.has(name)) return files.get(name).promise;
    const file = {}, script = make("script", {src: `${FOLDER}/${encodeURIComponent(name)}`});
    file.promise = new Promise((resolve, reject) => {
      file.resolve = resolve;
      script.onerror = () => { files.delete(name); reject(new Error(`The file ${FOLDER}/${name} is missing. It belongs beside this page.`)); };
      script.onload = () => script.remove();
    });
    files.set(name, file);
    if (files.size > FILES) files.delete(files.keys().next().value);
    document.body.append(script);
    return file.promise;
  }
  function take(name, blocks) {
    if (files.has(name)) files.get(name).resolve(blocks);
  }
  // A block by its number, or by its place in a file. The last ones that were looked at are kept.
  function block(place) {
    const held = unpacked.get(place) || {value: undefined, promise: null};
    unpacked.delete(place);
    unpacked.set(place, held);
    if (!held.promise) held.promise = unpack(place).then((value) => { held.value = value; return value; }, (error) => { unpacked.delete(place); throw error; });
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
    block(number).then(then, () => {});  // the panel says that a file is missing
    return null;
  }
  // All answers of a run, slice by slice.
  async function eachAnswer(run, call) {
    for (const number of run.answers) for (const row of (await block(number)).rows) call(row);
  }
  const use = (size) => { slice = size; };
  return {use, take, block, answer, answerNow, eachAnswer};
})();
