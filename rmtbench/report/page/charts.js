"use strict";
// What all figures share: how one is put into the page, its axes, and its whiskers. Drawn by Chart.js.
const Charts = (() => {
  const drawn = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let given = {}, looks = {};

  // The systems that are compared; each gets its look from these.
  function use(systems) {
    if (systems !== given) [given, looks] = [systems, {}];
  }
  // The look of a system by its name, in the colours of the scheme that is shown.
  function lookOf(name) {
    const scheme = dark.matches ? "dark" : "light";
    if (!looks[scheme]) looks[scheme] = Looks.assign(given, scheme);
    return looks[scheme].get(name) || {borderColor: css("--strong"), backgroundColor: css("--strong"), pointStyle: "circle"};
  }

  const whiskers = {
    id: "whiskers",
    afterDatasetsDraw(chart) {
      const {ctx, scales, chartArea} = chart;
      ctx.save();
      ctx.beginPath();
      ctx.rect(chartArea.left, chartArea.top - 1, chartArea.width + 1, chartArea.height + 2);
      ctx.clip();
      chart.data.datasets.forEach((dataset, number) => {
        if (!dataset.spread || !chart.isDatasetVisible(number)) return;
        ctx.strokeStyle = dataset.among ? dataset.borderColor : css("--text");
        ctx.lineWidth = 1.5;
        dataset.data.forEach((_, place) => {
          const spread = dataset.spread[place], at = chart.getDatasetMeta(number).data[place];
          if (!spread || !at || spread[0] === spread[1]) return;
          const [low, high] = spread.map((value) => scales[dataset.along].getPixelForValue(value));
          ctx.beginPath();
          if (dataset.along === "x") {
            ctx.moveTo(low, at.y); ctx.lineTo(high, at.y);
            for (const end of [low, high]) { ctx.moveTo(end, at.y - 5); ctx.lineTo(end, at.y + 5); }
          } else {
            ctx.moveTo(at.x, low); ctx.lineTo(at.x, high);
            for (const end of [low, high]) { ctx.moveTo(at.x - 5, end); ctx.lineTo(at.x + 5, end); }
          }
          ctx.stroke();
        });
      });
      ctx.restore();
    },
  };

  // An interval ends where the scale of the score ends: no share is above 1, and none that is not negative is below 0.
  // A score of another scale, such as a count of words, has no such ends.
  function within([low, high], mean) {
    return mean > 1 || mean < -1 ? [low, high] : [Math.max(low, mean >= 0 ? 0 : -1), Math.min(high, 1)];
  }
  // The interval of a candidate's score; null where it is undefined.
  const interval = (candidate) => candidate.low === null || candidate.high === null ? null : [candidate.low, candidate.high];

  const axis = (title, more) => ({
    title: {display: true, text: title, color: css("--text")}, ticks: {color: css("--dim"), ...(more && more.ticks)},
    grid: {color: css("--line")}, ...more && Object.fromEntries(Object.entries(more).filter(([key]) => key !== "ticks")),
  });
  // Scores: from 0 to 1, or from -1 where one of them is negative; of another scale as far as they go.
  function scoreAxis(title, values) {
    if (values.some((value) => value > 1 || value < -1)) return axis(title, {beginAtZero: true});
    return axis(title, {min: values.some((value) => value < 0) ? -1 : 0, max: 1});
  }
  // On a logarithmic axis a label at every power of ten, and at 2 and 5 or at all marks where there is room for them.
  const logTicks = (text) => ({ticks: {autoSkip: true, maxRotation: 0, callback(value) {
    const lead = Number((value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toPrecision(6)), {min, max} = this;
    const leads = max / min < 5 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : max / min < 300 ? [1, 2, 5] : [1];
    return leads.includes(lead) ? text(value) : null;
  }}, type: "logarithmic"});

  // A quarter beyond the outermost values, so that no point is cut by the edge.
  function room(values) {
    const above = values.filter((value) => value > 0);
    return above.length ? {min: Math.min(...above) / 1.25, max: Math.max(...above) * 1.25} : {};
  }

  // Draw one figure; a figure of the same key is replaced. `rows` makes room for so many bars.
  function place(holder, key, title, caption, config, rows = 0) {
    const canvas = make("canvas", {role: "img", "aria-label": `${title}. ${caption}`}), frame = make("div", {class: "canvas"}, canvas);
    if (rows > 14) frame.style.height = `${rows * 1.6}rem`;
    holder.append(make("figure", {}, make("h3", {text: title}), frame, make("figcaption", {text: caption})));
    remove(key);
    // Without animation: on its way a bar shows a value that nobody measured, and a print may catch it there.
    config.options = {responsive: true, maintainAspectRatio: false, animation: false, ...config.options};
    config.options.plugins = {
      legend: {labels: {color: css("--text"), usePointStyle: true, boxHeight: 7}}, ...config.options.plugins,
    };
    const chart = new Chart(canvas, {...config, plugins: [whiskers, ...config.plugins || []]});
    drawn.set(key, chart);
    return chart;
  }
  function remove(key) {
    if (drawn.has(key)) drawn.get(key).destroy();
    drawn.delete(key);
  }
  function clear() {
    for (const key of [...drawn.keys()]) remove(key);
  }
  return {use, place, remove, clear, lookOf, interval, within, axis, scoreAxis, logTicks, room, css, dark};
})();
