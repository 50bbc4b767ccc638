//! The samples as a table and as a picture.

use std::fmt::Write as _;
use std::path::Path;

use super::trend::{Sample, Trend, float};

/// Writes the text into the file, if there is one.
pub fn write(file: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, text()).map_err(|error| format!("{}: {error}", file.display()))
}

pub fn csv(samples: &[Sample]) -> String {
    let mut text = "pictures,seconds,resident_bytes,open_files\n".to_owned();
    for Sample { pictures, seconds, usage } in samples {
        let _ = writeln!(text, "{pictures},{seconds:.2},{},{}", usage.memory, usage.files);
    }
    text
}

/// The canvas, and the margins of the axes in it.
const SIZE: (f64, f64) = (840.0, 340.0);
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 44.0;

/// How many points a line has at most.
const POINTS: usize = 1200;

const STYLE: &str = "\
svg{--back:#fff;--ink:#1f2328;--grid:#d8dee4;--soft:#f3f5f7;--line:#0969da;--fit:#bc4c00}
@media(prefers-color-scheme:dark){svg{--back:#0d1117;--ink:#e6edf3;--grid:#30363d;--soft:#161b22;\
--line:#58a6ff;--fit:#f0883e}}
text{fill:var(--ink);font:12px system-ui,sans-serif}.title{font-size:14px;font-weight:600}
.back{fill:var(--back)}.soft{fill:var(--soft)}.grid{stroke:var(--grid)}
.line{fill:none;stroke:var(--line);stroke-width:1.2}
.fit{stroke:var(--fit);stroke-width:2;stroke-dasharray:6 4}";

/// Resident memory over pictures, in the colours of the reader's system.
pub fn svg(samples: &[Sample], trend: Option<&Trend>) -> String {
    let mib = |sample: &Sample| float(sample.usage.memory) / float(1 << 20);
    let last = samples.last().map_or(1.0, |sample| float(sample.pictures)).max(1.0);
    let most = samples.iter().map(mib).fold(1.0, f64::max);
    let (steps, high) = (step(last), step(most));
    let top = (most / high).ceil() * high;
    let (right, bottom) = (SIZE.0 - RIGHT, SIZE.1 - BOTTOM);
    let x = |pictures: f64| LEFT + pictures / last * (right - LEFT);
    let y = |mib: f64| bottom - mib / top * (bottom - TOP);
    let (width, height) = SIZE;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Resident memory over pictures</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"24\">Resident memory in MiB, by pictures uploaded</text>\n"
    );
    if let Some(trend) = trend {
        let (from, warm) = (x(0.0), x(trend.line[0].0));
        let _ = writeln!(
            svg,
            "<rect class=\"soft\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">warm-up</text>",
            warm - from,
            bottom - TOP,
            from + 6.0,
            TOP + 16.0
        );
    }
    for mib in (0..).map(|n| float(n) * high).take_while(|mib| *mib <= top) {
        let at = y(mib);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{mib}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for pictures in (0..).map(|n| float(n) * steps).take_while(|pictures| *pictures <= last) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{pictures}</text>",
            x(pictures),
            bottom + 20.0
        );
    }
    let mut line = String::new();
    for few in samples.chunks(samples.len().div_ceil(POINTS).max(1)) {
        // The highest of them, so that no peak is hidden.
        let highest = few.iter().max_by(|one, other| mib(one).total_cmp(&mib(other)));
        if let Some(sample) = highest {
            let _ = write!(line, " {:.1},{:.1}", x(float(sample.pictures)), y(mib(sample)));
        }
    }
    let _ = writeln!(svg, "<polyline class=\"line\" points=\"{}\"/>", line.trim_start());
    if let Some(trend) = trend {
        let [(from, begin), (to, end)] = trend.line;
        let _ = writeln!(
            svg,
            "<path class=\"fit\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\n\
             <text x=\"{:.1}\" y=\"24\" text-anchor=\"end\">growth {:+.2} MiB ({:+.2} to {:+.2})</text>",
            x(from),
            y(begin),
            x(to),
            y(end),
            right,
            trend.growth,
            trend.between.0,
            trend.between.1
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A round distance of four to ten lines of a grid.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let nice = [0.1, 0.2, 0.25, 0.5, 1.0].map(|part| part * power);
    nice.into_iter().find(|step| most / step <= 8.0).unwrap_or(power)
}
