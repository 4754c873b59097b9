//! Short texts for numbers, and texts in lines.

use std::time::Duration;

/// A short age: `3ms`, `1.2s`, `2m05s`, `3h20m`, `4d03h`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => format!("{}ms", age.as_millis()),
        1..60 => format!("{}.{}s", seconds, age.subsec_millis() / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `text` in lines of at most `width` characters, broken between words; a longer word is a line of
/// its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// The rates of a minute as bars in `width` cells, the newest at the right, relative to the
/// greatest one. A cell without publications is a dot, and a cell before the first sample is empty.
pub(super) fn sparkline(trend: impl ExactSizeIterator<Item = f64>, seconds: usize, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut cells: Vec<Option<f64>> = vec![None; width];
    let before = seconds.saturating_sub(trend.len());
    for (index, rate) in trend.enumerate().take(seconds) {
        let place = (before + index) * width / seconds.max(1);
        let Some(cell) = cells.get_mut(place) else { break };
        *cell = Some(f64::max(rate, cell.unwrap_or(0.0)));
    }
    let max = cells.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |rate: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 8")]
        let height = (rate / max * 8.0).ceil().clamp(1.0, 8.0) as usize;
        BARS[height - 1]
    };
    let cell = |cell: &Option<f64>| match *cell {
        None => ' ',
        Some(rate) if rate > 0.0 => bar(rate),
        Some(_) => '·',
    };
    cells.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_parts_at_most() {
        let ages = [0, 999, 1_250, 59_999, 60_000, 3_599_999, 3_600_000, 90_000_000];
        let texts = ages.map(|milliseconds| age(Duration::from_millis(milliseconds)));
        assert_eq!(texts, ["0ms", "999ms", "1.2s", "59.9s", "1m00s", "59m59s", "1h00m", "1d01h"]);
        assert!(age(Duration::MAX).len() > 8, "a hostile age is long, and the cell cuts it");
    }

    #[test]
    fn a_sparkline_shows_the_shape_of_a_minute() {
        let trend = [0.0, 1.0, 2.0, 4.0, 8.0];
        assert_eq!(sparkline(trend.into_iter(), 6, 6), " ·▁▂▄█");
        assert_eq!(sparkline([0.0; 60].into_iter(), 60, 10), "··········");
        assert_eq!(sparkline([5.0; 60].into_iter(), 60, 3), "███");
        assert_eq!(sparkline([5.0; 60].into_iter(), 60, 0), "");
        assert_eq!(sparkline([f64::NAN, 1.0].into_iter(), 2, 2).chars().count(), 2);
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two  three fourth", 7), ["one two", "three", "fourth"]);
        assert_eq!(wrapped("overlong x", 3), ["overlong", "x"]);
        assert!(wrapped(" ", 0).is_empty());
    }

    #[test]
    fn a_peak_is_not_averaged_away() {
        let trend = (0..60).map(|second| if second == 30 { 100.0 } else { 0.0 }).collect::<Vec<_>>();
        assert_eq!(sparkline(trend.into_iter(), 60, 6), "···█··");
    }
}
