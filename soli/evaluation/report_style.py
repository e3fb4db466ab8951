"""How report.html looks: light and dark, from a phone to a desktop."""

from __future__ import annotations

from soli.evaluation.charts import NUM_COLOURS

STYLE = """
:root{color-scheme:light dark;--text:#1c2126;--soft:#59636e;--ground:#fff;--raised:#f5f7f9;--rule:#d5dbe1;--heat:0 114 178;
--c0:#1c2126;--c1:#0072b2;--c2:#c4500a;--c3:#00805c;--c4:#a84592;--c5:#8f6400;--c6:#2b8fc0;--c7:#6a6f75}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ec;--soft:#a0a9b3;--ground:#14171a;--raised:#1d2125;--rule:#3a4148;--heat:40 140 210;
--c0:#e6e9ec;--c1:#4aa8e8;--c2:#f08a4b;--c3:#2fbf94;--c4:#dd8ccb;--c5:#e0b040;--c6:#9ad4f5;--c7:#9aa0a6}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.25rem 1rem 4rem;max-width:72rem;background:var(--ground);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
h1{font-size:1.7rem;line-height:1.2;margin:.25rem 0 .5rem}
h2{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .4rem;padding-top:.9rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:0}
p{margin:.4rem 0 .8rem;max-width:46rem}
.lead{font-size:1.1rem}.note{color:var(--soft);font-size:.875rem}
nav{display:flex;flex-wrap:wrap;gap:.15rem 1rem;font-size:.9rem}
nav a{color:var(--c1);padding:.25rem 0}
.scroll{overflow-x:auto;margin:.75rem 0;max-width:100%}
.scroll:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.35rem .65rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
thead th{vertical-align:bottom;font-weight:600;color:var(--soft);line-height:1.25}thead .long{white-space:normal;max-width:9rem}
tbody th{font-weight:600}
th:first-child{text-align:left;position:sticky;left:0;background:var(--ground);padding-left:0;max-width:10rem;white-space:normal}
th.text{text-align:left}td.text{white-space:normal;min-width:14rem;text-align:start}
code{font-size:.875rem}
.main{background:var(--raised);font-weight:600}
.heat td,.heat th{padding:.3rem .5rem;border:0}
.heat tbody td{background:rgb(var(--heat)/calc(var(--share)*.6))}
.heat tbody th{padding-left:0;min-width:6rem}
.heat thead th{position:static;padding:.3rem .5rem;text-align:center}.heat thead span{writing-mode:vertical-rl;white-space:nowrap}
figure{margin:0}
.chart{display:block;width:100%;height:auto;max-width:30rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem 1.5rem;margin-top:1rem;align-items:start}
@media(min-width:62rem){.charts .chart{max-width:none}.charts .chart:first-child{grid-column:span 2;grid-row:span 2}
.charts .chart:first-child text{font-size:7px}.charts .chart:first-child .mark{scale:.6}}
.chart path,.chart polyline{vector-effect:non-scaling-stroke}
.chart text{font-size:12px;fill:var(--soft)}.chart .name{font-weight:600;fill:var(--text);font-size:13px}
.grid{stroke:var(--rule);stroke-width:1;fill:none}.tick{stroke:var(--soft);fill:none}
.baseline{stroke:var(--soft);stroke-width:1.25;stroke-dasharray:5 4;fill:none}
.line{fill:none;stroke:var(--colour);stroke-width:1.75;stroke-linejoin:round}.link{stroke:var(--soft);stroke-width:.6;opacity:.55;fill:none}
.mark{fill:var(--colour);stroke:var(--colour);stroke-width:1.75;stroke-linejoin:round}.link~g .mark{scale:.8}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.5rem 0 1rem;padding:0;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.4rem}.legend svg{width:1.1rem;height:1.1rem;flex:none}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,10rem),1fr));gap:.7rem 1.5rem;margin:.75rem 0}
.facts dt{color:var(--soft);font-size:.875rem;line-height:1.3}.facts dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}
article{background:var(--raised);border-radius:.6rem;padding:1rem;margin:1rem 0}
article .note{margin:.1rem 0 .4rem}
.references{margin:.3rem 0 .9rem;padding-left:1.1rem;font-size:.9rem}
.views{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.2rem,1fr));gap:1rem .8rem}
.views img{display:block;width:100%;height:auto;border-radius:.3rem}
.views figcaption{font-size:.875rem;line-height:1.35;padding-top:.35rem}
.views .note{display:block;font-size:.8125rem}.views p{margin:.2rem 0}
.words{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;margin:.3rem 0 .6rem;padding:0;font-size:.8125rem;line-height:1.25}
.words li{width:72px;text-align:center}.words img{display:block;border-radius:.25rem;margin-bottom:.15rem}
""" + "".join(f".colour{index}{{--colour:var(--c{index})}}" for index in range(NUM_COLOURS + 1))
