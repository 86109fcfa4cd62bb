//! Nights on which the clock is put forward and back, in zones of this machine's `tzdata`.

#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;

use super::*;

fn schedule(windows: &[&str]) -> Schedule {
    let windows: Vec<Window> = windows.iter().map(|text| text.parse().unwrap()).collect();
    Schedule::load(Path::new("/"), &windows).unwrap()
}

fn at(text: &str) -> Moment {
    text.parse().unwrap()
}

/// From `now` on: when the window opens next, and when it closes after that.
fn next_of(window: &str, now: &str) -> (String, String) {
    let schedule = schedule(&[window]);
    let (opens, of) = schedule.next_open(at(now)).unwrap();
    assert_eq!(of.to_string(), window);
    assert!(schedule.is_open(opens));
    let closes = schedule.next_closed(opens).unwrap();
    assert!(!schedule.is_open(closes) && schedule.is_open(Moment::from_seconds(closes.seconds() - 1)));
    (opens.rfc3339(), closes.rfc3339())
}

fn pair(opens: &str, closes: &str) -> (String, String) {
    (opens.to_owned(), closes.to_owned())
}

#[test]
fn an_ordinary_night() {
    // 2026-11-27 is a Friday.
    let window = "Mon..Fri 02:00-04:00 Europe/Berlin";
    assert_eq!(next_of(window, "2026-11-27T00:00:00Z"), pair("2026-11-27T01:00:00Z", "2026-11-27T03:00:00Z"));
    assert_eq!(next_of(window, "2026-11-27T02:59:59Z"), pair("2026-11-27T02:59:59Z", "2026-11-27T03:00:00Z"));
    assert_eq!(next_of(window, "2026-11-27T03:00:00Z"), pair("2026-11-30T01:00:00Z", "2026-11-30T03:00:00Z"));
    assert_eq!(next_of(window, "2026-07-01T00:30:00Z"), pair("2026-07-01T00:30:00Z", "2026-07-01T02:00:00Z"));
}

#[test]
fn the_clock_is_put_forward() {
    // 2026-03-29, 02:00 becomes 03:00 in Berlin, at 01:00 UTC.
    let before = "2026-03-28T12:00:00Z";
    let berlin = |times: &str| next_of(&format!("{times} Europe/Berlin"), before);
    assert_eq!(berlin("02:00-04:00"), pair("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"));
    assert_eq!(berlin("02:30-03:30"), pair("2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"));
    assert_eq!(berlin("01:30-02:30"), pair("2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"));
    // All of it is skipped: the next one is a night later.
    assert_eq!(berlin("02:00-03:00"), pair("2026-03-30T00:00:00Z", "2026-03-30T01:00:00Z"));
    assert_eq!(berlin("Sun 02:15-02:45"), pair("2026-04-05T00:15:00Z", "2026-04-05T00:45:00Z"));
    assert_eq!(berlin("22:00-06:00"), pair("2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"));
}

#[test]
fn the_clock_is_put_back() {
    // 2026-10-25, 03:00 becomes 02:00 in Berlin, at 01:00 UTC.
    let berlin = |times: &str| next_of(&format!("{times} Europe/Berlin"), "2026-10-24T12:00:00Z");
    assert_eq!(berlin("02:00-03:00"), pair("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"));
    assert_eq!(berlin("01:00-04:00"), pair("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"));
    // The clock shows these times twice.
    let twice = schedule(&["02:15-02:45 Europe/Berlin"]);
    let minutes = (0..180).map(|minute| Moment::from_seconds(at("2026-10-25T00:00:00Z").seconds() + 60 * minute));
    let open: Vec<u64> = minutes.filter(|now| twice.is_open(*now)).map(|now| now.seconds() % 86_400 / 60).collect();
    assert_eq!(open, (15..45).chain(75..105).collect::<Vec<_>>());
    assert_eq!(twice.next_open(at("2026-10-25T00:45:00Z")).unwrap().0, at("2026-10-25T01:15:00Z"));
}

