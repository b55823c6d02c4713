// Tables, figures and formulas that are wider than the page scroll: by keyboard too, and a line above says that they do.
const WIDE = ".scroll, .md-typeset__scrollwrap, .md-typeset p:has(> img:only-child), .md-typeset .formula, .md-typeset pre > code";

function mark(region) {
  const over = region.scrollWidth > region.clientWidth + 1;
  if (over || region.scrollHeight > region.clientHeight + 1) region.tabIndex = 0;
  else region.removeAttribute("tabindex");
  if (region.matches("code")) return;
  let cue = region.previousElementSibling;
  if (!cue?.classList.contains("scroll-cue")) cue = null;
  if (!over) cue?.remove();
  else if (!cue) {
    cue = document.createElement("p");
    cue.className = "scroll-cue";
    cue.setAttribute("aria-hidden", "true");
    cue.textContent = "there is more to the right →";
    region.before(cue);
  }
}

function markAll() {
  document.querySelectorAll(WIDE).forEach(mark);
}

addEventListener("load", markAll);
addEventListener("resize", markAll);
