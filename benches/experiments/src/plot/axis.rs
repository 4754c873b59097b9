//! Axes: positions of values, and texts of ticks.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use crate::{common, table};

/// An axis.
pub(crate) struct Axis {
    /// The label, with the unit.
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

/// How values are placed on an axis.
#[derive(Clone, Debug)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten. Zero is drawn at the value given here, and labelled as zero.
    Log { zero: Option<f64> },
    /// Nanoseconds by powers of ten, in their best unit.
    Time,
    /// Bytes by powers of two.
    Bytes,
    /// Numbers by powers of two.
    Doubling,
    /// Names: value 0 is the first.
    Names(Vec<String>),
}

/// An axis that shows certain values, at the positions that [`Axis::place`] gives.
pub(crate) struct Fitted {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<f64>,
}

/// The largest number of ticks; more are thinned out.
const TICKS: f64 = 11.0;

impl Axis {
    /// An axis of a kind.
    pub(crate) fn new(label: &'static str, scale: Scale) -> Axis {
        Axis { label, scale }
    }

    /// The position of a value: the scale's steps are one apart.
    pub(crate) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear | Scale::Names(_) => value,
            Scale::Log { zero: Some(zero) } => value.max(zero).log10(),
            Scale::Log { zero: None } | Scale::Time => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Bytes | Scale::Doubling => value.max(1.0).log2(),
        }
    }

    /// The text of a tick.
    pub(crate) fn tick(&self, at: f64) -> String {
        match &self.scale {
            Scale::Linear => short(at),
            Scale::Log { zero: Some(zero) } if at <= zero.log10() + 0.01 => "0".into(),
            Scale::Log { .. } => short(10_f64.powf(at)),
            Scale::Time => table::round_time(10_f64.powf(at).round()),
            Scale::Bytes => common::size(1 << exponent(at)),
            Scale::Doubling => (1_u64 << exponent(at)).to_string(),
            Scale::Names(names) => names.get(exponent(at) as usize).cloned().unwrap_or_default(),
        }
    }

    /// The part of the axis that contains all of `values`.
    pub(crate) fn fit(&self, values: impl Iterator<Item = f64>) -> Fitted {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for place in values.map(|value| self.place(value)) {
            (low, high) = (low.min(place), high.max(place));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        match &self.scale {
            Scale::Linear => Fitted::from_zero(high),
            Scale::Names(names) => Fitted::steps(-0.3, names.len() as f64 - 0.7),
            Scale::Bytes | Scale::Doubling => Fitted::steps(low - 0.3, high + 0.3),
            Scale::Log { zero: Some(zero) } => {
                Fitted::steps(zero.log10(), high.ceil().max(zero.log10() + 1.0))
            }
            Scale::Log { zero: None } | Scale::Time => Fitted::decades(low, high),
        }
    }

    /// Whether a value has a position: a scale of powers has none for zero.
    pub(crate) fn has_place_for(&self, value: f64) -> bool {
        match self.scale {
            Scale::Log { zero: None } | Scale::Time => value > 0.0,
            _ => value.is_finite(),
        }
    }
}

impl Fitted {
    /// Ticks at whole steps.
    fn steps(low: f64, high: f64) -> Fitted {
        let every = ((high - low) / TICKS).ceil().max(1.0);
        let mut ticks = vec![low.ceil()];
        while ticks[ticks.len() - 1] + every <= high {
            ticks.push(ticks[ticks.len() - 1] + every);
        }
        Fitted { low, high, ticks }
    }

    /// Ticks at powers of ten; if these are few, also at their twofold and fivefold.
    fn decades(low: f64, high: f64) -> Fitted {
        let margin = ((high - low) * 0.06).max(0.12);
        let (low, high) = (low - margin, high + margin);
        if high - low > 2.3 {
            return Fitted::steps(low, high);
        }
        let decades = (0..=4).map(|decade| low.floor() + f64::from(decade));
        let ticks = decades.flat_map(|decade| [1_f64, 2.0, 5.0].map(|factor| decade + factor.log10()));
        Fitted { low, high, ticks: ticks.filter(|tick| (low..=high).contains(tick)).collect() }
    }

    /// Ticks at round numbers, five or more.
    fn from_zero(high: f64) -> Fitted {
        let high = if high > 0.0 { high * 1.08 } else { 1.0 };
        let power = 10_f64.powf((high / 5.0).log10().floor());
        let step = [5.0, 2.0, 1.0].map(|factor| factor * power).into_iter().find(|step| high / step >= 4.0);
        let step = step.unwrap_or(power);
        let ticks = (0..20).map(|tick| f64::from(tick) * step).take_while(|tick| *tick <= high).collect();
        Fitted { low: 0.0, high, ticks }
    }
}

impl Ranged for Fitted {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "pixels are few")]
    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        first + (share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// Ticks are at whole steps, of which there are few.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 63")]
fn exponent(at: f64) -> u32 {
    at.round().clamp(0.0, 63.0) as u32
}

/// `0.001`, `20`, `5 k`, `2 M`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        large if large >= 0.999e9 => (value / 1e9, " G"),
        large if large >= 0.999e6 => (value / 1e6, " M"),
        large if large >= 0.999e3 => (value / 1e3, " k"),
        small if small > 0.0 && small < 0.000_99 => return format!("{value:.0e}"),
        _ => (value, ""),
    };
    format!("{}{unit}", (scaled * 1e4).round() / 1e4)
}
