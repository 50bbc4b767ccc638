//! Whether a figure grows over a run.
//!
//! The first half of the run is a warm-up, in which buffers and connections reach their size: a fault that
//! comes for the first time may take memory that is needed again when it comes again. The samples after
//! it are cut into blocks of equal size, and each block counts once, with the
//! least that the program held in it: what is lost is never given back, so a leak raises the least, and
//! what a large picture takes for a while does not. The line through these is that of Theil and Sen, whose slope is the
//! median of the slopes between all pairs: where the allocator keeps something for a few blocks, that
//! does not turn it. Its confidence interval is Kendall's (P. K. Sen, Estimates of the regression
//! coefficient based on Kendall's tau, 1968).

use std::fmt;

use crate::program::Usage;

/// What the program held, after so many pictures and seconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub pictures: u64,
    pub seconds: f64,
    pub usage: Usage,
}

/// How many blocks there are.
const BLOCKS: usize = 40;

/// The line through the blocks.
#[derive(Clone, Copy, Debug)]
pub struct Trend {
    unit: &'static str,
    /// What is too little to matter.
    little: f64,
    median: f64,
    most: f64,
    /// From where to where the line goes, as pictures and values.
    pub line: [(f64, f64); 2],
    /// By how much it grew over the run after the warm-up.
    pub growth: f64,
    /// Between these it is with a probability of 99.7 percent.
    pub between: (f64, f64),
}

/// Of resident memory in MiB, of the samples after the warm-up. A program that leaked the smallest possible
/// allocation for each picture, 32 bytes with glibc, would grow by 1.5 MiB in 50,000 pictures.
pub fn memory(samples: &[Sample]) -> Option<Trend> {
    trend(samples, "MiB", 1.0, |usage| float(usage.memory) / float(1 << 20))
}

/// Of open files, of which some are idle connections, now more and now fewer. One that is lost with each
/// tenth fault is 10 after 100 faults.
pub fn files(samples: &[Sample]) -> Option<Trend> {
    trend(samples, "files", 4.0, |usage| float(usage.files as u64))
}

fn trend(
    samples: &[Sample],
    unit: &'static str,
    little: f64,
    figure: impl Fn(&Usage) -> f64,
) -> Option<Trend> {
    let (first, last) = (samples.first()?, samples.last()?);
    // A line through fewer says nothing.
    if samples.len() < BLOCKS {
        return None;
    }
    // Over time, in which no two blocks are at one place; pictures may stand still for a block.
    let points: Vec<_> = (0..BLOCKS)
        .map(|block| [block, block + 1].map(|edge| edge * samples.len() / BLOCKS))
        .filter_map(|[begin, end]| {
            let block = &samples[begin..end];
            let lowest = block.iter().map(|sample| figure(&sample.usage)).min_by(f64::total_cmp)?;
            Some((block[block.len() / 2].seconds, lowest))
        })
        .collect();
    let pairs = (1..points.len()).flat_map(|later| (0..later).map(move |earlier| (earlier, later)));
    let mut slopes: Vec<_> = pairs
        .map(|(earlier, later)| {
            let (one, other) = (points[earlier], points[later]);
            (other.1 - one.1) / (other.0 - one.0)
        })
        .collect();
    let slope = median(&mut slopes)?;
    let mut starts: Vec<_> = points.iter().map(|(x, y)| y - slope * x).collect();
    let start = median(&mut starts)?;
    let count = float(points.len() as u64);
    let deviation = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let off = (3.0 * deviation / 2.0).ceil() as usize;
    let (low, high) = ((slopes.len() / 2).saturating_sub(off), slopes.len() / 2 + off);
    let high = high.min(slopes.len() - 1);
    let span = last.seconds - first.seconds;
    let mut all: Vec<_> = samples.iter().map(|sample| figure(&sample.usage)).collect();
    Some(Trend {
        unit,
        little,
        median: median(&mut all)?,
        most: all.last().copied()?,
        line: [first, last].map(|at| (float(at.pictures), start + slope * at.seconds)),
        growth: slope * span,
        between: (slopes[low] * span, slopes[high] * span),
    })
}

/// Sorts the values.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[expect(clippy::cast_precision_loss, reason = "none of them is near 2^52")]
pub fn float(number: u64) -> f64 {
    number as f64
}

impl Trend {
    /// That it grew, by more than a little, or that nobody can tell.
    pub fn problem(&self) -> Option<String> {
        let Self { unit, little, growth, between: (low, high), .. } = self;
        if growth > little && *low > 0.0 {
            Some(format!("it grew by {growth:.2} {unit}, at least {low:.2}"))
        } else if *high > 2.0 * little {
            Some(format!("it may have grown by {high:.2} {unit}: take more pictures to know"))
        } else {
            None
        }
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, median, most, growth, between: (low, high), .. } = self;
        write!(
            f,
            "{median:.1} {unit} at the median, {most:.1} at most; growth after the warm-up \
             {growth:+.2} {unit} (between {low:+.2} and {high:+.2})"
        )
    }
}
