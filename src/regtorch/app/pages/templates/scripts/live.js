// A served page asks every few seconds whether there is something new, and then loads anew with all that was chosen.
const EVERY = 3000;
const IDLE = 4000; // a page does not change under the hands of its reader

function follow() {
  const stamp = `"${document.body.dataset.live}"`;
  const note = html("span");
  let paused = recalled("live", { paused: false }).paused;
  let touched = 0;
  const pause = button(paused ? "Follow" : "Pause", () => {
    paused = !paused;
    keep("live", { paused });
    pause.textContent = paused ? "Follow" : "Pause";
    say(paused ? "Not following the runs." : "Following the runs.");
  });
  const say = (text) => { if (note.textContent !== text) note.textContent = text; };
  say(paused ? "Not following the runs." : "Following the runs.");
  document.querySelector("h1").after(html("p", { class: "live note", role: "status" }, note, " ", pause));
  for (const kind of ["keydown", "pointerdown", "wheel"]) {
    addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  }
  setInterval(async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store", headers: { "If-None-Match": stamp } });
      if (answer.status === 304) say("Following the runs.");
      else if (!answer.ok) say(`The program answers ${answer.status}; this is the last page.`);
      else if (Date.now() - touched > IDLE) renew();
    } catch {
      say("The program has ended; this is the last page.");
    }
  }, EVERY);
}

const folds = () => [...document.querySelectorAll("details")];
const labelOf = (node) => (node.tagName === "SELECT" ? node.closest("label").firstChild : node.closest("label") ?? node).textContent;
const nameOf = (node) =>
  [node.closest("section")?.id, node.tagName, node.getAttribute("aria-label") ?? labelOf(node).slice(0, 60)].join(" ");
const stops = () => [...document.querySelectorAll("a, button, select, input, summary, [tabindex]")];

function renew() {
  keep("open", { open: folds().filter((part) => part.open).map(nameOf) });
  keep("focus", { focus: document.activeElement === document.body ? "" : nameOf(document.activeElement) });
  location.reload();
}

if (live) {
  follow();
  const open = new Set(recalled("open", { open: [] }).open);
  for (const part of folds()) if (open.has(nameOf(part))) part.open = true;
  const { focus } = recalled("focus", { focus: "" });
  if (focus) stops().find((node) => nameOf(node) === focus)?.focus({ preventScroll: true });
}
