//! Sizes, times and rates for people.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The two largest units or digits: `850 µs`, `3.2 s`, `2 min 5 s`, `5 d 3 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let (seconds, micros) = (duration.as_secs(), duration.as_micros());
    match seconds {
        0 if micros < 1_000 => format!("{micros} µs"),
        0 => format!("{} ms", micros / 1_000),
        1..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// An age in JSON.
pub(crate) fn seconds(age: Option<Duration>) -> Option<f64> {
    age.map(|age| age.as_secs_f64())
}

/// How long ago something happened; a dash if the age is unknown.
pub(crate) fn ago(age: Option<Duration>) -> String {
    age.map_or_else(|| "-".into(), |age| format!("{} ago", duration(age)))
}

/// A time of day in UTC: `20:31:05Z`, or the date if it is more than a day ago; a dash if it is not
/// known.
pub(crate) fn clock(time: Option<SystemTime>) -> String {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = time.zip(timestamp(time)).and_then(|(time, text)| {
        let is_recent = SystemTime::now().duration_since(time).is_ok_and(|age| age < DAY);
        let part = if is_recent { text.get(11..19).map(|time| format!("{time}Z")) } else { None };
        part.or_else(|| text.get(..10).map(str::to_owned))
    });
    text.unwrap_or_else(|| "-".into())
}

/// The time as RFC 3339 writes it, in UTC: `2026-11-28T20:31:05.123Z`.
pub(crate) fn timestamp(time: Option<SystemTime>) -> Option<String> {
    let mut text = String::new();
    // There is no text for the year 10,000.
    write!(text, "{}", humantime::format_rfc3339_millis(time?)).ok().map(|()| text)
}

/// `928 B`, `4.0 KiB`, `64 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // The largest unit of which there is at least one.
    let power = bytes.ilog2() / 10;
    let unit = UNITS[power as usize - 1];
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    match tenths {
        0..100 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", tenths / 10),
    }
}

/// Publications a second: `0`, `9.5`, `123`, `45.1k`, `3.2M`.
pub(crate) fn rate(rate: f64) -> String {
    match rate {
        rate if rate < 0.05 => "0".into(),
        rate if rate < 99.5 => format!("{rate:.1}"),
        rate if rate < 9_999.5 => format!("{rate:.0}"),
        rate if rate < 999_950.0 => format!("{:.1}k", rate / 1e3),
        rate => format!("{:.1}M", rate / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{ago, bytes, clock, duration, rate, timestamp};

    #[test]
    fn a_time_of_day_is_short_and_a_timestamp_is_whole() {
        let old = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_898_185_123));
        assert_eq!(timestamp(old).unwrap(), "2026-11-28T20:36:25.123Z");
        let recent = SystemTime::now() - Duration::from_secs(10);
        assert_eq!(clock(Some(recent)), timestamp(Some(recent)).unwrap()[11..19].to_owned() + "Z");
        let before = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(clock(before), "1970-01-01");
        let never = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1 << 40));
        assert_eq!((timestamp(never), clock(None)), (None, "-".into()));
    }

    #[test]
    fn durations_have_one_unit_or_two() {
        let text = |seconds: f64| duration(Duration::from_secs_f64(seconds));
        assert_eq!(text(0.0), "0 µs");
        assert_eq!(text(0.00085), "850 µs");
        assert_eq!(text(0.0459), "45 ms");
        assert_eq!(text(3.29), "3.2 s");
        assert_eq!(text(59.9), "59 s");
        assert_eq!(text(125.0), "2 min 5 s");
        assert_eq!(text(120.0), "2 min");
        assert_eq!(text(3_600.0 * 5.5), "5 h 30 min");
        assert_eq!(text(86_400.0 * 5.0 + 3.0 * 3_600.0), "5 d 3 h");
        assert_eq!(duration(Duration::MAX), "213503982334601 d 7 h");
        assert_eq!(ago(None), "-");
        assert_eq!(ago(Some(Duration::from_secs(10))), "10 s ago");
    }

    #[test]
    fn sizes_are_in_powers_of_1024() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(4_096), "4.0 KiB");
        assert_eq!(bytes(1_048_575), "1023 KiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(u64::MAX), "15 EiB");
    }

    #[test]
    fn rates_have_few_characters() {
        let texts = [0.0, 9.96, 99.9, 1_234.4, 12_345.0, 999_949.0, 12_345_678.0].map(rate);
        assert_eq!(texts, ["0", "10.0", "100", "1234", "12.3k", "999.9k", "12.3M"]);
    }
}
