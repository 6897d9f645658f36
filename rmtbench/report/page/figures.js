"use strict";
// Interactive figures, drawn by Chart.js. Colours are Okabe and Ito's, and every system has a shape of its own besides.
const Figures = (() => {
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];
  const SHAPES = ["circle", "rect", "triangle", "rectRot", "star", "crossRot", "rectRounded", "cross"];
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  const drawn = new Map();

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const whiskers = {
    id: "whiskers",
    afterDatasetsDraw(chart) {
      const {ctx, scales} = chart;
      chart.data.datasets.forEach((dataset, number) => {
        if (!dataset.spread || !chart.isDatasetVisible(number)) return;
        dataset.data.forEach((point, place) => {
          const spread = dataset.spread[place], at = chart.getDatasetMeta(number).data[place];
          if (!spread || !at) return;
          const across = dataset.along === "x";
          const [low, high] = spread.map((value) => scales[dataset.along].getPixelForValue(value));
          ctx.save();
          if (dataset.among) {  // of several at one place each has its own colour, and none reaches into the legend
            const {left, top, width, height} = chart.chartArea;
            ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
          }
          ctx.strokeStyle = dataset.among ? dataset.borderColor : css("--text");
          ctx.lineWidth = 1.5;
          ctx.beginPath();
          if (across) {
            ctx.moveTo(low, at.y); ctx.lineTo(high, at.y);
            for (const end of [low, high]) { ctx.moveTo(end, at.y - 5); ctx.lineTo(end, at.y + 5); }
          } else {
            ctx.moveTo(at.x, low); ctx.lineTo(at.x, high);
            for (const end of [low, high]) { ctx.moveTo(at.x - 5, end); ctx.lineTo(at.x + 5, end); }
          }
          ctx.stroke();
          ctx.restore();
        });
      });
    },
  };

  const looks = (place) => ({
    borderColor: COLOURS[place % COLOURS.length], backgroundColor: COLOURS[place % COLOURS.length],
    pointStyle: SHAPES[(place + 3 * Math.floor(place / COLOURS.length)) % SHAPES.length], borderDash: DASHES[Math.floor(place / COLOURS.length) % DASHES.length],
  });
  const axis = (title, more) => ({
    title: {display: true, text: title, color: css("--text")}, ticks: {color: css("--dim"), ...(more && more.ticks)},
    grid: {color: css("--line")}, ...more && Object.fromEntries(Object.entries(more).filter(([key]) => key !== "ticks")),
  });
  // On a logarithmic axis a label at every power of ten, and at 2 and 5 or at all marks where there is room for them.
  const logTicks = (text) => ({ticks: {autoSkip: true, maxRotation: 0, callback(value) {
    const lead = Number((value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toPrecision(6)), {min, max} = this;
    const leads = max / min < 5 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : max / min < 300 ? [1, 2, 5] : [1];
    return leads.includes(lead) ? text(value) : null;
  }}, type: "logarithmic"});

  function place(holder, key, title, caption, config) {
    const canvas = make("canvas", {role: "img", "aria-label": `${title}. ${caption}`});
    holder.append(make("figure", {}, make("h3", {text: title}), make("div", {class: "canvas"}, canvas),
      make("figcaption", {text: caption})));
    if (drawn.has(key)) drawn.get(key).destroy();
    // Without animation: on its way a bar shows a value that nobody measured, and a print may catch it there.
    config.options = {responsive: true, maintainAspectRatio: false, animation: false, ...config.options};
    config.options.plugins = {
      legend: {labels: {color: css("--text"), usePointStyle: true, boxHeight: 7}}, ...config.options.plugins,
    };
    drawn.set(key, new Chart(canvas, {...config, plugins: [whiskers]}));
  }

  // Scores, the best first, each with its interval where there is one.
  function scores(holder, key, contest) {
    const shown = contest.candidates.map((each, at) => ({...each, at})).filter((each) => each.score !== null);
    shown.sort((a, b) => b.score - a.score || a.at - b.at);
    const metric = Decision.HEADINGS[contest.metric];
    place(holder, key, `${metric} by system`, contest.units > 1
      ? `Whiskers: two standard errors, clustered by ${contest.unit}.` : `No intervals: one ${contest.unit} says nothing of the next.`, {
      type: "bar",
      // A memory's hash would not fit beside the bars; every table has it.
      data: {labels: shown.map((each) => each.name.replace(/memory=|@[0-9a-f]+/g, "")), datasets: [{
        label: metric, data: shown.map((each) => each.score), along: "x", borderWidth: 0, ...looks(0),
        spread: shown.map((each) => each.error === null ? null : [each.score - 2 * each.error, each.score + 2 * each.error]),
      }]},
      options: {indexAxis: "y", scales: {x: axis(metric, {min: 0, suggestedMax: 1}), y: axis("", {ticks: {autoSkip: false}})},
        plugins: {legend: {display: false}}},
    });
  }

  // Cost of one corpus by how many questions it gets: where lines cross, another system becomes the cheaper one.
  function breakEven(holder, key, contest, terms) {
    const priced = Decision.priced(terms), unit = priced ? "cost" : "seconds of the machine";
    const most = Math.max(10000, 10 * terms.questions), xs = [];
    for (let x = 1; x <= most; x *= 1.3) xs.push(Math.round(x * 100) / 100);
    const datasets = contest.candidates.flatMap((each, at) => {
      const lines = each.unfit ? null : Decision.linesOfCost(each, terms);
      // A mark now and then, at places of its own, or lines could not be told from each other in grey.
      return lines ? [{label: each.name, data: xs.map((x) => ({x, y: lines[0] + x * lines[1]})),
        pointRadius: xs.map((_, step) => step % 9 === (4 * at) % 9 ? 4 : 0), pointHitRadius: 8, borderWidth: 2, ...looks(at)}] : [];
    });
    place(holder, key, "Total cost by number of questions", `Preparation included, in ${unit}. Your ${
      terms.questions.toLocaleString("en-US")} questions are the vertical line.`, {
      type: "line", data: {datasets},
      options: {
        parsing: false, interaction: {mode: "nearest", axis: "xy", intersect: false},
        scales: {x: axis("questions a corpus", logTicks((value) => value.toLocaleString("en-US"))),
          y: axis(unit, logTicks((value) => priced ? String(value) : Decision.format.seconds(value)))},
        plugins: {tooltip: {callbacks: {
          title: (items) => items.length ? `${Math.round(items[0].parsed.x).toLocaleString("en-US")} questions` : "",
          label: (item) => `${item.dataset.label}: ${Decision.costText(item.parsed.y, terms)}`}}},
      },
    });
    const chart = drawn.get(key);
    chart.config.plugins.push({id: "asked", afterDatasetsDraw({ctx, chartArea, scales}) {
      const x = scales.x.getPixelForValue(terms.questions);
      ctx.save(); ctx.strokeStyle = css("--text"); ctx.setLineDash([3, 3]); ctx.beginPath();
      ctx.moveTo(x, chartArea.top); ctx.lineTo(x, chartArea.bottom); ctx.stroke(); ctx.restore();
    }});
    chart.update();
  }

  // Score against total cost: nobody should use what lies below and to the right of another.
  function frontier(holder, key, contest, terms) {
    const priced = Decision.priced(terms), metric = Decision.HEADINGS[contest.metric];
    const datasets = contest.candidates.flatMap((each, at) => {
      const lines = Decision.linesOfCost(each, terms);
      return lines && each.score !== null ? [{label: each.name, pointRadius: 6, pointHoverRadius: 8, borderWidth: 2,
        data: [{x: lines[0] + terms.questions * lines[1], y: each.score}], ...looks(at), along: "y",
        spread: [each.error === null ? null : [each.score - 2 * each.error, each.score + 2 * each.error]]}] : [];
    });
    place(holder, key, `${metric} against total cost`, `Of ${Decision.many(terms.questions, "question")} over one corpus, in ${
      priced ? "money" : "seconds of the machine"}. Up and left is better.`, {
      type: "scatter", data: {datasets},
      options: {scales: {x: axis(priced ? "cost" : "seconds of the machine", {...room(datasets), ...logTicks((value) => priced ? String(value) : Decision.format.seconds(value))}), y: axis(metric, {min: 0, suggestedMax: 1})},
      plugins: {tooltip: {callbacks: {label: (item) =>
        `${item.dataset.label}: ${Decision.format.fixed(item.parsed.y, 3)}, ${Decision.costText(item.parsed.x, terms)}`}}}},
    });
  }

  // A quarter beyond the outermost points, so that none is cut by the edge.
  function room(datasets) {
    const xs = datasets.flatMap((dataset) => dataset.data.map((point) => point.x)).filter((x) => x > 0);
    return xs.length ? {min: Math.min(...xs) / 1.25, max: Math.max(...xs) * 1.25} : {};
  }

  // One figure of every system at all sizes of a dataset: seconds or bytes. What serves every top-k stands there once.
  function bySize(holder, key, contests, field, title, unit, text, {round = text, once = false} = {}) {
    const sizes = contests.map((contest) => contest.size), called = (each) => once ? each.name.replace(/ top-\d+$/, "") : each.name;
    const candidates = contests.flatMap((contest) => contest.candidates), full = [...new Set(candidates.map((each) => each.name))];
    const names = [...new Set(candidates.filter((each) => !once || each[field]).map(called))];
    const look = (name) => looks(full.findIndex((other) => called({name: other}) === name));
    const datasets = names.map((name) => ({label: name, spanGaps: true, pointRadius: 5, borderWidth: 2, ...look(name),
      data: contests.map((contest) => {
        const found = contest.candidates.find((each) => called(each) === name);
        return found && found[field] ? found[field] : null;
      })}));
    if (datasets.every((dataset) => dataset.data.every((value) => value === null))) {
      unmeasured(holder, key, title);
      return;
    }
    const bounds = room(datasets.map((dataset) => ({data: dataset.data.map((value) => ({x: value}))})));
    place(holder, key, title, `In ${unit}; logarithmic.`, {type: "line", data: {labels: sizes, datasets},
      options: {scales: {x: axis("size", {offset: true}), y: axis(unit, {...bounds, ...logTicks(round)})},
        plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${text(item.parsed.y)}`}}}}});
  }

  function unmeasured(holder, key, title) {
    if (drawn.has(key)) drawn.get(key).destroy();
    drawn.delete(key);
    holder.append(make("figure", {}, make("h3", {text: title}), make("p", {class: "dim", text: "Not measured in these runs."})));
  }

  // Scores of all systems, a line each, with an interval where there is one; null where nothing was measured.
  function scoreLines(holder, key, title, caption, heading, across, labels, lines) {
    if (!lines.some((line) => line.means.some((mean) => mean !== null))) {
      unmeasured(holder, key, title);
      return;
    }
    place(holder, key, title, caption, {type: "line", data: {labels, datasets: lines.map((line) => ({label: line.name,
      data: line.means, spread: line.spreads, along: "y", among: true, spanGaps: true, pointRadius: 5, borderWidth: 2, ...looks(line.at)}))},
    options: {scales: {x: axis(across, {offset: true}), y: axis(heading, {min: 0, suggestedMax: 1})},
      plugins: {tooltip: {callbacks: {label: (item) => `${item.dataset.label}: ${Decision.format.fixed(item.parsed.y, 3)}`}}}}});
  }

  // Scores against the size of the corpus.
  function scoresBySize(holder, key, contests, title) {
    const names = [...new Set(contests.flatMap((contest) => contest.candidates.map((each) => each.name)))];
    const lines = names.map((name, at) => {
      const found = contests.map((contest) => contest.candidates.find((each) => each.name === name));
      return {name, at, means: found.map((each) => each ? each.score : null), spreads: found.map((each) =>
        each && each.score !== null && each.error !== null ? [each.score - 2 * each.error, each.score + 2 * each.error] : null)};
    });
    const heading = Decision.HEADINGS[contests[0].metric];
    scoreLines(holder, key, `${heading} ${title}`, "Whiskers: two standard errors, where they are defined.", heading, "size",
      contests.map((contest) => contest.size), lines);
  }

  // Scores against the place of the evidence: rows of one contest, one for each system and fifth of the corpus.
  function byPosition(holder, key, contest, rows, title) {
    const spots = [0.1, 0.3, 0.5, 0.7, 0.9], heading = Decision.HEADINGS[contest.metric];
    const lines = [...new Set(rows.map((row) => row.label))].map((name) => {
      const own = spots.map((spot) => rows.find((row) => row.label === name && Math.abs(row.position - spot) < 0.05));
      return {name, at: contest.candidates.findIndex((each) => each.name === name), means: own.map((row) => row ? row.mean : null),
        spreads: own.map((row) => row && row.low !== null ? [row.low, row.high] : null)};
    });
    scoreLines(holder, key, `${heading} ${title}`, "Whiskers: 95 % intervals, where they are defined. A question counts once for each fact that it needs.",
      heading, "where the fact stands in the corpus, in fifths", ["first", "second", "third", "fourth", "last"], lines);
  }

  // A logarithmic axis has its marks at powers of ten, which binary units would make odd.
  function decimalBytes(value) {
    const power = Math.min(4, Math.floor(Math.log10(value) / 3 + 1e-9));
    return `${value / 1000 ** power} ${["B", "kB", "MB", "GB", "TB"][power]}`;
  }

  return {scores, breakEven, frontier, bySize, scoresBySize, byPosition, decimalBytes};
})();
