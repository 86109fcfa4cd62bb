//! Sizes and times as a person reads them.

use std::time::Duration;

/// `bytes` with three digits and a decimal unit: `999 B`, `1.23 MB`, `45.6 MB`, `118 MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if scaled < 999.5 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if scaled < 9.995 => format!("{scaled:.2} {unit}"),
        _ if scaled < 99.95 => format!("{scaled:.1} {unit}"),
        _ => format!("{scaled:.0} {unit}"),
    }
}

/// A time span: `0.03 s`, `4.2 s`, `38 s`, `3 min 12 s`, `2 h 5 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let whole = span.saturating_add(Duration::from_millis(500)).as_secs();
    if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if whole < 60 {
        format!("{whole} s")
    } else if whole < 3600 {
        format!("{} min {} s", whole / 60, whole % 60)
    } else {
        format!("{} h {} min", whole / 3600, whole % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let shown: Vec<String> =
            [0, 999, 1000, 1_234_567, 45_600_000, 999_499_999, 999_500_000, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.00 kB", "1.23 MB", "45.6 MB", "999 MB", "1.00 GB", "18446744 TB"]);
    }

    #[test]
    fn times_carry_over() {
        let shown: Vec<String> =
            [0.03, 0.996, 4.24, 9.96, 59.7, 192.0, 7500.0].map(|s| duration(Duration::from_secs_f64(s))).into();
        assert_eq!(shown, ["0.03 s", "1.0 s", "4.2 s", "10 s", "1 min 0 s", "3 min 12 s", "2 h 5 min"]);
    }
}
