"""The pages of reports; names behind a dollar are filled in."""

from __future__ import annotations

import json
from string import Template

from plotly.offline import get_plotlyjs

from ...envs.palette import COLORS, COLORS_ON_DARK
from ..common.overflow import OVERFLOW
from .page_script import SCRIPT

INK, STRONG, MIDDLE, WEAK = "#1a1a1a", "#555555", "#8a8a8a", "#bdbdbd"
"""what is nobody's: black and greys, which no agent has"""
_GREYS_ON_DARK = {INK: "#ececec", STRONG: "#bbbbbb", MIDDLE: "#8f8f8f", WEAK: "#606060", "#ffffff": "#14161a"}


def tint(color: str) -> str:
    """A colour, ``#rrggbb``, as that of a band behind lines."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.22)"


ON_DARK = {**dict(zip(COLORS, COLORS_ON_DARK, strict=True)), **_GREYS_ON_DARK}
ON_DARK |= {tint(color): tint(other) for color, other in ON_DARK.items()}
"""by colour: what it is in the dark"""
_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1a1a1a, #ececec); --paper: light-dark(#ffffff, #14161a);
  --muted: light-dark(#555555, #b4b4b4); --rule: light-dark(#dddddd, #3a3d44); --strong: light-dark(#767676, #8c8f96);
  --soft: light-dark(#f4f4f4, #20232a); --link: light-dark(#00538a, #8cc4ff); }
:root[data-theme=light] { color-scheme: light; } :root[data-theme=dark] { color-scheme: dark; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }
header, main { max-width: 84rem; margin: 0 auto; padding: 1.5rem 1rem 0; } main { padding: 0 1rem 3rem; }
header > div { display: flex; gap: 1rem; justify-content: space-between; align-items: flex-start; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; } h3 { font-size: 1rem; margin: .75rem 0 0; }
p, nav { max-width: 60rem; } p.lead { font-size: 1.05rem; } .muted { color: var(--muted); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .5rem 0; padding: 0; }
a { color: var(--link); }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: .5rem; top: .5rem; padding: .4rem; background: var(--paper); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
button, .tools a { font: inherit; font-size: .85rem; line-height: 1.3; color: var(--ink); background: var(--soft);
  border: 1px solid var(--strong); border-radius: .3rem; padding: .15rem .55rem; cursor: pointer; text-decoration: none;
  display: inline-flex; align-items: center; gap: .4rem; }
button:hover, .tools a:hover { border-color: var(--ink); }
.legend { display: flex; flex-wrap: wrap; gap: .4rem; margin: .5rem 0; }
.legend button[aria-pressed=false] { text-decoration: line-through; color: var(--muted); background: var(--paper); }
.legend button[aria-pressed=false] svg { opacity: .25; }
.swatch { color: light-dark(var(--light), var(--dark)); flex: none; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem; margin: .2rem 0 .9rem; }
figure { margin: 0; min-width: 0; } .chart { min-width: 0; }
.panels { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem 1.5rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 0 2rem; }
@media (max-width: 48rem) { .panels { grid-template-columns: minmax(0, 1fr); } }
.scroll-cue { margin: .5rem 0 -.3rem; font-size: .8rem; text-align: right; color: var(--muted); }
.table { min-width: 0; } .scroll { overflow: auto; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding: .2rem 0; font-size: .9rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2.5rem); }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
.words { text-align: left; }
th { font-weight: 600; } tbody th { font-weight: 400; text-align: left; } th:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--strong); white-space: normal; vertical-align: bottom; }
tbody th { position: sticky; left: 0; background: var(--paper); white-space: normal; overflow-wrap: anywhere;
  min-width: 7rem; }
tbody tr + tr th { box-shadow: 0 -1px var(--rule); }
.table:not(.settings) .scroll { max-height: 40rem; }
thead th { position: sticky; top: 0; background: var(--paper); } thead th:first-child { left: 0; z-index: 1; }
.settings table { min-width: min(100%, 22rem); }
.settings tbody th { white-space: nowrap; max-width: none; }
.settings td { white-space: normal; overflow-wrap: anywhere; text-align: left; min-width: 8rem; }
.settings thead th { text-align: left; }
@media (max-width: 48rem) { tbody th { max-width: 9rem; } th, td { padding: .3rem .4rem; } }
@media print { nav, button, .tools, .scroll-cue { display: none; }
  .table .scroll { max-height: none !important; overflow: visible; } }
"""
_HEAD = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>makertaker: $name</title><style>"""
    + _STYLE
    + """</style><script>$plotly</script></head>
