// For keyboards and screen readers, which the theme leaves out in places.
const WIDE = "article pre, .table-wrapper, .cell_output, .picture-box";

// What scrolls is reached by Tab.
function reach() {
  for (const part of document.querySelectorAll(WIDE)) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

// An element as another kind.
function become(part, tag) {
  const other = document.createElement(tag);
  other.className = part.className;
  other.append(...part.childNodes);
  part.replaceWith(other);
  return other;
}

function named() {
  for (const heading of document.querySelectorAll("p.caption[role=heading]")) heading.ariaLevel = "2";
  document.querySelector("aside.sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector("aside.toc-drawer")?.setAttribute("aria-label", "On this page");
  for (const cell of document.querySelectorAll("th")) if (!cell.textContent.trim()) become(cell, "td");
  // The arguments of a long signature are a list of definitions without terms.
  for (const argument of document.querySelectorAll("dt.sig dl > dd")) become(argument, "div").className = "argument";
  for (const list of document.querySelectorAll("dt.sig dl")) become(list, "div");
}

document.addEventListener("DOMContentLoaded", named);
window.addEventListener("load", reach);
window.addEventListener("resize", reach);
