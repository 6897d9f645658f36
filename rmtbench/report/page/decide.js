"use strict";
// The rules of report/decision.py and the words of report/verdicts.py, for the page. Tests hold the two to each other.
globalThis.Decision = (() => {
  const FEWEST_UNITS = 6, MOST_UNITS = 1000, MOST_CHANGES = 3, MOST_NAMES = 4;
  const HEADINGS = {em: "EM", f1: "F1", minilm_cosine: "MiniLM cosine", bertscore_f1: "BERTScore F1"};
  const OUT_OF = {seconds: "too slow", memory: "too much memory"};
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
  const score = (value, error) => fixed(value, 3) + (error === null ? "" : ` ±${fixed(error, 3).replace(/^0/, "")}`);
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
  function whyOut(candidate, terms) {
    if (candidate.unfit) return "unfit";
    const over = (value, limit) => limit !== null && (value === null || value > limit);
    if (over(candidate.slow, terms.max_seconds)) return "seconds";
    if (over(candidate.memory, terms.max_memory)) return "memory";
    return "";
  }
  const byKeys = (...keys) => (a, b) => {
    for (const key of keys) if (key(a) !== key(b)) return key(a) - key(b);
    return a - b;
  };

  function decide(contest, terms, factors) {
    const {candidates} = contest;
    const costs = candidates.map((candidate) => total(candidate, terms));
    const out = candidates.map((candidate, place) => [place, whyOut(candidate, terms)]).filter(([, why]) => why);
    const isOut = new Set(out.map(([place]) => place));
    const fit = candidates.map((_, place) => place).filter((place) => !isOut.has(place));
    const cost = (place) => costs[place] || 0, points = (place) => candidates[place].score;
    const detectable = (pair) =>
      pair.error && contest.units >= 2 ? factors[contest.units] * pair.error : null;
    const ranked = [...fit].sort(byKeys((place) => -points(place), cost));
    const none = {kind: "none", choice: null, rival: null, leader: null, alike: [], units_needed: null, at_least: false,
      detectable: null, out, costs, changes: limits(null)};
    if (!ranked.length) return none;
    const leader = ranked[0];
    function state(place) {
      const pair = difference(contest, leader, place);
      if (contest.units < FEWEST_UNITS) return "unknown";
      const within = pair.error && pair.low !== null && -terms.margin <= pair.low && pair.high <= terms.margin;
      if (within) return "alike";
      if (pair.low !== null && pair.low > 0) return "worse";
      const found = detectable(pair);
      if (found === null) return contest.units >= withoutVariation() ? "alike" : "unknown";
      return found <= terms.margin ? "alike" : "unknown";
    }
    const states = new Map(ranked.slice(1).map((place) => [place, state(place)]));
    const alike = ranked.slice(1).filter((place) => states.get(place) !== "worse");
    const unknown = alike.filter((place) => states.get(place) === "unknown");
    const kind = unknown.length ? "more data" : alike.length ? "tie" : ranked.length > 1 ? "best" : "only";
    const choice = kind === "tie" ? [leader, ...alike].sort(byKeys(cost))[0] : leader;
    const rivals = alike.length ? alike : ranked.slice(1);
    const rival = [leader, ...rivals].find((place) => place !== choice);
    const found = alike.map((place) => detectable(difference(contest, leader, place))).filter((value) => value !== null);
    const [needed, atLeast] = more(unknown);
    return {
      kind, choice, rival: rival === undefined ? null : rival, leader, alike: [leader, ...alike], units_needed: needed,
      at_least: atLeast, detectable: found.length ? Math.max(...found) : null, out, costs,
      changes: [...crossings(), ...losses(), ...limits(leader)],
    };

    function withoutVariation() {
      const questions = contest.unit === "draw" ? contest.questions / contest.units : 1;
      return Math.max(FEWEST_UNITS, Math.ceil(Math.ceil(Math.log(0.05) / Math.log(1 - terms.margin)) / questions));
    }
    function unitsFor(effect, error) {
      for (let count = FEWEST_UNITS; count <= MOST_UNITS; count += 1) {
        if (factors[count] * (error * Math.sqrt(contest.units / count)) <= effect) return count;
      }
      return MOST_UNITS + 1;
    }
    function more(open) {
      if (!open.length) return [null, false];
      let most = 0, bound = false;
      for (const place of open) {
        const pair = difference(contest, leader, place), known = Boolean(pair.error) && contest.units >= 2;
        const bare = contest.units < 2 ? FEWEST_UNITS : withoutVariation();
        const count = known ? unitsFor(Math.max(Math.abs(pair.mean), terms.margin), pair.error) : bare;
        bound = bound || !known;
        most = Math.max(most, count);
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
      const far = (change) => Math.abs(Math.log(change.at / terms.questions));
      changes.sort((a, b) => far(a) - far(b) || a.system - b.system || a.other - b.other);
      return changes.slice(0, MOST_CHANGES);
    }
    function losses() {
      const changes = [];
      let cheapest = cost(choice);
      for (const place of fit.filter((each) => each !== choice).sort(byKeys((each) => -points(each), cost))) {
        const pair = difference(contest, choice, place);
        if (pair.mean >= 0 && cost(place) < cheapest) {
          const ratio = cost(place) ? cost(choice) / cost(place) : null;
          changes.push({kind: "loss", system: place, other: choice, at: pair.mean, high: pair.high, ratio});
          cheapest = cost(place);
        }
      }
      return changes.slice(0, MOST_CHANGES);
    }
    function limits(best) {
      const floor = best === null ? -Infinity : points(best);
      const kept = out.filter(([place, why]) => OUT_OF[why] && points(place) > floor);
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
    function headline() {
      if (verdict.choice === null) {
        if (verdict.out.some(([, why]) => why !== "unfit")) return "nothing fits the limits";
        const reasons = new Set(contest.candidates.map((each) => each.unfit));
        return "nothing to choose from" + (reasons.size === 1 ? `: ${[...reasons][0]}` : "");
      }
      const cost = `${costText(verdict.costs[verdict.choice], terms)} for ${many(terms.questions, "question")}`;
      const use = `use ${name(verdict.choice)}`;
      if (verdict.kind === "best") return `${use}: best ${metric} of all that fit (${cost})`;
      if (verdict.kind === "only") return `${use}: no other fits (${cost})`;
      if (verdict.kind === "tie") {
        const others = names(verdict.alike.filter((place) => place !== verdict.choice));
        return `${use}: the cheapest (${cost}) of those that cannot be told apart: ${others}`;
      }
      return `not enough data: ${needed()}. ${name(verdict.leader)} is ahead so far (${cost})`;
    }
    function needed() {
      if (verdict.units_needed === null) return `more than ${whole(MOST_UNITS)} ${contest.unit}s would be needed`;
      const bound = verdict.at_least ? "at least " : "";
      return `${bound}${many(verdict.units_needed, `more ${contest.unit}`)} would do (${contest.units} so far)`;
    }
    function certainty() {
      const said = [];
      if (verdict.choice === null) return said;
      if (verdict.rival !== null) {
        const pair = difference(contest, verdict.choice, verdict.rival);
        const interval = pair.low === null ? `no interval: one ${contest.unit}`
          : `95 % interval ${signed(pair.low)} to ${signed(pair.high)}`;
        const counted = contest.unit === "draw"
          ? `${many(contest.questions, "question")} in ${many(contest.units, "draw")}`
          : `${many(contest.units, "question")} about these documents`;
        said.push(`${signed(pair.mean)} ${metric} against ${name(verdict.rival)} (${interval}; `
          + `${counted})`);
      }
      if (verdict.kind === "tie" || verdict.kind === "more data") {
        const found = verdict.detectable === null ? "unknown" : fixed(verdict.detectable, 3);
        said.push(`not told apart from ${name(verdict.leader)}: ${names(verdict.alike.slice(1))}`);
        said.push(`smallest difference that this data would show: ${found}; that matters: ${Number(terms.margin)}`);
      }
      return said;
    }
    function changed(change) {
      const system = name(change.system), other = name(change.other);
      if (change.kind === "questions") return `from ${many(change.at, "question")} on ${system} costs less than ${other}`;
      if (change.kind === "loss") {
        const high = change.high === null ? "" : ` (95 %: at most ${fixed(Math.max(change.high, 0), 3)})`;
        const times = change.ratio === null ? "" : `, ${threeDigits(change.ratio)} times cheaper`;
        return `if ${fixed(change.at, 3)} ${metric} less is acceptable${high}: ${system}${times}`;
      }
      const gain = change.ratio === null ? "" : ` (${signed(change.ratio)} ${metric} against ${other})`;
      return `with ${change.kind === "seconds" ? seconds(change.at) : size(change.at)} allowed: ${system}${gain}`;
    }
    return [headline(), ...certainty(), ...verdict.changes.map((change) => `would change it: ${changed(change)}`)];
  }
  function standing(contest, verdict, place) {
    const why = new Map(verdict.out).get(place);
    if (why !== undefined) return OUT_OF[why] || contest.candidates[place].unfit;
    if (place === verdict.choice) return {"more data": "ahead", tie: "use: cheapest"}[verdict.kind] || "use";
    return verdict.alike.includes(place) ? "not told apart" : "worse";
  }
  return {decide, lines, standing, difference, many, linesOfCost, costText, priced, HEADINGS, MISSING,
    format: {seconds, size, score, threeDigits, whole, fixed}};
})();
