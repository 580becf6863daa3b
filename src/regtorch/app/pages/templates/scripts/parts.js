// Elements, the values that charts colour by, and what is kept while a served page reloads.
const live = document.body.dataset.live !== undefined;

function element(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const html = (tag, attributes = {}, ...children) => element(document.createElement(tag), attributes, children);
const shape = (tag, attributes = {}, ...children) =>
  element(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function select(label, names, chosen, change) {
  const options = names.map((name, number) => html("option", { value: number, selected: number === chosen }, short(name, 60)));
  const box = html("select", { change: () => change(Number(box.value)) }, ...options);
  return html("label", {}, `${label} `, box);
}

function check(label, checked, change) {
  const box = html("input", { type: "checkbox", checked, change: () => change(box.checked) });
  return html("label", { class: "check" }, box, ` ${label}`);
}

const button = (label, click) => html("button", { type: "button", click }, label);
const several = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const middle = (text, most) => // long names often differ in their ends
  (text.length > most ? `${text.slice(0, most / 2)}…${text.slice(1 - most / 2)}` : text);

function shown(value, digits = 5) {
  if (value === null || value === undefined) return "none";
  if (typeof value !== "number") return value === "nan" ? "not finite" : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) {
    return value.toExponential(Math.max(3, digits - 2)).replace(/\.?0*e/, "e").replace("e+", "e");
  }
  return String(Number(value.toPrecision(Math.min(digits, 15))));
}

// Colours: a sequence from weak to strong for three numbers and more, else a colour and a sign for each value.
const SIGNS = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.6,-3.6h7.2v7.2h-7.2z", "M0,-4.6L4.4,3.4H-4.4z", "M0,-5L5,0L0,5L-5,0z",
  "M0,4.6L4.4,-3.4H-4.4z", "M-1.6,-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z", "M-4.4,-2.2h8.8v4.4h-8.8z",
];
const STEPS = 8; // of --seq0 to --seq8

function palette(factor) {
  const plain = { of: () => ({ colour: "var(--line0)", sign: SIGNS[0] }), keys: [] };
  if (!factor) return plain;
  const numbers = factor.values.map(Number);
  const absent = { colour: "var(--faint)", sign: SIGNS[6], label: `${factor.key} not set` };
  let looks;
  if (numbers.length > 2 && numbers.every(Number.isFinite)) {
    const positive = numbers.filter((n) => n > 0);
    const log = numbers[0] >= 0 && Math.max(...positive) > 20 * Math.min(...positive);
    const place = (n) => (log ? Math.log10(Math.max(n, Math.min(...positive))) : n);
    const [low, high] = [place(numbers[0]), place(numbers[numbers.length - 1])];
    looks = numbers.map((n, i) => ({
      colour: `var(--seq${Math.round((STEPS * (place(n) - low)) / (high - low || 1))})`,
      sign: SIGNS[0], label: `${factor.key}=${factor.values[i]}`,
    }));
  } else {
    looks = factor.values.map((text, i) => (i < SIGNS.length
      ? { colour: `var(--line${i})`, sign: SIGNS[i], label: `${factor.key}=${text}` }
      : { colour: "var(--faint)", sign: SIGNS[0], label: several(factor.values.length - SIGNS.length, "other") }));
  }
  const of = (setting) => looks[factor.of[setting]] ?? absent;
  const named = looks.length > 9 && looks[0].colour.includes("seq")
    ? [0, 1, 2, 3, 4].map((part) => looks[Math.round((part * (looks.length - 1)) / 4)])
    : looks.slice(0, SIGNS.length + 1 + 2 * looks[0].colour.includes("seq"));
  return { of, keys: factor.of.includes(null) ? [...named, absent] : named };
}

function legend(colours) {
  return html("ul", { class: "legend" }, ...colours.keys.map((look) => html("li", {},
    shape("svg", { viewBox: "-6 -6 12 12", class: "key", "aria-hidden": "true" },
      shape("path", { d: look.sign, style: `fill: ${look.colour}` })), ` ${short(look.label, 80)}`)));
}

// A page that follows a sweep reloads: it keeps what was chosen, by name, as there may be more to choose from.
const at = (names, name, otherwise) => (names.includes(name) ? names.indexOf(name) : otherwise);
const colourAt = (factors, key, otherwise) => (key === "" ? -1 : at(factors.map((factor) => factor.key), key, otherwise));

function recalled(name, first) {
  try {
    return live ? { ...first, ...JSON.parse(sessionStorage.getItem(name) ?? "{}") } : first;
  } catch {
    return first;
  }
}

function keep(name, state) {
  try {
    if (live) sessionStorage.setItem(name, JSON.stringify(state));
  } catch { /* no storage here: the choice is lost with a reload */ }
}
