"""The pages of reports; names behind a dollar are filled in."""

from string import Template

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>makertaker: $name</title><style>
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.lead { font-size: 1.05rem; } .muted { color: #555; } .scroll { overflow-x: auto; }
.panels { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem 1.5rem; }
@media (max-width: 45rem) { .panels { grid-template-columns: minmax(0, 1fr); } }
.panels section { min-width: 0; } h3 { font-size: 1rem; margin: .75rem 0 0; }
table { border-collapse: collapse; margin-bottom: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #888; white-space: normal; vertical-align: bottom; }
.scroll td:first-child, .scroll th:first-child { position: sticky; left: 0; background: #fff; }
@media (max-width: 45rem) { .scroll td:first-child, .scroll th:first-child { white-space: normal; max-width: 9rem;
  overflow-wrap: break-word; } }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; }
</style><script>$plotly</script></head>
<body><main>
"""
_END = """</main></body></html>
"""
PAGE = Template(
    _HEAD
    + """<h1>$scenario: learned policies beside the Nash equilibrium</h1>
<p class="muted">$description. Algorithm $algorithm, $timesteps joint market steps, seed $seed, information of the
actors: $information.</p>
<p class="lead">Relative NashConv <strong>$nash_conv</strong>: the sum of all agents' gains by best responses
against $against, over the sum of the equilibrium payoffs' sizes. Relative distance of the controls to the
equilibrium's: <strong>$distance</strong>.</p>$remarks
<h2>Agents</h2><div class="scroll">$agents</div>$starts
<h2>Beside other profiles</h2>
<p class="muted">Whole profiles: where an agent fares better than in equilibrium, others fare worse or would gain by
deviating.</p>
<div class="scroll">$profiles</div>$notes$feedback
<h2>Learned against equilibrium</h2><p>$legend</p><div class="panels">$panels</div>
<h2>Exploitability over training</h2>$learning
<h2>Configuration</h2><div class="scroll"><pre>$config</pre></div>
<h2>Run</h2><div class="scroll"><pre>$run</pre></div>
"""
    + _END
)
"""of a run"""
COMPARISON = Template(
    _HEAD
    + """<h1>$name</h1>
<p class="muted">Groups of trainings that differ in their seeds alone, the least relative NashConv first: the sum of all
agents' gains by best responses, over the sum of the equilibrium payoffs' sizes. Numbers are medians over seeds;
intervals are 95% bootstrap intervals of the median. They lie between the least and the greatest seed: fewer than six
seeds give them less than their name says.</p>$remarks
<div class="scroll">$groups</div>
<p>$downloads</p>
<h2>Final NashConv</h2>
<p class="muted">A dot for each seed, a diamond at the median, and its interval.</p>$final
<h2>NashConv over training</h2>
<p class="muted">Against open-loop opponents, evaluated without exploration: the median over seeds, and a band for the
middle half of them.</p><p>$legend</p>$learning
<h2>What differs in configuration</h2>
$settings
"""
    + _END
)
"""of trainings beside each other"""
