"use strict";
// The rules of analysis/decision.py and the words of report/verdicts.py, for the page. Tests hold the two to each other.
globalThis.Decision = (() => {
  const FEWEST_UNITS = 6, MOST_UNITS = 1000, MOST_CHANGES = 3, MOST_NAMES = 4, LEVEL = 0.05;
  const MOST_LOSS = 0.1, LARGEST_SHARE = 0.25, LEAST_SAVING = 1.2, FARTHEST = 1000;
  const HEADINGS = {em: "EM", f1: "F1", minilm_cosine: "MiniLM cosine", bertscore_f1: "BERTScore F1"};
  const OUT_OF = {seconds: "too slow", memory: "too much memory"};
  const WORDS = {worse: "worse", alike: "as good", unknown: "unproven"};
  const MISSING = "–";

  // Figures as Python prints them: ties go to the even digit.
  function fixed(value, digits) {
    // Only odd multiples of this power of two lie exactly between two decimals.
    if (Math.abs((value * 2 ** (digits + 1)) % 2) !== 1) return value.toFixed(digits);
    const scale = 10 ** digits;
    return (2 * Math.round(value * scale / 2) / scale).toFixed(digits);
  }
  const whole = (value) => fixed(value, 0).replace(/\B(?=(\d{3})+$)/g, ",");
  const many = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
  function threeDigits(value) {
    const rounded = Number(value.toPrecision(3));
    if (Math.abs(rounded) >= 1000) return whole(rounded);
    if (rounded !== 0 && Math.abs(rounded) < 1e-4) return rounded.toFixed(6);
    return value.toPrecision(3);
  }
  function withUnit(value, units) {
    const found = units.find(([scale]) => Number((value / scale).toPrecision(3)) >= 1) || units[units.length - 1];
    return [value / found[0], found[1]];
  }
  function seconds(value) {
    if (value === null) return MISSING;
    if (!value) return "0 s";
    const [scaled, unit] = withUnit(value, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
    return `${threeDigits(scaled)} ${unit}`;
  }
  function size(value) {
    if (value === null) return MISSING;
    const [scaled, unit] = withUnit(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
    return unit === "B" ? `${whole(value)} B` : `${threeDigits(scaled)} ${unit}`;
  }
  function score(value, error) {
    const margin = fixed(error || 0, 3).replace(/^0/, "");
    return fixed(value, 3) + (margin === ".000" ? "" : ` ±${margin}`);
  }
  const end = (value) => fixed(value, 2).replace(/^0/, "");
  const within = (each) => fixed(each.score, 3) + (each.low === null ? "" : ` (${end(each.low)}–${end(each.high)})`);
  function signed(value) {
    const text = fixed(Math.abs(value), 3);
    return (value < 0 && Number(text) ? "-" : "+") + text;
  }

  function difference(contest, first, second) {
    const key = first < second ? `${first},${second}` : `${second},${first}`;
    const [mean, error, low, high] = contest.pairs[key];
    if (first < second) return {mean, error, low, high};
    return {mean: -mean, error, low: high === null ? null : -high, high: low === null ? null : -low};
  }

  // Student's t for whole degrees of freedom: P(|t| < sqrt(degrees) tan(angle)), Abramowitz and Stegun 26.7.3 and 26.7.4.
  function inside(angle, degrees) {
    const odd = degrees % 2, cosine = Math.cos(angle);
    let term = odd ? cosine : 1, sum = degrees > 1 ? term : 0;
    for (let k = 2 + odd; k < degrees; k += 2) { term *= cosine * cosine * (k - 1) / k; sum += term; }
    return odd ? (angle + Math.sin(angle) * sum) * 2 / Math.PI : Math.sin(angle) * sum;
  }
  function quantile(probability, degrees) {
    let low = 0, high = Math.PI / 2;
    for (let step = 0; step < 60; step += 1) {
      const middle = (low + high) / 2;
      if (inside(middle, degrees) < 2 * probability - 1) low = middle; else high = middle;
    }
    return Math.sqrt(degrees) * Math.tan((low + high) / 2);
  }
  // The effect that is found four times of five at this level, over its standard error.
  const factor = (units, level) => quantile(1 - level / 2, units - 1) + quantile(0.8, units - 1);
  const priced = (terms) => Boolean(terms.price_per_hour || terms.price_input || terms.price_cached || terms.price_output);
  function linesOfCost(candidate, terms) {
    if (candidate.seconds === null) return null;
    if (!priced(terms)) return [candidate.preparation, candidate.seconds];
    const hour = terms.price_per_hour / 3600, t = candidate.tokens;
    const tokens = (terms.price_input * t[0] + terms.price_cached * t[1] + terms.price_output * t[2]) / 1e6;
    return [
      candidate.preparation * hour + candidate.prepared_tokens * terms.price_input / 1e6,
      candidate.seconds * hour + tokens,
    ];
  }
  function total(candidate, terms) {
    const lines = linesOfCost(candidate, terms);
    return lines && lines[0] + terms.questions * lines[1];
  }
  const over = (value, limit) => limit !== null && (value === null || value > limit);
  function whyOut(candidate, terms) {
    if (candidate.unfit) return "unfit";
    if (over(candidate.slow, terms.max_seconds)) return "seconds";
    if (over(candidate.memory, terms.max_memory)) return "memory";
    return "";
  }
  function fewestUnits(contest) {
    const count = contest.all_pairs ? contest.comparisons : 1;
    let units = FEWEST_UNITS;
    while (count * 2 ** (1 - units) >= LEVEL) units += 1;
    return units;
  }
  const byKeys = (...keys) => (a, b) => {
    for (const key of keys) if (key(a) !== key(b)) return key(a) - key(b);
    return a - b;
  };

  function decide(contest, terms) {
    const {candidates} = contest;
    const costs = candidates.map((candidate) => total(candidate, terms));
    const out = candidates.map((candidate, place) => [place, whyOut(candidate, terms)]).filter(([, why]) => why);
    const isOut = new Set(out.map(([place]) => place));
    const fit = candidates.map((_, place) => place).filter((place) => !isOut.has(place));
    const cost = (place) => costs[place] || 0, points = (place) => candidates[place].score;
    const ranked = [...fit].sort(byKeys((place) => -points(place), cost));
    const none = {kind: "none", choice: null, rival: null, leader: null, alike: [], units_needed: null, at_least: false,
      detectable: null, out, costs, changes: limits(null), standings: [], comparisons: 1};
    if (!ranked.length) return none;
    const leader = ranked[0], others = ranked.slice(1);
    const count = Math.max(1, contest.comparisons), level = LEVEL / count;
    const held = standings();
    const alike = held.filter((each) => each.state !== "worse");
    const unknown = alike.filter((each) => each.state === "unknown");
    const kind = unknown.length ? "more data" : alike.length ? "tie" : held.length ? "best" : "only";
    const equals = [leader, ...alike.map((each) => each.place)];
    const choice = kind === "tie" ? [...equals].sort(byKeys(cost))[0] : leader;
    const rival = (alike.length ? equals : ranked).find((place) => place !== choice);
    const found = alike.map((each) => each.detectable).filter((value) => value !== null);
    const [needed, atLeast] = more();
    return {
      kind, choice, rival: rival === undefined ? null : rival, leader, alike: equals, units_needed: needed,
      at_least: atLeast, detectable: found.length ? Math.max(...found) : null, out, costs,
      changes: [...crossings(), ...losses(), ...limits(leader)], standings: held, comparisons: count,
    };

    function standings() {
      const pairs = others.map((place) => difference(contest, leader, place));
      const scale = contest.units >= 2 ? factor(contest.units, level) : null;
      return pairs.map((pair, at) => {
        const key = `${leader},${others[at]}`, p = key in contest.adjusted ? contest.adjusted[key] : null;
        const detectable = pair.error && scale !== null ? scale * pair.error : null;
        const proven = p !== null && pair.low !== null && p < LEVEL && !(pair.low <= 0 && pair.high >= 0);
        const closed = pair.low !== null && !proven;
        return {place: others[at], difference: pair.mean, low: closed ? Math.min(pair.low, 0) : pair.low,
          high: closed ? Math.max(pair.high, 0) : pair.high, p, detectable, state: state(pair, detectable, proven)};
      });
    }
    function state(pair, detectable, proven) {
      if (contest.units < FEWEST_UNITS) return "unknown";
      const within = pair.error && pair.low !== null && -terms.margin <= pair.low && pair.high <= terms.margin;
      if (within) return "alike";
      if (proven && pair.mean > 0) return "worse";
      if (Math.abs(pair.mean) > terms.margin) return "unknown";
      if (detectable === null) return contest.units >= withoutVariation() ? "alike" : "unknown";
      return detectable <= terms.margin ? "alike" : "unknown";
    }
    function withoutVariation() {
      const questions = contest.unit === "draw" ? contest.questions / contest.units : 1;
      return Math.max(FEWEST_UNITS, Math.ceil(Math.ceil(Math.log(LEVEL) / Math.log1p(-terms.margin)) / questions));
    }
    function unitsFor(effect, error) {
      const enough = (units) => factor(units, level) * (error * Math.sqrt(contest.units / units)) <= effect;
      let low = 1, high = MOST_UNITS + 1;
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        if (middle >= 2 && enough(middle)) high = middle; else low = middle;
      }
      return high;
    }
    function more() {
      if (!unknown.length) return [null, false];
      let most = fewestUnits(contest), bound = false;
      for (const each of unknown) {
        const pair = difference(contest, leader, each.place), known = Boolean(pair.error) && contest.units >= 2;
        const proving = contest.units < 2 || Math.abs(pair.mean) > terms.margin;
        const bare = proving ? fewestUnits(contest) : withoutVariation();
        const units = known ? unitsFor(Math.max(Math.abs(pair.mean), terms.margin), pair.error) : bare;
        bound = bound || !known;
        most = Math.max(most, units);
      }
      return [most > MOST_UNITS ? null : Math.max(1, most - contest.units), bound];
    }
    function crossings() {
      const own = linesOfCost(candidates[choice], terms), changes = [];
      for (const place of fit) {
        const other = linesOfCost(candidates[place], terms);
        if (place === choice || !own || !other || own[1] === other[1]) continue;
        const at = (other[0] - own[0]) / (own[1] - other[1]);
        if (at < 1) continue;
        const [above, below] = own[1] < other[1] ? [choice, place] : [place, choice];
        changes.push({kind: "questions", system: above, other: below, at: Math.floor(at) + 1, high: null, ratio: null});
      }
      const times = (change) => change.at / terms.questions, far = (change) => Math.abs(Math.log(times(change)));
      const near = changes.filter((change) => 1 / FARTHEST <= times(change) && times(change) <= FARTHEST);
      near.sort((a, b) => far(a) - far(b) || a.system - b.system || a.other - b.other);
      return near.slice(0, MOST_CHANGES);
    }
    function losses() {
      const changes = [], most = Math.max(terms.margin, Math.min(MOST_LOSS, LARGEST_SHARE * points(choice)));
      let cheapest = cost(choice) / LEAST_SAVING;
      for (const place of fit.filter((each) => each !== choice).sort(byKeys((each) => -points(each), cost))) {
        const pair = difference(contest, choice, place);
        if (pair.mean >= 0 && pair.mean <= most && cost(place) < cheapest) {
          const ratio = cost(place) ? cost(choice) / cost(place) : null;
          changes.push({kind: "loss", system: place, other: choice, at: pair.mean, high: pair.high, ratio});
          cheapest = cost(place);
        }
      }
      return changes.slice(0, MOST_CHANGES);
    }
    function limits(best) {
      const floor = best === null ? -Infinity : points(best);
      const alone = ([place, why]) => why === "memory" || !over(candidates[place].memory, terms.max_memory);
      const kept = out.filter(([place, why]) => OUT_OF[why] && alone([place, why]) && points(place) > floor);
      kept.sort(([a], [b]) => points(b) - points(a) || a - b);
      return kept.slice(0, MOST_CHANGES).map(([place, why]) => ({
        kind: why, system: place, other: best === null ? place : best,
        at: why === "seconds" ? candidates[place].slow : candidates[place].memory, high: null,
        ratio: best === null ? null : Number(fixed(points(place) - floor, 7)),
      })).filter((change) => change.at !== null);
    }
  }

  function costText(cost, terms) {
    if (cost === null) return MISSING;
    return priced(terms) ? (cost ? threeDigits(cost) : "0") : seconds(cost);
  }
  function lines(contest, terms, verdict) {
    const name = (place) => contest.candidates[place].name, metric = HEADINGS[contest.metric] || contest.metric;
    function names(places) {
      const more = places.length - MOST_NAMES;
      return places.slice(0, MOST_NAMES).map(name).join(", ") + (more > 0 ? ` and ${more} more` : "");
    }
    const standing = (place) => verdict.standings.find((each) => each.place === place);
    function headline() {
      if (verdict.choice !== null) return `Use ${name(verdict.choice)}${verdict.kind === "more data" ? " for now" : ""}.`;
      if (verdict.out.some(([, why]) => why !== "unfit")) return "Nothing fits the limits.";
      const reasons = new Set(contest.candidates.map((each) => each.unfit));
      return "Nothing to choose from" + (reasons.size === 1 ? `: ${[...reasons][0]}.` : ".");
    }
    function why() {
      if (verdict.rival === null) {
        const limited = verdict.out.some(([, reason]) => reason !== "unfit");
        return limited ? "No other system fits the limits." : "There is no other system to choose from.";
      }
      const rival = name(verdict.rival), each = standing(verdict.rival), others = verdict.alike.length - 1;
      if (verdict.kind === "tie" || each === undefined) {
        return `It costs the least of those that are as good: no difference of ${Number(terms.margin)} or more in ${metric} from `
          + `${names(verdict.alike.filter((place) => place !== verdict.choice))} is likely.`;
      }
      if (verdict.kind === "best") {
        const higher = `${fixed(each.difference, 3)} higher than that of`;
        const interval = `95 % interval ${signed(each.low)} to ${signed(each.high)}`;
        if (verdict.standings.length === 1) return `Its ${metric} is ${higher} ${rival} (${interval}).`;
        return `Its ${metric} is higher than that of each other: ${higher} the next, ${rival} (${interval}).`;
      }
      if (each.low === null) {
        const against = others === 1 ? rival : `the ${whole(others)} others`;
        return `No other has a higher ${metric}, but one ${contest.unit} cannot prove it better than ${against}.`;
      }
      const against = others === 1 ? `${rival}: ${rival}` : `${whole(others)} others: the closest, ${rival},`;
      return `It is not proven better than ${against} could be ${could(each)}.`;
    }
    function could(each) {
      const better = fixed(Math.max(0, -each.low), 3), worse = fixed(Math.max(0, each.high), 3);
      if (better === "0.000") return worse === "0.000" ? "as good" : `as good, or up to ${worse} worse`;
      return `up to ${better} better` + (worse === "0.000" ? "" : ` or ${worse} worse`);
    }
    function settling() {
      if (verdict.units_needed === null) {
        return `More than ${whole(MOST_UNITS)} ${contest.unit}s would be needed to tell: choose by cost.`;
      }
      const needed = `${many(verdict.units_needed, `more ${contest.unit}`)} (${contest.units} so far)`;
      if (!verdict.at_least) return `About ${needed}, if the differences and their spread stay as they are.`;
      const fewest = fewestUnits(contest);
      const reason = contest.units < 2 ? `fewer than ${fewest} ${contest.unit}s cannot prove anything` : "some differences have not varied yet";
      return `At least ${needed}: ${reason}.`;
    }
    function details() {
      if (verdict.choice === null) return [];
      const counted = contest.unit === "draw"
        ? `${many(contest.questions, "question")} in ${many(contest.units, "draw")}`
        : `${many(contest.units, "question")} about these documents`;
      const said = [`cost: ${costText(verdict.costs[verdict.choice], terms)} for ${many(terms.questions, "question")}; measured on ${counted}`];
      if (verdict.kind === "more data") said.unshift(`to settle it: ${settling()}`);
      if (verdict.kind === "tie" || verdict.kind === "more data") {
        const shown = verdict.detectable === null ? "unknown" : fixed(verdict.detectable, 3);
        if (verdict.alike.length > 2) {
          said.push(`not proven worse: ${names(verdict.alike.filter((place) => place !== verdict.choice))}`);
        }
        said.push(`difference that this data would show: ${shown}; difference that matters: ${Number(terms.margin)}`);
      }
      return said;
    }
    function changed(change) {
      const system = name(change.system), other = name(change.other);
      if (change.kind === "questions") return `cheaper: from ${many(change.at, "question")} on ${system} costs less than ${other}`;
      if (change.kind === "loss") {
        const high = change.high === null ? "" : ` (95 %: at most ${fixed(Math.max(change.high, 0), 3)})`;
        const times = change.ratio === null ? "" : `, ${threeDigits(change.ratio)} times cheaper`;
        return `cheaper: if ${fixed(change.at, 3)} ${metric} less is acceptable${high}: ${system}${times}`;
      }
      const gain = change.ratio === null ? "" : ` (${signed(change.ratio)} ${metric} against ${other})`;
      return `would change it: with ${change.kind === "seconds" ? seconds(change.at) : size(change.at)} allowed: ${system}${gain}`;
    }
    return [headline(), ...(verdict.choice === null ? [] : [why()]), ...details(), ...verdict.changes.map(changed)];
  }
  function standing(contest, verdict, place) {
    const why = new Map(verdict.out).get(place);
    if (why !== undefined) return OUT_OF[why] || contest.candidates[place].unfit;
    if (place === verdict.choice) return "use";
    const found = verdict.standings.find((each) => each.place === place);
    return WORDS[found === undefined ? "alike" : found.state];
  }
  // What a figure's whiskers are: the intervals that the tables print, too.
  function whiskers(contests) {
    const alone = contests.some((each) => each.unit === "draw" && each.units === 1);
    return "Whiskers: 95 % intervals, where they are defined."
      + (alone ? " Of one draw they are over its questions: other documents may move a score further." : "");
  }
  return {decide, lines, standing, whiskers, difference, many, linesOfCost, costText, priced, HEADINGS, MISSING,
    format: {seconds, size, score, within, threeDigits, whole, fixed}};
})();
