"use strict";
// How every system is drawn: the colour of its kind, as the report's other figures have it, in a shade of its own.
const Looks = (() => {
  // matplotlib's markers as Chart.js draws them, with a rotation in degrees.
  const SHAPES = {x: ["crossRot", 0], "*": ["star", 0], s: ["rect", 0], o: ["circle", 0], "^": ["triangle", 0], v: ["triangle", 180],
    D: ["rectRot", 0], P: ["cross", 0], X: ["crossRot", 0], h: ["rectRounded", 0]};
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  // Hues that no known system has, for those of other packages; then ever further ones.
  const HUES = [265, 100, 0, 300, 235, 125, 80, 285], GOLDEN = 137.508, OTHER = "d";
  const RANGES = {light: [0.2, 0.54], dark: [0.42, 0.8]}, FULLEST = 0.68;

  function hueOf(colour) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
    const high = Math.max(r, g, b), low = Math.min(r, g, b), span = high - low, light = (high + low) / 2;
    if (!span) return [0, 0, light];
    const hue = high === r ? ((g - b) / span + 6) % 6 : high === g ? (b - r) / span + 2 : (r - g) / span + 4;
    return [hue * 60, span / (1 - Math.abs(2 * light - 1)), light];
  }
  // Black and grey, as far from the background as in print.
  const grey = (light, scheme) => scheme === "dark" ? (light < 0.25 ? 0.94 : 0.6) : (light < 0.25 ? 0.13 : 0.5);
  const text = ([hue, full, light]) => `hsl(${hue.toFixed(1)} ${(full * 100).toFixed(1)}% ${(light * 100).toFixed(1)}%)`;

  // Looks by name. Systems of one colour are shades of it; those that nobody knows get hues far from each other.
  function assign(given, scheme) {
    const [low, high] = RANGES[scheme], groups = new Map(), looks = new Map(), used = new Set();
    let unknown = 0;
    const sorted = Object.entries(given).sort(([one], [other]) => one.localeCompare(other, "en", {numeric: true}));
    for (const [name, [colour, marker]] of sorted) {
      const own = marker === OTHER ? `other ${unknown += 1}` : colour;
      groups.set(own, [...(groups.get(own) || []), name]);
    }
    for (const [key, names] of groups) {
      names.forEach((name, at) => {
        const marker = given[name][1], number = Number(key.split(" ")[1]);
        const [hue, full, light] = marker === OTHER ? [HUES[number - 1] ?? (330 + GOLDEN * number) % 360, 0.5, 0.45] : hueOf(given[name][0]);
        const own = full ? Math.min(high, Math.max(low, light)) : grey(light, scheme);
        let shade = names.length === 1 ? own : high - (high - low) * at / (names.length - 1);
        // Light shades of a full colour would glare.
        const held = names.length === 1 ? full : Math.min(full, FULLEST);
        let turn = hue, colour = text([turn, held, shade]);
        for (let tries = 1; used.has(colour); tries += 1) {
          if (tries % 10 === 0) turn = (turn + 11) % 360;
          shade = shade > low + 0.04 ? shade - 0.031 : high;
          colour = text([turn, Math.max(held, tries > 9 ? 0.2 : 0), shade]);
        }
        used.add(colour);
        const [pointStyle, pointRotation] = SHAPES[marker] || ["rectRot", 45 * (number % 2)];
        looks.set(name, {borderColor: colour, backgroundColor: colour, pointStyle, pointRotation, borderDash: DASHES[at % DASHES.length]});
      });
    }
    return looks;
  }
  return {assign};
})();
