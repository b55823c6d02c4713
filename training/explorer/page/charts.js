"use strict";
/* Line charts of a market, as SVG: no library, so that they draw in a millisecond and work from a file. */

const Charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const SHAPES = {
    o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
    s: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    "^": (r) => `M0,${-1.2 * r}L${1.1 * r},${0.9 * r}H${-1.1 * r}Z`,
    D: (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0Z`,
    v: (r) => `M0,${1.2 * r}L${1.1 * r},${-0.9 * r}H${-1.1 * r}Z`,
    P: (r) => `M${-r / 2},${-r}h${r}v${r / 2}h${r / 2}v${r}h${-r / 2}v${r / 2}h${-r}v${-r / 2}h${-r / 2}v${-r}h${r / 2}Z`,
    X: (r) => `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`,
    "<": (r) => `M${-1.2 * r},0L${0.9 * r},${-1.1 * r}V${1.1 * r}Z`,
    ">": (r) => `M${1.2 * r},0L${-0.9 * r},${-1.1 * r}V${1.1 * r}Z`,
    p: (r) => `M0,${-1.2 * r}L${1.1 * r},${-0.4 * r}L${0.7 * r},${r}H${-0.7 * r}L${-1.1 * r},${-0.4 * r}Z`,
    h: (r) => `M${-r},${-r / 2}L0,${-1.2 * r}L${r},${-r / 2}V${r / 2}L0,${1.2 * r}L${-r},${r / 2}Z`,
    "*": (r) => `M0,${-1.3 * r}L${r / 2},${r}L${-1.2 * r},${-r / 3}H${1.2 * r}L${-r / 2},${r}Z`,
  };
  const MARGIN = { left: 48, right: 10, top: 8, bottom: 38 };

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  /* At most so many round numbers from low to high. */
  function ticks(low, high, most) {
    const raw = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((each) => each * unit >= raw * (1 - 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  /* A number with so many digits, as Python's f"{value:.4f}" has it, zero without a sign. */
  function fixed(value, digits) {
    if (value === null || value === undefined) return "–";
    const text = Math.abs(value) < 1e6 ? value.toFixed(digits) : value.toPrecision(digits + 4);
    return Number(text) === 0 ? text.replace("-", "") : text;
  }

  /* Least and greatest of several lists, with room around. */
  function range(lists) {
    const values = lists.flat().filter((each) => each !== null && each !== undefined);
    let low = Math.min(...values), high = Math.max(...values);
    if (!values.length) [low, high] = [0, 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    if (high - low < 1e-9 * Math.max(Math.abs(low), Math.abs(high))) return [low - room, high + room];
    return [low - room, high + room];
  }

  const color = (value) => (value === "#000000" ? "currentColor" : value);

  /* A marker with a line, for a legend. */
  function swatch(agent, dashed = false) {
    const line = element("line", { x1: 0, x2: 28, y1: 7, y2: 7, stroke: color(agent.color), "stroke-width": 2 });
    if (dashed) line.setAttribute("stroke-dasharray", "5 4");
    const made = element("svg", { width: 28, height: 14, class: "swatch", "aria-hidden": "true" }, line);
    if (agent.marker && !dashed) made.append(marker(agent, 14, 7));
    return made;
  }

  function marker(agent, x, y, r = 3.6) {
    const shape = (SHAPES[agent.marker] || SHAPES.o)(r);
    const look = { fill: color(agent.color), stroke: color(agent.color), "stroke-width": agent.marker === "X" ? 2 : 0 };
    return element("path", { d: shape, transform: `translate(${x},${y})`, ...look });
  }

  /* Draw a chart into a figure.
     series: {agent, values, dashed, step, thin}; times has one more entry than the values of steps.
     handles: {label, color, times, values, low, high, unit, onMove(index, value), onStep(index, difference),
     onHold(limits or null)} */
  function draw(figure, { title, times, series, limits, handles = null, digits = 3 }) {
    const holder = figure.querySelector(".chart");
    const width = Math.max(holder.clientWidth, 200), height = 220;
    const [low, high] = limits;
    const x = (t) => MARGIN.left + ((t - times[0]) / (times[times.length - 1] - times[0])) * (width - MARGIN.left - MARGIN.right);
    const y = (v) => MARGIN.top + ((high - v) / (high - low)) * (height - MARGIN.top - MARGIN.bottom);
    const parts = [];
    const vertical = ticks(low, high, 5), horizontal = ticks(times[0], times[times.length - 1], 5);
    for (const v of vertical.found) {
      parts.push(element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(v), y2: y(v) }));
      parts.push(element("text", { class: "tick", x: MARGIN.left - (handles ? 12 : 6), y: y(v) + 4, "text-anchor": "end" }, fixed(v, vertical.digits)));
    }
    for (const t of horizontal.found) {
      parts.push(element("line", { class: "grid", x1: x(t), x2: x(t), y1: MARGIN.top, y2: height - MARGIN.bottom }));
      parts.push(element("text", { class: "tick", x: x(t), y: height - 22, "text-anchor": "middle" }, fixed(t, horizontal.digits)));
    }
    parts.push(element("text", { class: "tick", x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 5, "text-anchor": "middle" }, "time"));
    const lines = element("g", { class: "series" });
    const agents = [...new Set(series.map((each) => each.agent))];
    series.forEach((each) => lines.append(...curve(each, agents.indexOf(each.agent), times, x, y)));
    parts.push(lines);
    const cursor = element("line", { class: "cursor", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" });
    parts.push(cursor);
    const focused = document.activeElement && holder.contains(document.activeElement) ? document.activeElement.dataset.knot : null;
    const old = holder.querySelector("svg");
    const svg = old || element("svg", { role: "group" });
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", title);
    const kept = old && handles ? old.querySelector(".handles") : null;
    const group = handles ? knots(kept, svg, handles, x, y, { low, high, height }) : null;
    if (group) parts.push(group);
    if (kept && group === kept) {  // a handle that is held stays in the page
      for (const each of [...svg.childNodes]) if (each !== kept) each.remove();
      kept.before(...parts.slice(0, -1));
    } else {
      svg.replaceChildren(...parts);
    }
    if (!old) holder.append(svg);
    if (focused !== null && focused !== undefined && group !== kept) svg.querySelector(`[data-knot="${focused}"]`)?.focus();
    readout(figure, svg, cursor, times, series, { x, width, digits });
  }

  function curve({ agent, values, dashed, step, thin }, place, times, x, y) {
    const points = [];
    values.forEach((v, k) => {
      if (v === null) return;
      if (step) points.push(`${x(times[k])},${y(v)}`, `${x(times[k + 1])},${y(v)}`);
      else points.push(`${x(times[k])},${y(v)}`);
    });
    const line = element("polyline", { points: points.join(" "), stroke: color(agent.color), class: `line${dashed ? " ghost" : ""}${thin ? " thin" : ""}` });
    if (dashed || !agent.marker) return [line];
    const marks = [];
    const every = Math.max(1, Math.round(values.length / 4));
    for (let k = place % every; k < values.length; k += every) {
      const t = step ? (times[k] + times[k + 1]) / 2 : times[k];
      if (values[k] !== null) marks.push(marker(agent, x(t), y(values[k])));
    }
    return [line, ...marks];
  }

  /* Handles of a curve: sliders for a pointer and for the keyboard. */
  function knots(kept, svg, handles, x, y, view) {
    const name = `${handles.label}|${handles.times.length}`;
    const group = kept && kept.dataset.name === name ? kept : element("g", { class: "handles" });
    if (group !== kept) {
      group.dataset.name = name;
      handles.times.forEach((t, i) => {
        const made = element("circle", { class: "handle", r: 8, role: "slider", tabindex: 0, "data-knot": i, "aria-orientation": "vertical" });
        made.addEventListener("keydown", (event) => onKey(event, group, i));
        made.addEventListener("pointerdown", (event) => onPress(event, svg, group, i));
        group.append(made);
      });
    }
    group.state = { handles, view, y };
    handles.times.forEach((t, i) => {
      const made = group.children[i], value = handles.values[i];
      made.setAttribute("cx", x(t));
      made.setAttribute("cy", y(Math.min(Math.max(value, view.low), view.high)));
      made.setAttribute("stroke", color(handles.color));
      made.setAttribute("aria-label", `${handles.label} at time ${fixed(t, 2)}`);
      made.setAttribute("aria-valuenow", Number(value.toFixed(4)));
      made.setAttribute("aria-valuemin", handles.low === null ? Number((value - 100 * handles.unit).toFixed(4)) : handles.low);
      made.setAttribute("aria-valuemax", handles.high === null ? Number((value + 100 * handles.unit).toFixed(4)) : handles.high);
      made.setAttribute("aria-valuetext", fixed(value, 3));
    });
    return group;
  }

  function onKey(event, group, i) {
    const { handles } = group.state;
    const unit = handles.unit / 4;
    const moves = { ArrowUp: unit, ArrowRight: unit, ArrowDown: -unit, ArrowLeft: -unit, PageUp: 4 * unit, PageDown: -4 * unit };
    if (!(event.key in moves)) return;
    event.preventDefault();
    handles.onStep(i, moves[event.key]);
  }

  function onPress(event, svg, group, i) {
    event.preventDefault();
    const handle = group.children[i];
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const { view, handles } = group.state;
    const height = view.height - MARGIN.top - MARGIN.bottom;
    const perPixel = (view.high - view.low) / height;  // as it was pressed: axes may move meanwhile
    const from = handles.values[i], start = event.clientY;
    handles.onHold([view.low, view.high]);
    const move = (moved) => group.state.handles.onMove(i, from - (moved.clientY - start) * perPixel);
    const end = () => {
      group.state.handles.onHold(null);
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  }

  /* The numbers at the pointer, in the figure's last line. */
  function readout(figure, svg, cursor, times, series, { x, width, digits }) {
    const line = figure.querySelector(".readout");
    const show = (fraction) => {
      const t = times[0] + fraction * (times[times.length - 1] - times[0]);
      let k = 0;
      const step = series.length && series[0].step;
      while (k < times.length - 1 && (step ? times[k + 1] <= t : (times[k] + times[k + 1]) / 2 <= t)) k++;
      if (step) k = Math.min(k, times.length - 2);
      const at = step ? (times[k] + times[k + 1]) / 2 : times[k];
      cursor.setAttribute("x1", x(at));
      cursor.setAttribute("x2", x(at));
      cursor.setAttribute("visibility", "visible");
      const texts = series.filter((each) => !each.dashed).slice(0, 12).map((each) => `${each.agent.name} ${fixed(each.values[k], digits)}`);
      line.textContent = `t = ${fixed(at, 3)}: ${texts.join(", ")}`;
    };
    const inner = width - MARGIN.left - MARGIN.right;
    svg.onpointermove = (event) => {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) * width) / box.width;
      figure.shown = Math.min(Math.max((at - MARGIN.left) / inner, 0), 1);
      show(figure.shown);
    };
    svg.onpointerleave = () => {
      figure.shown = null;
      cursor.setAttribute("visibility", "hidden");
      line.textContent = "";
    };
    if (figure.shown !== null && figure.shown !== undefined) show(figure.shown);
  }

  /* An empty figure. */
  function figure(title) {
    const made = document.createElement("figure");
    made.innerHTML = `<figcaption></figcaption><div class="chart"></div><p class="readout"></p>`;
    made.querySelector("figcaption").textContent = title;
    return made;
  }

  return { draw, figure, fixed, range, swatch };
})();
