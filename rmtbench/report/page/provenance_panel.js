"use strict";
// What produced the figures of a section, and its runs by their names on disk.
function provenancePanel(panel, page) {
  const runs = page.runs();
  panel.append(make("h2", {text: "What produced these figures"}), facts(page.section().provenance, {class: "facts"}),
    make("h2", {text: "Runs"}), sortableTable({title: "Runs", labels: 4, columns: ["run", "system", "dataset", "size", "answers", "failed"],
      rows: runs.map((run) => [run.id, run.name, run.dataset, run.size, `${run.count}${run.complete ? "" : "*"}`, String(run.failed)]),
      pick: (row) => page.toAnswers(runs[row].id)}).element,
    make("p", {class: "dim", text: "*: incomplete. Charts: Chart.js 4.6.1, MIT licence, (c) 2014-2024 Chart.js Contributors."}));
}
