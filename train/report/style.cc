#include "train/report/sections.h"

namespace mt::train {

const char* report_style() {
  return R"css(
:root { --ink: #1d2730; --soft: #5b6873; --line: #dfe4e8; --paper: #fff; --wash: #f5f7f8; --accent: #0072b2;
  --warn: #fff6e5; --chosen: #eef6fb; --grid: #edf0f2; --axis: #9aa5ad; --none: #8a5a00; --good: #dff3ec; --good-ink: #00573f;
  --bad: #fbe3d6; --bad-ink: #8f3300; --plain: #e9edf0; --plain-ink: #3c4851; --bar: #bcdcee; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { @media screen { :root { --ink: #e4e9ed; --soft: #a3afb8; --line: #36414a; --paper: #161b20; --wash: #20272d; --accent: #5cb3e6;
  --warn: #3a2f14; --chosen: #1d3342; --grid: #2a333a; --axis: #6b7780; --none: #e0b25c; --good: #14402f; --good-ink: #9fe3c6;
  --bad: #4d2613; --bad-ink: #ffc3a1; --plain: #2d363d; --plain-ink: #c9d2d9; --bar: #23516b; } } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; font-size: 15px; }
main { max-width: 1140px; margin: 0 auto; padding: 0 20px 60px; }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 1px solid var(--line); }
nav div { max-width: 1140px; margin: 0 auto; padding: 8px 20px; display: flex; gap: 18px; overflow-x: auto;
  white-space: nowrap; font-size: 14px; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
header { padding: 34px 0 6px; }
section { padding-top: 14px; scroll-margin-top: 36px; }
.over { margin: 0; color: var(--soft); letter-spacing: .08em; text-transform: uppercase; font-size: 12px; }
h1 { font-size: 30px; line-height: 1.2; margin: 4px 0 12px; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 30px 0 10px; padding-bottom: 5px; border-bottom: 1px solid var(--line); }
h3 { font-size: 17px; margin: 26px 0 6px; } h4 { font-size: 14px; margin: 14px 0 6px; overflow-wrap: anywhere; }
.lead { font-size: 18px; max-width: 60em; margin: 0 0 18px; }
.key { display: inline-flex; align-items: center; gap: 6px; margin-right: 18px; }
div.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; margin: 0; }
.figure { background: var(--wash); border-radius: 8px; padding: 12px 16px; }
.figure .label { display: block; color: var(--soft); font-size: 13px; }
.figure .value { display: block; font-size: 30px; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.figure .interval { margin: 0; }
.interval { color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.hint { color: var(--soft); font-size: 13.5px; max-width: 75em; }
.none { color: var(--none); font-size: 13px; }
.warnings { margin: 16px 0 0; padding: 10px 14px 10px 30px; background: var(--warn); border-left: 4px solid #e69f00;
  border-radius: 4px; }
.footnotes { list-style: none; padding: 0; margin: 6px 0; color: var(--soft); font-size: 12.5px; }
.scroll { overflow-x: auto; margin: 8px 0; min-width: 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 0 40px; align-items: start; }
.pair table { width: 100%; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; } thead th { color: var(--soft); font-size: 13px; vertical-align: bottom; }
.figures td { white-space: nowrap; } .figures td .none { white-space: normal; }
.figures td .interval { margin-left: 8px; }
.group th { padding-top: 16px; color: var(--soft); font-size: 12.5px; font-weight: 600; }
.beside th, .beside td { color: var(--soft); font-weight: 400; }
.chosen th, .chosen td { background: var(--chosen); }
sup { line-height: 0; font-size: 10.5px; margin-left: 2px; }
.pill { display: inline-block; padding: 0 8px; border-radius: 9px; font-size: 12.5px; line-height: 19px; white-space: nowrap; }
.pill.good { background: var(--good); color: var(--good-ink); } .pill.bad { background: var(--bad); color: var(--bad-ink); }
.pill.plain { background: var(--plain); color: var(--plain-ink); }
.tight td { white-space: nowrap; } .tight th, .tight td { padding-right: 12px; } .tight td .none { white-space: normal; }
.bar { display: inline-block; min-width: 52px; padding: 0 4px;
  background: linear-gradient(90deg, var(--bar) var(--share), var(--plain) var(--share)); border-radius: 3px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px 32px; }
figure { margin: 0; } .plot { max-width: 540px; break-inside: avoid; }
.plot figcaption { font-weight: 600; font-size: 14px; margin: 8px 0 2px; }
.plot > svg { width: 100%; height: auto; display: block; font-size: 11.5px; }
.plot text { fill: var(--soft); } .plot .grid { stroke: var(--grid); } .plot .axis { stroke: var(--axis); }
.plot .guide { stroke: var(--axis); stroke-dasharray: 2 4; }
.legend { font-size: 13px; line-height: 1.45; } .legend .key { margin-left: 4px; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 500; padding: 4px 0; }
details > :not(summary) { margin-left: 0; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(82px, 1fr)); gap: 8px; }
.patch { font-size: 11px; line-height: 1.3; color: var(--soft); break-inside: avoid; min-width: 0; }
.patch img { display: block; width: 100%; border: 3px solid var(--line); border-radius: 3px; }
.patch figcaption { overflow-wrap: anywhere; }
.patch.tumour img, .swatch.tumour { border-color: #d55e00; } .patch.normal img, .swatch.normal { border-color: #56b4e9; }
.swatch { display: inline-block; width: 12px; height: 12px; border: 3px solid; vertical-align: -1px; }
.missing { display: block; color: var(--none); }
.words { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 4px 18px; margin: 8px 0; }
.words dt { font-weight: 600; } .words dd { margin: 0; }
.confusion td { text-align: right; } .confusion .wrong { color: var(--bad-ink); }
.matrices { display: flex; flex-wrap: wrap; gap: 0 34px; align-content: start; }
.slides { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 14px 26px; }
.slides.wide { grid-template-columns: 1fr; }
.slide { border-top: 1px solid var(--line); break-inside: avoid; min-width: 0; }
.slide h4 { margin: 10px 0 0; } .slide p { margin: 0 0 6px; font-size: 13.5px; }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; }
.thumb { flex: 0 1 224px; min-width: 130px; font-size: 12px; color: var(--soft); }
.wide .thumb { flex: 1 1 138px; max-width: 224px; }
.thumb img:focus { position: fixed; inset: 0; z-index: 9; margin: auto; width: min(94vw, 94vh * 1.4); height: auto; max-height: 94vh; object-fit: contain;
  background: var(--paper); box-shadow: 0 0 0 100vmax rgba(0,0,0,.6); cursor: zoom-out; }
.thumb img { cursor: zoom-in; display: block; max-width: 100%; height: auto; border-radius: 3px; }
.colours { display: inline-block; width: 110px; height: 11px; border-radius: 2px; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px; overflow-wrap: anywhere; }
@media (max-width: 600px) { h1 { font-size: 24px; } .lead { font-size: 16px; } .figures td .interval { display: block; margin: 0; } }
@page { size: A4; margin: 14mm; }
@media (max-width: 600px) { .words { grid-template-columns: 1fr; } .words dd { margin-bottom: 6px; } }
@media print { nav { display: none; } main { max-width: none; padding: 0; } body { font-size: 11px; }
  .scroll { overflow: visible; } table, thead th, .interval, .hint, .none { font-size: 9.5px; } th, td { padding-right: 8px; } tr, figure, .figure { break-inside: avoid; }
  .figures td { white-space: normal; } .figures td .interval { display: block; margin: 0; } h2, h3, h4 { break-after: avoid; }
  .pill, .bar, .chosen td, .chosen th, .colours { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";
}

}  // namespace mt::train
