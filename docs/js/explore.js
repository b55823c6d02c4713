"use strict";
/* The explorer of the documentation: equilibria that were solved before (EQUILIBRIA), drawn by Charts. */

(() => {
  const { draw, figure, fixed, range, swatch } = Charts;
  const root = document.getElementById("explorer");
  const { agents, times, traders, steps, grid, decimals } = EQUILIBRIA;
  const makers = agents.length - traders;
  const bytes = Uint8Array.from(atob(EQUILIBRIA.numbers), (each) => each.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const rows = [["inventories", agents.length, steps + 1], ["rate", traders, steps], ["ask", makers, steps], ["bid", makers, steps], ["payoffs", 1, agents.length]];
  const size = rows.reduce((sum, [, count, length]) => sum + count * length, 0);
  const place = [...EQUILIBRIA.start];

  /* The equilibrium at the place of every slider. */
  function equilibrium() {
    let at = 4 * size * place.reduce((sum, each, i) => sum * grid[i].values.length + each, 0);
    const next = () => { at += 4; return view.getInt32(at - 4, true) / 10 ** decimals; };
    return Object.fromEntries(rows.map(([name, count, length]) => [name, Array.from({ length: count }, () => Array.from({ length }, next))]));
  }

  const make = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const sliders = make("div", { class: "sliders" });
  grid.forEach(({ key, values }, i) => {
    const bar = make("input", { type: "range", id: `explore-${i}`, min: 0, max: values.length - 1, step: 1 });
    const said = make("output", { for: bar.id });
    bar.value = place[i];
    const show = () => { said.textContent = values[place[i]]; bar.setAttribute("aria-valuetext", values[place[i]]); };
    bar.addEventListener("input", () => { place[i] = Number(bar.value); show(); redraw(); });
    show();
    sliders.append(make("div", {}, make("label", { for: bar.id }, key), said, bar));
  });
  const titles = { inventories: "Inventories, shares", rate: "The buyer's rate, shares / time", ask: "Asks above the reference price, currency", bid: "Bids below the reference price, currency" };
  const figures = Object.fromEntries(Object.entries(titles).map(([key, title]) => [key, figure(title)]));
  const legend = make("p", { class: "legend" }, ...agents.map((agent) => make("span", {}, swatch(agent), agent.name)));
  const body = make("tbody");
  const head = make("tr", {}, ...["agent", "payoff", "inventory at T"].map((each) => make("th", { scope: "col" }, each)));
  const command = make("code");
  root.replaceChildren(sliders, legend, make("div", { class: "charts" }, ...Object.values(figures)), make("table", { class: "agents" }, make("thead", {}, head), body), make("p", {}, "The same: ", command));

  function redraw() {
    const found = equilibrium();
    const who = { inventories: agents, rate: agents.slice(0, traders), ask: agents.slice(traders), bid: agents.slice(traders) };
    for (const [key, place] of Object.entries(figures)) {
      const series = found[key].map((values, i) => ({ agent: who[key][i], values, step: key !== "inventories" }));
      draw(place, { title: titles[key], times, series, limits: range(found[key]), digits: decimals });
    }
    body.replaceChildren(...agents.map(({ name }, i) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, fixed(found.payoffs[0][i], decimals)), make("td", {}, fixed(found.inventories[i][steps], decimals)))));
    command.textContent = `makertaker solve ${EQUILIBRIA.scenario} ${grid.map(({ settings }, i) => `--set "${settings[place[i]]}"`).join(" ")}`;
  }

  redraw();
  let resizing = null;
  addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(redraw); });
})();
