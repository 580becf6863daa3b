// What both charts are made of: controls, a legend, a frame, and words below it. A chart has `state` and `redraw()`.
class Chart {
  build(label, keys, means, words) {
    this.frame = new Frame(this, label, keys);
    this.controls = html("div", { class: "controls" });
    this.legend = html("div");
    this.words = words;
    this.element = html("figure", { class: "explore" }, this.controls, this.legend, this.frame.host, this.frame.tools,
      html("p", { class: "note keys" }, `${means}Drag to zoom. ${keys}.`), this.words);
  }

  change(some) {
    Object.assign(this.state, some);
    this.redraw();
  }
}
