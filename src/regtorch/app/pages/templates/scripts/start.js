// Put charts, filters and the table's tools into each experiment's section.
const charts = JSON.parse(document.querySelector("#charts")?.textContent ?? "[]");
for (const data of charts) {
  const section = document.getElementById(data.section);
  const table = section.querySelector("table.sortable");
  data.settings = [...table.tBodies[0].rows].map((row) => row.querySelector("summary code").textContent);
  for (const axis of data.axes.filter((one) => one.named)) {
    const factor = data.factors.find((one) => one.key === axis.factor);
    Object.assign(axis, { names: factor.values, values: data.runs.setting.map((setting) => factor.of[setting]) });
  }
  const filter = new Filter(data);
  const place = section.querySelector(".of-script");
  if (data.runs.name.length > 1) place.append(html("h3", {}, "Chart of the runs"));
  if (data.factors.length) place.append(filter.element);
  if (data.runs.name.length > 1) place.append(new Points(data, filter).element);
  if (data.curves.metrics.length) place.append(html("h3", {}, "Learning curves of all settings"), new Lines(data, filter).element);
  table.closest(".scroll").before(new Rows(data, filter, table).element);
}

// A link to a row opens what folds it in, and shows its command.
function unfold() {
  const row = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!row || row.tagName !== "TR") return;
  for (let part = row.parentElement; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  row.querySelector("details").open = true;
  row.scrollIntoView({ block: "center" });
  row.querySelector("summary").focus({ preventScroll: true });
}
addEventListener("hashchange", unfold);
unfold();
