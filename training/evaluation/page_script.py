"""The script of the pages of reports: figures in light and dark, legends that hide lines, downloads of pictures."""

SCRIPT = r"""(() => {
"use strict";
const onDark = ON_DARK, root = document.documentElement, button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)"), coarse = matchMedia("(pointer: coarse)").matches;
const stored = { // a browser may refuse to keep anything for files
  get() { try { return localStorage.getItem("makertaker-theme"); } catch { return null; } },
  set(value) { try { localStorage.setItem("makertaker-theme", value); } catch { /* it lasts as long as the page */ } },
};
const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
const themed = value => typeof value === "string" ? (onDark[value] ?? value)
  : Array.isArray(value) ? value.map(themed)
  : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v)]))
  : value;
const figures = [...document.querySelectorAll("figure")].map(element => ({
  element, chart: element.querySelector(".chart"), hidden: new Set(),
  spec: JSON.parse(element.querySelector("script").textContent),
}));
const shown = figure => figure.spec.data.map(trace => ({ ...trace,
  visible: !Object.entries(trace.meta ?? {}).some(([key, value]) => figure.hidden.has(`${key} ${value}`)) }));
const look = isDark => {
  const [ink, rule, paper] = isDark ? ["#ececec", "#3a3d44", "#20232a"] : ["#1a1a1a", "#e2e2e2", "#ffffff"];
  return { ink, rule, paper };
};
const axes = (layout, { ink, rule }) => Object.fromEntries(Object.keys(layout).filter(k => /^[xy]axis/.test(k)).map(k =>
  [k, { ...layout[k], gridcolor: rule, zerolinecolor: rule, linecolor: ink, tickcolor: rule }]));
const styled = (figure, isDark) => {
  const colors = look(isDark), recolor = isDark ? themed : value => value;
  const layout = { ...recolor(figure.spec.layout), ...axes(figure.spec.layout, colors),
    font: { color: colors.ink, family: "system-ui, sans-serif", size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { bgcolor: colors.paper, bordercolor: colors.ink, font: { color: colors.ink }, namelength: -1 },
    dragmode: coarse ? false : "zoom" };
  return { data: recolor(shown(figure)), layout };
};
const draw = figure => {
  const { data, layout } = styled(figure, dark());
  return Plotly.react(figure.chart, data, layout, { responsive: true, displayModeBar: false });
};
const retheme = () => {
  button.textContent = dark() ? "light" : "dark";
  button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`);
  button.setAttribute("aria-pressed", String(dark()));
  figures.forEach(draw);
};
button.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  stored.set(root.dataset.theme);
  retheme();
});
system.addEventListener("change", retheme);
document.querySelectorAll(".legend button").forEach(entry => entry.addEventListener("click", () => {
  const on = entry.getAttribute("aria-pressed") !== "true", name = `${entry.dataset.key} ${entry.dataset.value}`;
  entry.setAttribute("aria-pressed", String(on));
  figures.filter(each => each.element.dataset.legend === entry.parentElement.dataset.legend).forEach(each => {
    on ? each.hidden.delete(name) : each.hidden.add(name);
    draw(each);
  });
}));
const save = async (figure, format) => { // on white, with a title and a legend of its own
  const { data, layout } = styled(figure, false);
  const wide = { ...layout, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", showlegend: data.length > 1,
    title: { text: figure.element.dataset.title }, margin: { l: 80, r: 20, t: 60, b: 60 },
    legend: { orientation: "h", y: -0.2, traceorder: "normal" } };
  const size = { format, width: 1000, height: 640, scale: format === "png" ? 2 : 1 };
  const link = document.createElement("a");
  link.href = await Plotly.toImage({ data, layout: wide }, size);
  link.download = `${figure.element.dataset.name}.${format}`;
  link.click();
};
figures.forEach(figure => figure.element.querySelectorAll("button[data-save]").forEach(each =>
  each.addEventListener("click", () => save(figure, each.dataset.save))));
if (["light", "dark"].includes(stored.get())) root.dataset.theme = stored.get();
retheme();
})();
"""
