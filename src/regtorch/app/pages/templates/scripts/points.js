// The chart of runs: a point each, over axes that are chosen, with lines through the means of a setting's values.
class Points extends Chart {
  constructor(data, filter) {
    super();
    Object.assign(this, { data, filter, runs: data.runs.setting.map((_, run) => run) });
    this.name = `${data.section} points`;
    const coloured = data.factors.findIndex((factor) => factor.key !== data.axes[data.x].factor);
    const first = { x: data.x, y: data.y, colour: coloured, log: [!!data.axes[data.x].log, false], far: false, means: true, zoom: null };
    const was = recalled(this.name, {});
    const axis = (which) => at(data.axes.map((one) => one.label), was[which], first[which]);
    this.state = { ...first, ...was, x: axis("x"), y: axis("y"), colour: colourAt(data.factors, was.colour, coloured) };
    this.current = 0; // the run whose point Tab leads to
    const keys = "Arrow keys go from point to point, Enter opens the run, plus and minus zoom, Shift and arrows move, 0 shows all";
    this.build(`Chart of ${data.runs.name.length} runs`, keys, "", html("div", { class: "note words" }));
    this.control();
    filter.follow(() => this.redraw());
  }

  control() {
    const { axes, factors } = this.data;
    const labels = axes.map((axis) => axis.label);
    const along = (which, side) => [
      select(which, labels, this.state[which.toLowerCase()], (value) => {
        this.state.log[side] = !!axes[value].log;
        this.change({ [which.toLowerCase()]: value, zoom: null });
        this.control();
        this.controls.querySelectorAll("select")[side].focus();
      }),
      ...(canBeLog(axes[this.state[which.toLowerCase()]], this.numbers(which.toLowerCase(), this.runs)) ? [
        check(`logarithmic ${which}`, this.state.log[side], (on) => {
          this.state.log[side] = on;
          this.change({ zoom: null });
        })] : []),
    ];
    this.controls.replaceChildren(...along("X", 0), ...along("Y", 1),
      select("Colour", ["one colour", ...factors.map((factor) => factor.key)], this.state.colour + 1,
        (value) => this.change({ colour: value - 1 })),
      check("lines through means", this.state.means, (means) => this.change({ means })),
      ...(["x", "y"].some((which) => axes[this.state[which]].near ?? axes[this.state[which]].nearLog)
        ? [check("far values too", this.state.far, (far) => this.change({ far, zoom: null }))] : []));
  }

  value(which, run) {
    return this.data.axes[this.state[which]].values[run];
  }

  numbers(which, runs) {
    return runs.map((run) => this.value(which, run)).filter((value) => typeof value === "number");
  }

  redraw() {
    const { data, state } = this;
    const shownRuns = this.runs.filter((run) => this.filter.passes(data.runs.setting[run]));
    const drawn = shownRuns.filter((run) => ["x", "y"].every((which) => typeof this.value(which, run) === "number"));
    const dotted = state.means && data.axes[state.x].factor; // lines of runs without X need room, too
    const [x, y] = ["x", "y"].map((which, side) => {
      const axis = data.axes[state[which]];
      const values = this.numbers(which, dotted && which === "y" ? shownRuns : drawn);
      const log = state.log[side] && canBeLog(axis, values);
      return scale(axis, values.length ? values : [0, 1], { log, far: state.far, zoom: state.zoom?.[which] });
    });
    const focused = this.frame.svg.contains(document.activeElement);
    const inside = this.frame.clear(x, y);
    const colours = palette(data.factors[state.colour]);
    this.legend.replaceChildren(legend(colours));
    const beyond = drawn.filter((run) => x.outside(this.value("x", run)) || y.outside(this.value("y", run)));
    if (state.means) this.lines(inside, shownRuns, colours);
    this.points = new Map();
    for (const run of state.zoom ? drawn.filter((one) => !beyond.includes(one)) : drawn) this.point(inside, run, colours);
    if (!this.points.has(this.current)) this.current = this.points.keys().next().value ?? 0;
    this.points.get(this.current)?.setAttribute("tabindex", "0");
    if (focused) this.points.get(this.current)?.focus({ preventScroll: true });
    this.tell(shownRuns, drawn, beyond);
    const name = (which) => data.axes[state[which]].label;
    keep(this.name, { ...state, x: name("x"), y: name("y"), colour: data.factors[state.colour]?.key ?? "" });
  }

  point(inside, run, colours) {
    const { axes, runs, section } = this.data;
    const sides = [this.frame.x.outside(this.value("x", run)), this.frame.y.outside(this.value("y", run))];
    const share = (scale, value) => Math.max(0, Math.min(1, scale.place(value)));
    const at = this.frame.at(share(this.frame.x, this.value("x", run)), share(this.frame.y, this.value("y", run)));
    const look = colours.of(runs.setting[run]);
    const far = sides.some(Boolean);
    const turn = far ? (Math.atan2(sides[0], sides[1]) * 180) / Math.PI : 0;
    const name = (which) => axes[this.state[which]].names?.[this.value(which, run)] ?? shown(this.value(which, run));
    const lines = [`${runs.name[run]}${far ? " (beyond the edge)" : ""}`, short(this.data.settings[runs.setting[run]], 240),
      ...["x", "y"].map((which) => `${axes[this.state[which]].label}: ${name(which)}`)];
    const tell = () => this.frame.say(lines, at);
    const link = shape("a", {
      class: far ? "point far" : "point", href: runs.href[run] || `#${section}-s${runs.setting[run]}`, tabindex: -1, draggable: "false",
      "aria-label": lines.join(", "), pointerenter: tell, pointerleave: () => this.frame.hide(), blur: () => this.frame.hide(),
      focus: () => {
        this.points.get(this.current)?.setAttribute("tabindex", "-1");
        this.current = run;
        link.setAttribute("tabindex", "0");
        tell();
      },
    }, shape("path", { d: far ? SIGNS[2] : look.sign, transform: `translate(${at})rotate(${turn})`, style: `fill: ${look.colour}` }));
    inside.append(link);
    this.points.set(run, link);
  }

