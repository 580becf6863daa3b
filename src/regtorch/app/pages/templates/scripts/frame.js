// The frame of a chart: axes, zoom by mouse, keys and buttons, and a box with the values of what is pointed at.
const ROOM = { left: 74, right: 16, top: 12, bottom: 46 };
const LETTER = 7; // pixels

class Frame {
  // `chart` has `redraw()`, `move(key)` for the arrow keys, and `state.zoom` (null or the ends of both axes).
  constructor(chart, label, keys) {
    this.chart = chart;
    this.box = shape("rect", { class: "rubber", hidden: true });
    this.tip = html("div", { class: "tip", hidden: true });
    this.svg = shape("svg", { role: "group", class: "chart", "aria-label": `${label}. ${keys}` });
    this.host = html("div", { class: "canvas", keydown: (event) => this.key(event) }, this.svg, this.tip);
    this.tools = html("div", { class: "tools", role: "group", "aria-label": "Zoom" },
      button("Zoom in", () => this.zoom(0.5)), button("Zoom out", () => this.zoom(2)), button("Whole chart", () => this.whole()));
    this.svg.addEventListener("pointerdown", (event) => this.start(event));
    this.svg.addEventListener("pointermove", (event) => this.stretch(event));
    this.svg.addEventListener("pointerup", (event) => this.end(event));
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) > 1) {
        width = entry.contentRect.width;
        chart.redraw();
      }
    }).observe(this.host);
  }

  // Draw the axes of two scales; the group for what lies between them.
  clear(x, y) {
    const width = this.host.clientWidth || 640;
    const height = Math.round(Math.max(280, Math.min(440, width * 0.55)));
    const tall = height - ROOM.top - ROOM.bottom;
    const beside = y.ticks(Math.max(2, Math.floor(tall / 50))).map((tick) => ({ ...tick, label: middle(tick.label, 14) }));
    const left = Math.max(ROOM.left, ...beside.map(({ label }) => 26 + LETTER * label.length));
    Object.assign(this, { x, y, width, height, left, inner: [width - left - ROOM.right, tall] });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [right, bottom] = [left + this.inner[0], ROOM.top + this.inner[1]];
    const axes = shape("g", { class: "axes", "aria-hidden": "true" });
    for (const { share, label } of x.ticks(Math.max(2, Math.floor(this.inner[0] / 90)))) {
      const at = left + share * this.inner[0];
      axes.append(shape("path", { class: "grid", d: `M${at},${ROOM.top}V${bottom}` }),
        shape("text", { x: at, y: bottom + 18, "text-anchor": "middle" }, label));
    }
    for (const { share, label } of beside) {
      const at = bottom - share * this.inner[1];
      axes.append(shape("path", { class: "grid", d: `M${left},${at}H${right}` }),
        shape("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, label));
    }
    const characters = (length) => Math.max(12, Math.floor(length / LETTER));
    axes.append(shape("path", { class: "edge", d: `M${left},${ROOM.top}V${bottom}H${right}` }),
      shape("text", { x: left + this.inner[0] / 2, y: height - 6, "text-anchor": "middle" },
        short(x.axis.label, characters(this.inner[0]))),
      shape("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(14,${ROOM.top + this.inner[1] / 2})rotate(-90)` },
        short(y.axis.label, characters(this.inner[1]))));
    const inside = shape("g");
    this.svg.replaceChildren(axes, inside, this.box);
    this.hide();
    return inside;
  }

  at(x, y) {
    return [this.left + x * this.inner[0], ROOM.top + (1 - y) * this.inner[1]];
  }

  where(event) {
    const box = this.svg.getBoundingClientRect();
    const factor = this.width / box.width;
    return [(event.clientX - box.left) * factor, (event.clientY - box.top) * factor];
  }

  say(lines, [x, y]) {
    this.tip.replaceChildren(...lines.map((line) => html("div", {}, line)));
    this.tip.hidden = false;
    const wide = Math.min(this.tip.offsetWidth, this.width);
    this.tip.style.left = `${Math.max(0, Math.min(x + 12, this.width - wide))}px`;
    this.tip.style.top = `${y + 14}px`;
  }

  hide() {
    this.tip.hidden = true;
  }

  key(event) {
    const arrow = event.key.startsWith("Arrow");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.hide();
    else if (arrow && event.shiftKey) this.pan(event.key);
    else if (arrow || event.key === "Home" || event.key === "End") this.chart.move(event.key);
    else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0") this.whole();
    else return;
    event.preventDefault();
  }

  set(x, y) {
    this.chart.state.zoom = { x, y };
    this.chart.redraw();
    status.textContent = "Zoomed";
  }

  whole() {
    this.chart.state.zoom = null;
    this.chart.redraw();
    status.textContent = "The whole chart";
  }

  // Zoom around the point that has the focus, or around the middle.
  zoom(factor) {
    const around = this.chart.centre?.() ?? [0.5, 0.5];
    const ends = (scale, middle) => [scale.at(middle - factor / 2), scale.at(middle + factor / 2)];
    this.set(ends(this.x, factor < 1 ? around[0] : 0.5), ends(this.y, factor < 1 ? around[1] : 0.5));
  }

  pan(key) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    const ends = (scale, by) => [scale.at(by / 4), scale.at(1 + by / 4)];
    this.set(ends(this.x, x), ends(this.y, y));
  }

  start(event) {
    if (event.button === 0 && event.pointerType !== "touch" && !event.target.closest("a.point")) this.from = this.where(event);
  }

  stretch(event) {
    if (!this.from) return;
    const [[x0, y0], [x1, y1]] = [this.from, this.where(event)];
    const big = Math.abs(x1 - x0) > 8 && Math.abs(y1 - y0) > 8;
    this.box.toggleAttribute("hidden", !big);
    if (big) this.svg.setPointerCapture(event.pointerId);
    element(this.box, { x: Math.min(x0, x1), y: Math.min(y0, y1), width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) }, []);
  }

  end(event) {
    const from = this.from;
    this.from = null;
    if (!from || this.box.hasAttribute("hidden")) return;
    this.box.setAttribute("hidden", "");
    const to = this.where(event);
    const shares = [0, 1].map((axis) => [from, to].map((point) =>
      axis ? 1 - (point[1] - ROOM.top) / this.inner[1] : (point[0] - this.left) / this.inner[0]).sort((a, b) => a - b));
    this.set(...[this.x, this.y].map((scale, axis) => shares[axis].map((share) => scale.at(share))));
  }
}
