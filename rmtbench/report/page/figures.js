"use strict";
// The figures. Each is drawn, or returns the reason why there is nothing to draw: one bar or one point is no figure.
const Figures = (() => {
  const {place, lookOf, interval, within, axis, scoreAxis, logTicks, room} = Charts;
  const MOST_BARS = 40, LETTERS = 44;
  // A point on the edge of the scale is drawn whole.
  const WHOLE = {clip: 8, borderWidth: 2};
  // Chart.js draws texts as letters only; a memory's hash would not fit beside the bars, and every table has it.
  const short = (name) => Texts.plain(name.replace(/memory=|@[0-9a-f]+/g, ""), LETTERS);
  const sized = (contests) => `Only one size of ${Texts.plain(contests[0].dataset)} was run.`;

  // Scores, the best first, each with its interval where there is one.
  function scores(holder, key, contest) {
    const scored = contest.candidates.map((each, at) => ({...each, at})).filter((each) => each.score !== null);
    scored.sort((a, b) => b.score - a.score || a.at - b.at);
    if (scored.length < 2) return scored.length ? "Only one system has a score." : "No run is scored yet: rmtbench score makes scores.";
    const shown = scored.slice(0, MOST_BARS), metric = Decision.HEADINGS[contest.metric];
    const left = scored.length > shown.length ? ` The best ${MOST_BARS} of ${scored.length}.` : "";
    place(holder, key, `${metric} by system`, Decision.whiskers([contest]) + left, {
      type: "bar",
      data: {labels: shown.map((each) => short(each.name)), datasets: [{
        label: metric, data: shown.map((each) => each.score), along: "x", borderWidth: 0,
        backgroundColor: shown.map((each) => lookOf(each.name).backgroundColor), spread: shown.map(interval),
      }]},
      options: {indexAxis: "y", scales: {x: scoreAxis(metric, shown.map((each) => each.score)), y: axis("", {ticks: {autoSkip: false}})},
        plugins: {legend: {display: false}}},
    }, shown.length);
    return "";
  }

  // Cost of one corpus by how many questions it gets: where lines cross, another system becomes the cheaper one.
  function breakEven(holder, key, contest, terms) {
    const priced = Decision.priced(terms), unit = priced ? "cost" : "seconds of the machine";
    const most = Math.max(10000, 10 * terms.questions), xs = [];
    for (let x = 1; x <= most; x *= 1.3) xs.push(Math.round(x * 100) / 100);
    const datasets = contest.candidates.flatMap((each, at) => {
      const lines = each.unfit ? null : Decision.linesOfCost(each, terms);
      // A mark now and then, at places of its own, or lines could not be told from each other in grey.
      return lines ? [{label: short(each.name), data: xs.map((x) => ({x, y: lines[0] + x * lines[1]})),
        pointRadius: xs.map((_, step) => step % 9 === (4 * at) % 9 ? 4 : 0), pointHitRadius: 8, borderWidth: 2, ...lookOf(each.name)}] : [];
    });
    if (!datasets.length) return "No system that may be chosen has a time.";
    const asked = {id: "asked", afterDatasetsDraw({ctx, chartArea, scales}) {
      const x = scales.x.getPixelForValue(terms.questions);
      ctx.save(); ctx.strokeStyle = Charts.css("--text"); ctx.setLineDash([3, 3]); ctx.beginPath();
      ctx.moveTo(x, chartArea.top); ctx.lineTo(x, chartArea.bottom); ctx.stroke(); ctx.restore();
    }};
    place(holder, key, "Total cost by number of questions", `Preparation included, in ${unit}. Your ${
      terms.questions.toLocaleString("en-US")} questions are the vertical line.`, {
      type: "line", data: {datasets}, plugins: [asked],
      options: {
        parsing: false, interaction: {mode: "nearest", axis: "xy", intersect: false},
        scales: {x: axis("questions a corpus", logTicks((value) => value.toLocaleString("en-US"))),
          y: axis(unit, logTicks((value) => priced ? String(value) : Decision.format.seconds(value)))},
        plugins: {tooltip: {callbacks: {
          title: (items) => items.length ? `${Math.round(items[0].parsed.x).toLocaleString("en-US")} questions` : "",
          label: (item) => `${item.dataset.label}: ${Decision.costText(item.parsed.y, terms)}`}}},
      },
    });
    return "";
  }

  // Score against total cost: nobody should use what lies below and to the right of another.
  function frontier(holder, key, contest, terms) {
    const priced = Decision.priced(terms), metric = Decision.HEADINGS[contest.metric];
    const datasets = contest.candidates.flatMap((each) => {
      const lines = Decision.linesOfCost(each, terms);
      return lines && each.score !== null ? [{label: short(each.name), pointRadius: 6, pointHoverRadius: 8, ...WHOLE,
        data: [{x: lines[0] + terms.questions * lines[1], y: each.score}], ...lookOf(each.name), along: "y", spread: [interval(each)]}] : [];
    });
    if (datasets.length < 2) return "Fewer than two systems have a score and a time.";
    const points = datasets.map((dataset) => dataset.data[0]);
    place(holder, key, `${metric} against total cost`, `Of ${Decision.many(terms.questions, "question")} over one corpus, in ${
      priced ? "money" : "seconds of the machine"}. Up and left is better.`, {
      type: "scatter", data: {datasets},
      options: {scales: {x: axis(priced ? "cost" : "seconds of the machine", {...room(points.map((point) => point.x)),
        ...logTicks((value) => priced ? String(value) : Decision.format.seconds(value))}), y: scoreAxis(metric, points.map((point) => point.y))},
      plugins: {tooltip: {callbacks: {label: (item) =>
        `${item.dataset.label}: ${Decision.format.fixed(item.parsed.y, 3)}, ${Decision.costText(item.parsed.x, terms)}`}}}},
    });
    return "";
  }

  // One figure of every system at all sizes of a dataset: seconds or bytes. What serves every top-k is there once.
  function bySize(holder, key, contests, field, title, unit, text, {round = text, once = false} = {}) {
    const candidates = contests.flatMap((contest) => contest.candidates);
    const called = (each) => once ? each.name.replace(/ top-\d+$/, "") : each.name;
    if (candidates.every((each) => !each[field])) return "Not measured in these runs.";
    if (contests.length < 2) return sized(contests);
    const full = new Map(candidates.map((each) => [called(each), each.name]));
    const names = [...new Set(candidates.filter((each) => !once || each[field]).map(called))];
    const datasets = names.map((name) => ({label: short(name), spanGaps: true, pointRadius: 5, borderWidth: 2, ...lookOf(full.get(name)),
      data: contests.map((contest) => {
        const found = contest.candidates.find((each) => called(each) === name);
        return found && found[field] ? found[field] : null;
      })}));
    place(holder, key, title, `In ${unit}; logarithmic.`, {type: "line", data: {labels: contests.map((contest) => contest.size), datasets},
      options: {scales: {x: axis("size", {offset: true}), y: axis(unit, {...room(datasets.flatMap((dataset) => dataset.data)), ...logTicks(round)})},
        plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${text(item.parsed.y)}`}}}}});
    return "";
  }

  // Scores of all systems, a line each, with an interval where there is one; null where nothing was measured.
  function scoreLines(holder, key, title, caption, heading, across, labels, lines) {
    place(holder, key, title, caption, {type: "line", data: {labels, datasets: lines.map((line) => ({label: short(line.name),
      data: line.means, spread: line.spreads, along: "y", among: true, spanGaps: true, pointRadius: 5, ...WHOLE, ...lookOf(line.name)}))},
    options: {scales: {x: axis(across, {offset: true}), y: scoreAxis(heading, lines.flatMap((line) => line.means))},
      plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${Decision.format.fixed(item.parsed.y, 3)}`}}}}});
    return "";
  }

  // Scores against the size of the corpus.
  function scoresBySize(holder, key, contests, title) {
    const names = [...new Set(contests.flatMap((contest) => contest.candidates.map((each) => each.name)))];
    const lines = names.map((name) => {
      const found = contests.map((contest) => contest.candidates.find((each) => each.name === name));
      return {name, means: found.map((each) => each ? each.score : null), spreads: found.map((each) => each ? interval(each) : null)};
    });
    if (!lines.some((line) => line.means.some((mean) => mean !== null))) return "No run is scored yet: rmtbench score makes scores.";
    if (contests.length < 2) return sized(contests);
    const heading = Decision.HEADINGS[contests[0].metric];
    return scoreLines(holder, key, `${heading} ${title}`, Decision.whiskers(contests), heading, "size",
      contests.map((contest) => contest.size), lines);
  }

  // Scores against the place of the evidence: rows of one contest, one for each system and fifth of the corpus.
  function byPosition(holder, key, contest, rows, title) {
    const spots = [0.1, 0.3, 0.5, 0.7, 0.9], heading = Decision.HEADINGS[contest.metric];
    const near = (spot) => (row) => Math.abs(row.position - spot) < 0.05, there = spots.filter((spot) => rows.some(near(spot)));
    if (!there.length) return "No run that is complete and scored says where the evidence is.";
    if (there.length < 2) return "All evidence is in one fifth of the corpus.";
    const lines = [...new Set(rows.map((row) => row.label))].map((label) => {
      const own = spots.map((spot) => rows.find((row) => row.label === label && near(spot)(row)));
      return {name: label, means: own.map((row) => row ? row.mean : null),
        spreads: own.map((row) => row && row.low !== null ? within([row.low, row.high], row.mean) : null)};
    });
    return scoreLines(holder, key, `${heading} ${title}`, "Whiskers: 95 % intervals, where they are defined. A question counts once for each fact that it needs.",
      heading, "where the fact is in the corpus, in fifths", ["first", "second", "third", "fourth", "last"], lines);
  }

  // A logarithmic axis has its marks at powers of ten, which binary units would make odd.
  function decimalBytes(value) {
    const power = Math.min(4, Math.floor(Math.log10(value) / 3 + 1e-9));
    return `${value / 1000 ** power} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  }

  // What could not be drawn, and why: in words, and without an empty frame.
  function notDrawn(reasons) {
    return reasons.length ? make("section", {}, make("h3", {text: "Not drawn"}),
      make("ul", {class: "notes"}, ...reasons.map(([title, why]) => make("li", {text: `${title}: ${why}`})))) : null;
  }

  return {scores, breakEven, frontier, bySize, scoresBySize, byPosition, decimalBytes, notDrawn};
})();
