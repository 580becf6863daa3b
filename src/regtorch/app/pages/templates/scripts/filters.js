// The filter of an experiment: which settings its charts and its table show.
const BOXES = 12; // values that have a box each

class Filter {
  constructor(data) {
    this.data = data;
    this.name = `${data.section} filter`;
    this.left = this.recall(); // by factor, the numbers of the values that are left out; -1: not set
    this.listeners = [];
    this.note = html("span", { class: "note" });
    this.parts = html("div", { class: "filters" });
    this.element = html("details", { class: "filter" }, html("summary", {}, "Filter settings ", this.note),
      this.parts, html("p", {}, button("Show all settings", () => this.reset())));
    this.build();
  }

  recall() {
    const was = recalled(this.name, {});
    return Object.fromEntries(this.data.factors.map(({ key, values }, number) =>
      [number, (was[key] ?? []).map((text) => (text === null ? -1 : at(values, text, -2)))]));
  }

  build() {
    this.parts.replaceChildren(...this.data.factors.map((factor, number) => this.part(factor, number)));
  }

  part(factor, number) {
    const values = factor.values.map((text, value) => [text, value]);
    if (factor.of.includes(null)) values.push(["not set", -1]);
    const set = (value, kept) => {
      const without = new Set(this.left[number] ?? []);
      without[kept ? "delete" : "add"](value);
      this.left[number] = [...without];
    };
    const kept = (value) => !(this.left[number] ?? []).includes(value);
    let inner;
    if (values.length <= BOXES) {
      inner = values.map(([text, value]) => check(short(text, 60), kept(value), (on) => {
        set(value, on);
        this.changed();
      }));
    } else if (values.every(([text]) => text === "not set" || Number.isFinite(Number(text)))) {
      const texts = factor.values;
      const on = texts.map((_, value) => value).filter(kept);
      const ends = [on[0] ?? 0, on[on.length - 1] ?? texts.length - 1];
      const range = (end) => (value) => {
        ends[end] = value;
        texts.forEach((_, place) => set(place, place >= ends[0] && place <= ends[1]));
        this.changed();
      };
      inner = [select("from", texts, ends[0], range(0)), select("to", texts, ends[1], range(1))];
      if (values.length > texts.length) inner.push(check("not set", kept(-1), (shown) => { set(-1, shown); this.changed(); }));
    } else {
      const box = html("input", { type: "search", input: () => {
        values.forEach(([text, value]) => set(value, text.toLowerCase().includes(box.value.toLowerCase())));
        this.changed();
      } });
      inner = [html("label", {}, "contains ", box)];
    }
    return html("fieldset", {}, html("legend", {}, short(factor.key, 80)), ...inner);
  }

  reset() {
    this.left = {};
    this.build();
    this.changed();
  }

  passes(setting) {
    return Object.entries(this.left).every(([number, values]) =>
      !values.includes(this.data.factors[number]?.of[setting] ?? -1));
  }

  changed() {
    const { factors } = this.data;
    keep(this.name, Object.fromEntries(Object.entries(this.left).map(([number, values]) =>
      [factors[number].key, values.map((value) => factors[number].values[value] ?? null)])));
    for (const listener of this.listeners) listener();
  }

  // Call `listener` now and after each change.
  follow(listener) {
    this.listeners.push(listener);
    listener();
  }
}