  // Means over what has the same value on X and the same other settings: joined where X is a setting with an order, and
  // a dotted line through the whole chart where X has no value, such as that of runs without a penalty.
  lines(inside, runs, colours) {
    const { data, state } = this;
    const axis = data.axes[state.x];
    if (!axis.factor || axis.names) return;
    const others = data.factors.filter((factor) => factor.key !== axis.factor);
    const groups = new Map();
    for (const run of runs.filter((one) => typeof this.value("y", one) === "number")) {
      const setting = data.runs.setting[run];
      const key = others.map((factor) => factor.of[setting]).join();
      const group = groups.get(key) ?? groups.set(key, { setting, places: new Map() }).get(key);
      const place = this.value("x", run);
      group.places.set(place, [...(group.places.get(place) ?? []), this.value("y", run)]);
    }
    const colour = data.factors[state.colour];
    for (const { setting, places } of groups.values()) {
      const mean = (values) => values.reduce((a, b) => a + b) / values.length;
      const means = [...places].filter(([place]) => place !== null).sort((a, b) => a[0] - b[0])
        .map(([place, values]) => [place, mean(values)]);
      const stroke = !colour || colour.key === axis.factor ? "var(--faint)" : colours.of(setting).colour;
      this.join(inside, means, stroke);
      if (places.has(null)) this.across(inside, mean(places.get(null)), colour ? colours.of(setting).colour : stroke);
    }
  }

  join(inside, means, stroke) {
    const { x, y } = this.frame;
    let path = "";
    let before = false;
    for (const [place, mean] of means) {
      const fits = !x.outside(place) && !y.outside(mean);
      if (fits) path += `${before ? "L" : "M"}${this.frame.at(x.place(place), y.place(mean))}`;
      before = fits;
    }
    if (path.includes("L")) inside.append(shape("path", { class: "line", d: path, style: `stroke: ${stroke}` }));
  }

  across(inside, mean, stroke) {
    const { y } = this.frame;
    if (y.outside(mean)) return;
    const ends = [0, 1].map((share) => this.frame.at(share, y.place(mean)));
    inside.append(shape("path", { class: "line dotted", d: `M${ends.join("L")}`, style: `stroke: ${stroke}` }));
  }

  // What the chart does not show, in words.
  tell(runs, drawn, beyond) {
    const { data, state } = this;
    const label = (which) => data.axes[state[which]].label;
    const parts = [`${several(drawn.length, "run")} of ${data.runs.name.length} drawn.`];
    for (const which of state.x === state.y ? ["x"] : ["x", "y"]) {
      const not = runs.filter((run) => this.value(which, run) === "nan");
      const none = runs.filter((run) => this.value(which, run) === null);
      if (not.length) parts.push(`Not finite in ${label(which)}: ${this.names(not)}.`);
      const how = which === "x" && state.means && data.axes[state.x].factor ? ", their mean dotted" : "";
      if (none.length) parts.push(`Without ${label(which)}${how}: ${this.names(none)}.`);
    }
    if (beyond.length) {
      parts.push(state.zoom ? `${several(beyond.length, "run")} outside of what is zoomed.`
        : `Far from the others, drawn as arrows at the edge: ${this.names(beyond)}.`);
    }
    this.words.replaceChildren(...parts.map((part) => html("p", {}, part)));
  }

  names(runs) {
    const named = runs.slice(0, 5).map((run) => short(this.data.runs.name[run], 60)).join("; ");
    return runs.length > 5 ? `${named} and ${runs.length - 5} more` : named;
  }

  centre() {
    const which = [["x", this.frame.x], ["y", this.frame.y]];
    return this.frame.svg.contains(document.activeElement)
      ? which.map(([name, scale]) => Math.max(0, Math.min(1, scale.place(this.value(name, this.current))))) : [0.5, 0.5];
  }

  // The next point to the right or left, or above or below.
  move(key) {
    const which = key === "ArrowUp" || key === "ArrowDown" ? "y" : "x";
    const other = which === "x" ? "y" : "x";
    const order = [...this.points.keys()].sort((a, b) =>
      this.value(which, a) - this.value(which, b) || this.value(other, a) - this.value(other, b) || a - b);
    const last = order.length - 1;
    const now = order.indexOf(this.current);
    const next = { Home: 0, End: last, ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1 }[key];
    this.points.get(order[Math.max(0, Math.min(last, next))])?.focus({ preventScroll: true });
  }
}