<body><a class="skip" href="#content">Skip to the content</a>
<header><div><h1>$title</h1>
<button type="button" id="theme" aria-pressed="false">dark</button></div>
<nav aria-label="Contents"><ul>$contents</ul></nav></header>
<main id="content">
"""
)
_END = """</main><script>$script</script></body></html>
"""
PAGE = Template(
    _HEAD
    + """<p class="muted">$description Algorithm $algorithm, $timesteps joint market steps, seed $seed, information of
the actors: $information.</p>
<p class="lead">NashConv, the sum of all agents' gains by best responses against $against: <strong>$nash_conv</strong>
of the sum of the equilibrium payoffs' sizes, which is $nash_conv_currency of $size in the currency of payoffs. Relative
distance of the controls to the equilibrium's: <strong>$distance</strong>.</p>$remarks
<h2 id="agents">Agents</h2>$agents$starts
<h2 id="parts">Payoffs in parts</h2>$parts
<h2 id="profiles">Beside other profiles</h2>
<p class="muted">Whole profiles: where an agent fares better than in equilibrium, others fare worse or would gain by
deviating.</p>
$profiles$notes$feedback
<h2 id="paths">Learned against equilibrium</h2>$responses
$legend<div class="panels">$panels</div>
<h2 id="training">Exploitability over training</h2>
<p class="muted">Evaluated without exploration, against opponents that do not react. Relative: over the sum of the
equilibrium payoffs' sizes, $size.</p>
<div class="panels">$learning</div>
<h2 id="settings">Settings and versions</h2>
$settings
"""
    + _END
)
"""of a run"""
COMPARISON = Template(
    _HEAD
    + """<p class="muted">Groups of trainings that differ in their seeds alone, the least relative NashConv first:
the sum of all agents' gains by best responses, over the sum of the equilibrium payoffs' sizes. Numbers are medians over
seeds; intervals are 95% bootstrap intervals of the median. They lie between the least and the greatest seed: fewer than
six seeds give them less than their name says.</p>$remarks
<h2 id="groups">Groups</h2>
$groups
<p class="tools">$downloads</p>
<h2 id="agents">Agents</h2>
$agents
<h2 id="final">Final NashConv</h2>
<p class="muted">A dot for each seed, a diamond at the median, and its interval.</p>$final
<h2 id="training">NashConv over training</h2>
<p class="muted">Against open-loop opponents, evaluated without exploration: the median over seeds, and a band for the
middle half of them.</p>$legend$learning
$seeds
<h2 id="differences">What differs in configuration</h2>
$differences
<h2 id="settings">Settings and versions</h2>
<p class="muted">$about</p>
$settings
"""
    + _END
)
"""of trainings beside each other"""


def filled(page: Template, name: str, title: str, contents: dict[str, str], **parts: object) -> str:
    """A page as text.

    Args:
        page: one of these.
        name: in the window's title, HTML.
        title: the heading, HTML.
        contents: of its sections by anchor.
        parts: the others, HTML.
    """
    links = "".join(f'<li><a href="#{anchor}">{each}</a></li>' for anchor, each in contents.items())
    script = OVERFLOW + SCRIPT.replace("ON_DARK", json.dumps(ON_DARK))
    return page.substitute(parts, name=name, title=title, contents=links, script=script, plotly=get_plotlyjs())
