//! Whether a figure grows over a run.
//!
//! What is resident goes up and down with every large picture and every fault, and samples that
//! follow each other are alike, so the error of a line through all samples would look far too small.
//! Therefore the run after its warm-up is cut into blocks; each counts once, with its median, and the
//! line goes through these. What a line cannot explain of them is noise.

use std::fmt;

use crate::program::Held;

/// What the program held, after so many pictures and seconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub pictures: u64,
    pub seconds: f64,
    pub held: Held,
}

/// How many blocks there are, and which part of the run is the warm-up: one in ten.
const BLOCKS: u64 = 40;
const WARM_UP: u64 = 10;

/// The line through the medians of the blocks.
#[derive(Clone, Copy, Debug)]
pub struct Trend {
    unit: &'static str,
    /// What is too little to matter.
    little: f64,
    pub median: f64,
    pub most: f64,
    /// From where to where the line goes, as pictures and values.
    pub line: [(f64, f64); 2],
    /// Three standard errors of its growth.
    pub noise: f64,
}

/// Of resident memory in MiB. A program that leaked the smallest possible allocation for each picture,
/// 32 bytes with glibc, would grow by 2.7 MiB after the warm-up of 100,000 pictures.
pub fn memory(samples: &[Sample]) -> Option<Trend> {
    trend(samples, "MiB", 1.0, |held| float(held.memory) / float(1 << 20))
}

/// Of open files.
pub fn files(samples: &[Sample]) -> Option<Trend> {
    trend(samples, "files", 1.0, |held| float(held.files as u64))
}

fn trend(
    samples: &[Sample],
    unit: &'static str,
    little: f64,
    figure: impl Fn(&Held) -> f64,
) -> Option<Trend> {
    let end = samples.last()?.pictures + 1;
    let begin = end / WARM_UP;
    let mut blocks = vec![Vec::new(); usize::try_from(BLOCKS).ok()?];
    let warm = samples.iter().filter(|sample| sample.pictures >= begin);
    for sample in warm.clone() {
        let block = (sample.pictures - begin) * BLOCKS / (end - begin);
        blocks[usize::try_from(block).ok()?].push(figure(&sample.held));
    }
    let width = float(end - begin) / float(BLOCKS);
    let middle = |block: u64| float(begin) + (float(block) + 0.5) * width;
    let points: Vec<_> = (0..)
        .zip(&mut blocks)
        .filter_map(|(block, values)| Some((middle(block), median(values)?)))
        .collect();
    // A line through fewer says nothing.
    if points.len() < 10 {
        return None;
    }
    let count = float(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let at = |pictures: f64| y + slope * (pictures - x);
    let unexplained: f64 = points.iter().map(|point| (point.1 - at(point.0)).powi(2)).sum();
    let error = (unexplained / (count - 2.0) / spread).sqrt() * float(end - begin);
    let mut all: Vec<_> = warm.map(|sample| figure(&sample.held)).collect();
    Some(Trend {
        unit,
        little,
        median: median(&mut all)?,
        most: all.last().copied()?,
        line: [float(begin), float(end)].map(|pictures| (pictures, at(pictures))),
        noise: 3.0 * error,
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
    /// By how much it grew over the run, after the warm-up.
    pub fn growth(&self) -> f64 {
        self.line[1].1 - self.line[0].1
    }

    /// That it grew by more than a little and by more than noise explains, or that nobody can tell.
    pub fn problem(&self) -> Option<String> {
        let Self { unit, little, noise, .. } = self;
        if self.growth() > little.max(*noise) {
            Some(format!("it grew by {:.2} {unit}, and noise explains {noise:.2}", self.growth()))
        } else if *noise > 2.0 * little {
            Some(format!("noise of {noise:.2} {unit} hides any growth: take more pictures"))
        } else {
            None
        }
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, median, most, noise, .. } = self;
        write!(
            f,
            "{median:.1} {unit} at the median, {most:.1} at most; fitted growth after the warm-up {:+.2} \
             {unit}, of which noise explains {noise:.2}",
            self.growth()
        )
    }
}
