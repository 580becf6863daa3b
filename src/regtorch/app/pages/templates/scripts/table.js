// The table of settings: rows that the filter leaves, and columns that can be hidden.
class Rows {
  constructor(data, filter, table) {
    this.name = `${data.section} table`;
    this.state = recalled(this.name, { off: [] });
    this.table = table;
    this.rows = [...table.tBodies[0].rows]; // in the order of the settings, whatever the table is sorted by later
    this.note = html("p", { class: "note" });
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
    const boxes = heads.slice(1).map((head, number) => check(head, !this.state.off.includes(number + 1), (on) => {
      this.state.off = on ? this.state.off.filter((one) => one !== number + 1) : [...this.state.off, number + 1];
      this.columns();
    }));
    this.element = html("div", { class: "tools-of-table" },
      html("details", {}, html("summary", {}, "Hide columns"), html("div", { class: "boxes" }, ...boxes)), this.note);
    this.columns();
    filter.follow(() => {
      this.rows.forEach((row, setting) => { row.hidden = !filter.passes(setting); });
      const left = this.rows.filter((row) => !row.hidden).length;
      this.note.textContent = left === this.rows.length ? "" : `The filter leaves ${left} of ${several(this.rows.length, "setting")}.`;
      filter.note.textContent = left === this.rows.length ? "" : `${left} of ${this.rows.length} shown`;
      if (left !== this.rows.length) status.textContent = this.note.textContent;
    });
  }

  columns() {
    for (const row of this.table.rows) {
      [...row.cells].forEach((cell, number) => { cell.hidden = this.state.off.includes(number); });
    }
    keep(this.name, this.state);
  }
}
