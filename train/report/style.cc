#include "train/report/sections.h"

namespace mt::train {

const char* report_style() {
  return R"css(
:root { --ink: #1d2730; --soft: #5b6873; --line: #dfe4e8; --paper: #fff; --wash: #f5f7f8; --accent: #0072b2; }
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
.none { color: #8a5a00; font-size: 13px; }
.warnings { margin: 16px 0 0; padding: 10px 14px 10px 30px; background: #fff6e5; border-left: 4px solid #e69f00;
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
.chosen th, .chosen td { background: #eef6fb; }
sup { line-height: 0; font-size: 10.5px; margin-left: 2px; }
.pill { display: inline-block; padding: 0 8px; border-radius: 9px; font-size: 12.5px; line-height: 19px; white-space: nowrap; }
.pill.good { background: #dff3ec; color: #00573f; } .pill.bad { background: #fbe3d6; color: #8f3300; }
.pill.plain { background: #e9edf0; color: #3c4851; }
.tight td { white-space: nowrap; } .tight th, .tight td { padding-right: 12px; } .tight td .none { white-space: normal; }
.bar { display: inline-block; min-width: 52px; padding: 0 4px;
  background: linear-gradient(90deg, #bcdcee var(--share), #eef1f3 var(--share)); border-radius: 3px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px 32px; }
figure { margin: 0; } .plot { max-width: 540px; break-inside: avoid; }
.plot figcaption { font-weight: 600; font-size: 14px; margin: 8px 0 2px; }
.plot > svg { width: 100%; height: auto; display: block; font-size: 11.5px; }
.plot text { fill: var(--soft); } .plot .grid { stroke: #edf0f2; } .plot .axis { stroke: #9aa5ad; }
.plot .guide { stroke: #9aa5ad; stroke-dasharray: 2 4; }
.legend { font-size: 13px; line-height: 1.45; } .legend .key { margin-left: 4px; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 500; padding: 4px 0; }
details > :not(summary) { margin-left: 0; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(82px, 1fr)); gap: 8px; }
.patch { font-size: 11px; line-height: 1.3; color: var(--soft); break-inside: avoid; min-width: 0; }
.patch img { display: block; width: 100%; border: 3px solid #e3e7ea; border-radius: 3px; }
.patch figcaption { overflow-wrap: anywhere; }
.patch.tumour img, .swatch.tumour { border-color: #d55e00; } .patch.normal img, .swatch.normal { border-color: #56b4e9; }
.swatch { display: inline-block; width: 12px; height: 12px; border: 3px solid; vertical-align: -1px; }
.missing { display: block; color: #8a5a00; }
.slides { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 14px 26px; }
.slides.wide { grid-template-columns: 1fr; }
.slide { border-top: 1px solid var(--line); break-inside: avoid; min-width: 0; }
.slide h4 { margin: 10px 0 0; } .slide p { margin: 0 0 6px; font-size: 13.5px; }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; }
.thumb { flex: 0 1 224px; min-width: 130px; font-size: 12px; color: var(--soft); }
.wide .thumb { flex: 1 1 138px; max-width: 224px; }
.thumb img { display: block; max-width: 100%; height: auto; border-radius: 3px; }
.colours { display: inline-block; width: 110px; height: 11px; border-radius: 2px; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px; overflow-wrap: anywhere; }
@media (max-width: 600px) { h1 { font-size: 24px; } .lead { font-size: 16px; } .figures td .interval { display: block; margin: 0; } }
@media print { nav { display: none; } main { max-width: none; padding: 0; } body { font-size: 11px; }
  .pill, .bar, .chosen td, .chosen th, .colours { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
)css";
}

}  // namespace mt::train
