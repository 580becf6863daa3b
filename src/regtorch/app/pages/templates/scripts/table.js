// The table of settings: rows that the filter leaves, and columns that can be hidden.
class Rows {
  constructor(data, filter, table) {
    this.name = `${data.section} table`;
    this.state = recalled(this.name, { off: [], sorted: null });
    this.table = table;
    this.rows = [...table.tBodies[0].rows]; // in the order of the settings, whatever the table is sorted by later
    this.note = html("p", { class: "note" });
    this.heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
    const boxes = this.heads.slice(1).map((head) => check(head, !this.state.off.includes(head), (on) => {
      this.state.off = on ? this.state.off.filter((one) => one !== head) : [...this.state.off, head];
      this.columns();
    }));
    this.element = html("div", { class: "tools-of-table" },
      html("details", {}, html("summary", {}, "Hide columns"), html("div", { class: "boxes" }, ...boxes)), this.note);
    this.columns();
    if (this.state.sorted) {
      const column = this.heads.indexOf(this.state.sorted.head);
      if (column >= 0) sort(table, column, table.tHead.rows[0].cells[column], this.state.sorted.down);
    }
    table.addEventListener("sorted", (event) => {
      this.state.sorted = { head: this.heads[event.detail.column], down: event.detail.down };
      keep(this.name, this.state);
    });
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
      [...row.cells].forEach((cell, number) => { cell.hidden = this.state.off.includes(this.heads[number]); });
    }
    keep(this.name, this.state);
  }
}