#[test]
fn zones_far_from_utc_and_in_the_south() {
    // Sydney puts the clock forward on 2026-10-04 at 02:00, 16:00 UTC of the day before.
    let sydney = next_of("Sun 01:00-04:00 Australia/Sydney", "2026-10-01T00:00:00Z");
    assert_eq!(sydney, pair("2026-10-03T15:00:00Z", "2026-10-03T17:00:00Z"));
    assert_eq!(
        next_of("Mon 00:00-00:30 Pacific/Kiritimati", "2026-11-27T00:00:00Z"),
        pair("2026-11-29T10:00:00Z", "2026-11-29T10:30:00Z")
    );
    // Lord Howe Island changes by half an hour.
    let lord_howe = next_of("02:00-03:00 Australia/Lord_Howe", "2026-10-03T12:00:00Z");
    assert_eq!(lord_howe, pair("2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"));
}

#[test]
fn windows_over_midnight_and_beside_each_other() {
    let night = "Sat,Sun 22:00-06:00 UTC";
    assert_eq!(next_of(night, "2026-11-27T00:00:00Z"), pair("2026-11-28T22:00:00Z", "2026-11-29T06:00:00Z"));
    assert_eq!(next_of(night, "2026-11-30T05:00:00Z"), pair("2026-11-30T05:00:00Z", "2026-11-30T06:00:00Z"));
    let beside = schedule(&["01:00-02:00 UTC", "02:00-03:00 UTC", "02:30-05:00 UTC"]);
    let (opens, window) = beside.next_open(at("2026-11-27T00:00:00Z")).unwrap();
    assert_eq!((opens, window.to_string()), (at("2026-11-27T01:00:00Z"), "01:00-02:00 UTC".to_owned()));
    assert_eq!(beside.next_closed(opens).unwrap(), at("2026-11-27T05:00:00Z"));
}

#[test]
fn no_window_is_always_and_a_week_of_them_never_ends() {
    let now = at("2026-11-27T00:00:00Z");
    assert!(Schedule::default().is_open(now));
    assert!(Schedule::default().next_closed(now).is_none());
    let always = schedule(&["00:00-24:00 UTC"]);
    assert!(always.is_open(now) && always.next_closed(now).is_none());
}

#[test]
fn a_zone_that_the_image_lacks_is_named() {
    let root = tempfile::tempdir().unwrap();
    let load =
        |window: &str| Schedule::load(root.path(), &[window.parse().unwrap()]).map_err(|error| error.to_string());
    assert!(load("02:00-04:00").is_ok());
    let error = load("02:00-04:00 Mars/Base").unwrap_err();
    assert!(error.contains("`02:00-04:00 Mars/Base`: this image knows no time zone `Mars/Base`"), "{error}");
    let folder = root.path().join("usr/share/zoneinfo/Mars");
    fs::create_dir_all(&folder).unwrap();
    for bytes in [b"TZif2".to_vec(), Vec::new(), vec![0xff; 4000]] {
        fs::write(folder.join("Base"), bytes).unwrap();
        let error = load("02:00-04:00 Mars/Base").unwrap_err();
        assert!(error.ends_with("Mars/Base is no time zone"), "{error}");
    }
    // Without the rule at its end, a file knows the past only.
    let whole = fs::read("/usr/share/zoneinfo/Europe/Berlin").unwrap();
    let rule = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    fs::write(folder.join("Base"), [&whole[..=rule], b"\n"].concat()).unwrap();
    assert!(load("02:00-04:00 Mars/Base").unwrap_err().ends_with("is no time zone"));
}

proptest! {
    /// What comes out by edges is what a look at every minute finds.
    #[test]
    fn edges_and_minutes_agree(
        zone in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu",
        ]),
        days in prop::sample::select(vec!["", "Sun ", "Sat..Sun ", "Mon,Wed..Fri "]),
        (start, length) in (0_u32..1440, 10_u32..1439),
        minute in 0_u64..525_600,
    ) {
        let clock = |minutes: u32| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
        let schedule = schedule(&[&format!("{days}{}-{} {zone}", clock(start), clock(start + length))]);
        let from = at("2026-01-01T00:00:00Z").seconds() + 60 * minute;
        let minutes = (0..15 * 1440).map(|step| Moment::from_seconds(from + 60 * step));
        let first = minutes.clone().find(|now| schedule.is_open(*now));
        prop_assert_eq!(schedule.next_open(Moment::from_seconds(from)).map(|(at, _)| at), first);
        let closed = minutes.clone().find(|now| !schedule.is_open(*now));
        prop_assert_eq!(schedule.next_closed(Moment::from_seconds(from)), closed);
    }
}
