// Learning curves: a line per setting, coloured by a setting; a line ends where a value is not finite.
const CROWD = 40; // more curves are drawn faintly

class Lines extends Chart {
  constructor(data, filter) {
    super();
    Object.assign(this, { data, filter, current: 0, point: 0 });
    const whole = ([setting, place, values]) => [setting, data.curves.epochs[place], values];
    this.metrics = data.curves.metrics.map(({ label, lines }) => ({ label, lines: lines.map(whole) }));
    this.name = `${data.section} curves`;
    const strength = data.factors.findIndex((factor) => factor.key === data.axes[data.x].factor);
    const was = recalled(this.name, {});
    this.state = {
      log: false, zoom: null, ...was,
      metric: at(this.metrics.map((one) => one.label), was.metric, 0),
      colour: colourAt(data.factors, was.colour, Math.max(strength, Math.min(0, data.factors.length - 1))),
      off: (was.off ?? []).map((label) => data.settings.indexOf(label)).filter((setting) => setting >= 0),
    };
    const keys = "Up and down go from curve to curve, left and right from epoch to epoch, H hides a curve, Enter goes to its setting";
    this.single = html("div", { class: "boxes" });
    this.build("Chart of learning curves", keys, "Means over seeds. ", html("p", { class: "note words" }));
    this.element.append(html("details", { toggle: () => this.boxes() }, html("summary", {}, "Hide single curves"), this.single));
    this.frame.svg.addEventListener("pointermove", (event) => this.near(event));
    this.frame.svg.addEventListener("pointerleave", () => this.frame.hide());
    this.control();
    filter.follow(() => this.redraw());
  }

  control() {
    const { factors } = this.data;
    const metric = (number) => {
      this.change({ metric: number, zoom: null, log: false });
      this.control();
      this.controls.querySelector("select").focus();
    };
    const possible = canBeLog({}, this.metrics[this.state.metric].lines.flatMap(([, , values]) => values.filter((v) => v !== null)));
    this.controls.replaceChildren(select("Show", this.metrics.map((one) => one.label), this.state.metric, metric),
      select("Colour", ["one colour", ...factors.map((factor) => factor.key)], this.state.colour + 1,
        (value) => this.change({ colour: value - 1 })),
      ...(possible ? [check("logarithmic", this.state.log, (log) => this.change({ log, zoom: null }))] : []));
  }

  // A box for each curve, made when they are first looked for.
  boxes() {
    if (this.single.children.length) return;
    const settings = [...new Set(this.metrics.flatMap((one) => one.lines.map(([setting]) => setting)))].sort((a, b) => a - b);
    this.single.append(button("Show all curves", () => this.hideAll([])), button("Hide all curves", () => this.hideAll(settings)),
      ...settings.map((setting) => {
        const box = check(short(this.data.settings[setting], 240), !this.state.off.includes(setting), (on) => this.hideOne(setting, !on));
        box.dataset.setting = setting;
        return box;
      }));
  }

  hideAll(off) {
    this.change({ off: [...off] });
    this.tick();
  }

  hideOne(setting, off) {
    this.change({ off: off ? [...this.state.off, setting] : this.state.off.filter((one) => one !== setting) });
    this.tick();
  }

  tick() {
    for (const box of this.single.querySelectorAll("label")) {
      box.firstElementChild.checked = !this.state.off.includes(Number(box.dataset.setting));
    }
  }

