// A scale: from the values of an axis to shares of its length, and the values that are labelled.
const LARGEST = 1e307; // ends of an axis, whose length is a number, too
const [CLOSEST, FARTHEST, FINEST] = [1e-6, 4, 1e-9]; // lengths of a zoomed axis, in whole ones and in its numbers

function scale(axis, values, { log, far, zoom }) {
  const positive = values.filter((value) => value > 0);
  const least = Math.log10(Math.min(...positive));
  const gap = Math.max(0.15 * (Math.log10(Math.max(...positive)) - least), 0.4);
  const hasZero = log && values.includes(0);
  const inner = (value) => (!log ? value : value > 0 ? Math.log10(value) : least - gap); // 0 stands at the start
  const near = far ? null : log ? axis.nearLog : axis.near;
  const kept = near ? values.filter((value) => value >= near[0] && value <= near[1]) : values;
  const whole = ends((kept.length ? kept : values).map(inner), axis, log);
  const [low, high] = zoom ? within(zoom, whole) : whole;
  const place = (value) => (inner(value) - low) / (high - low);
  return {
    axis, low, high, place,
    outside: (value) => (place(value) < -1e-9 ? -1 : place(value) > 1 + 1e-9 ? 1 : 0),
    at: (share) => low + share * (high - low),
    ticks: (most) => (axis.names ? named(axis, low, high, most) : log ? decades(low, high, most, hasZero && least - gap)
      : even(low, high, most, axis.whole)).map(([value, label]) => ({ share: (value - low) / (high - low), label })),
  };
}

function ends(places, axis, log) {
  let [low, high] = [Math.min(...places), Math.max(...places)];
  if (axis.names) return [-0.5, axis.names.length - 0.5];
  if (low === high) {
    const around = log ? 0.5 : Math.abs(low) * 0.1 || 0.5;
    [low, high] = [low - around, high + around];
  }
  const room = 0.04 * high - 0.04 * low;
  const kept = [Math.max(low - room, -LARGEST), Math.min(high + room, LARGEST)];
  return kept[0] < kept[1] ? kept : [-LARGEST, LARGEST];
}

// What is zoomed, neither so close that neighbouring numbers look alike nor so far away that the values are a dot.
function within([from, to], [low, high]) {
  const least = Math.max(CLOSEST * (high - low), FINEST * Math.max(Math.abs(low), Math.abs(high)));
  const width = Math.max(least, Math.min(FARTHEST * (high - low), to - from));
  const centre = Math.max(low, Math.min(high, (from + to) / 2));
  return [centre - width / 2, centre + width / 2];
}

const canBeLog = (axis, values) => !axis.names && values.some((v) => v > 0) && values.every((v) => v >= 0);

function even(low, high, most, whole = false) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(whole ? 1 : 0, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  const digits = Math.max(5, Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / step)) + 1);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) {
    ticks.push([n * step, shown(Number((n * step).toPrecision(12)), digits)]);
  }
  return ticks;
}

function decades(low, high, most, zero) {
  const ticks = [];
  const start = zero === false ? low : Math.max(low, zero + 0.35);
  const [first, last] = [Math.ceil(start - 1e-9), Math.floor(high + 1e-9)];
  const steps = last - first < 2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  for (let power = Math.floor(start); power <= last; power += 1) {
    for (const n of steps) {
      const place = power + Math.log10(n);
      const value = n * 10 ** power;
      const fits = place >= start - 1e-9 && place <= high + 1e-9 && value > 0 && Number.isFinite(value);
      if (fits && (power - first) % every === 0) ticks.push([place, shown(value)]);
    }
  }
  if (ticks.length < 2) {
    const values = even(10 ** start, 10 ** high, Math.min(most, 4)).map(([value, label]) => [Math.log10(value), label]);
    ticks.splice(0, ticks.length, ...values);
  }
  if (zero !== false && zero >= low && zero <= high) ticks.unshift([zero, "0"]);
  return ticks;
}

function named(axis, low, high, most) {
  const every = Math.max(1, Math.ceil((high - low) / most));
  const ticks = axis.names.map((name, number) => [number, middle(name, 16)]);
  return ticks.filter(([number]) => number % every === 0 && number >= low && number <= high);
}