  redraw() {
    const { data, state } = this;
    const { label, lines } = this.metrics[state.metric];
    const filtered = lines.filter(([setting]) => this.filter.passes(setting));
    this.shown = filtered.filter(([setting]) => !state.off.includes(setting));
    const values = this.shown.flatMap(([, , own]) => own.filter((value) => value !== null));
    const epochs = this.shown.flatMap(([, own]) => own);
    const wider = ([low, high], value) => [Math.min(low, value), Math.max(high, value)];
    const ends = (list) => (list.length ? list.reduce(wider, [Infinity, -Infinity]) : [0, 1]);
    const log = state.log && canBeLog({}, values);
    const positive = log ? ends(values.filter((value) => value > 0)) : [];
    const x = scale({ label: "epoch", whole: true }, ends(epochs), { zoom: state.zoom?.x });
    const y = scale({ label }, [...ends(values), ...positive], { log, zoom: state.zoom?.y });
    const focused = this.frame.svg.contains(document.activeElement);
    const inside = this.frame.clear(x, y);
    if (this.shown.length > CROWD) inside.setAttribute("class", "crowd");
    const colours = palette(data.factors[state.colour]);
    this.legend.replaceChildren(legend(colours));
    this.drawn = this.shown.map((line) => this.curve(inside, line, colours));
    this.current = Math.min(this.current, Math.max(0, this.drawn.length - 1));
    this.drawn[this.current]?.setAttribute("tabindex", "0");
    if (focused) this.drawn[this.current]?.focus({ preventScroll: true });
    const hidden = filtered.length - this.shown.length;
    this.words.textContent = `${several(this.shown.length, "curve")} of ${lines.length} drawn${hidden ? `, ${hidden} hidden singly` : ""}.`;
    keep(this.name, {
      ...state, metric: label, colour: data.factors[state.colour]?.key ?? "", off: state.off.map((setting) => data.settings[setting]),
    });
  }

  curve(inside, line, colours) {
    const [setting, epochs, values] = line;
    const { x, y } = this.frame;
    let path = "";
    let before = false;
    const alone = [];
    epochs.forEach((epoch, number) => {
      const value = values[number];
      const fits = value !== null && !x.outside(epoch) && !y.outside(value);
      if (fits) {
        const at = this.frame.at(x.place(epoch), y.place(value));
        path += `${before ? "L" : "M"}${at}`;
        if (!before && !(number + 1 < values.length && values[number + 1] !== null)) alone.push(at);
      }
      before = fits;
    });
    const look = colours.of(setting);
    const link = shape("a", { class: "curve", href: `#${this.data.section}-s${setting}`, tabindex: -1, draggable: "false",
      "aria-label": this.lines(line, values.length - 1).join(", "),
      focus: () => this.focused(line), blur: () => this.frame.hide(),
      keydown: (event) => {
        if (event.key === "h" || event.key === "H") this.hideOne(setting, true);
      } },
    shape("path", { class: "line", d: path || "M0,0", style: `stroke: ${look.colour}` }),
    ...alone.map((at) => shape("path", { d: look.sign, transform: `translate(${at})`, style: `fill: ${look.colour}` })));
    inside.append(link);
    return link;
  }

  lines([setting, epochs, values], number) {
    const { label } = this.metrics[this.state.metric];
    return [short(this.data.settings[setting], 240), `epoch ${epochs[number]}: ${label} ${shown(values[number] ?? "nan")}`];
  }

  focused(line) {
    this.drawn[this.current]?.setAttribute("tabindex", "-1");
    this.current = this.shown.indexOf(line);
    this.drawn[this.current].setAttribute("tabindex", "0");
    this.point = Math.max(0, Math.min(this.point, line[1].length - 1));
    this.tell(line, this.point);
  }

  tell(line, number) {
    const { x, y } = this.frame;
    const share = (scale, value) => Math.max(0, Math.min(1, scale.place(value)));
    this.frame.say(this.lines(line, number), this.frame.at(share(x, line[1][number]), share(y, line[2][number] ?? 0)));
  }

  // The point that is nearest to the mouse.
  near(event) {
    if (this.frame.from) return;
    const [left, top] = this.frame.where(event);
    let best = { distance: 30 };
    this.shown.forEach((line, index) => line[1].forEach((epoch, number) => {
      if (line[2][number] === null) return;
      const [a, b] = this.frame.at(this.frame.x.place(epoch), this.frame.y.place(line[2][number]));
      const distance = Math.hypot(a - left, b - top);
      if (distance < best.distance) best = { distance, line, number, index };
    }));
    this.drawn.forEach((one, index) => one.classList.toggle("near", index === best.index));
    if (best.line) this.tell(best.line, best.number);
    else this.frame.hide();
  }

  move(key) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (step) {
      this.drawn[Math.max(0, Math.min(this.drawn.length - 1, this.current + step))]?.focus({ preventScroll: true });
    } else if (this.shown.length) {
      const line = this.shown[this.current];
      const last = line[1].length - 1;
      const next = { ArrowLeft: this.point - 1, ArrowRight: this.point + 1, Home: 0, End: last }[key];
      this.point = Math.max(0, Math.min(last, next));
      this.tell(line, this.point);
      status.textContent = this.lines(line, this.point)[1];
    }
  }
}
