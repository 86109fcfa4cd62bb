//! Which packages are chosen, and what is said when none can be.

use std::collections::BTreeMap;

use slipway_builder::apt::{PackageRecord, record_from_control};
use slipway_builder::deb::control::paragraphs;
use slipway_builder::solve::{Request, SolveError, Wish, pick, solve};
use slipway_images::digest::Digest;

/// Records from control paragraphs; `Suite` is `stable` unless the text says otherwise.
fn records(text: &str) -> Vec<PackageRecord> {
    let record = |paragraph: Result<_, _>| {
        let paragraph: slipway_builder::deb::control::Paragraph<'_> = paragraph.unwrap();
        let suite = paragraph.field("Suite").unwrap_or("stable");
        let repository = if suite == "local" { "local" } else { "debian" };
        let digest = Digest::of(format!("{paragraph:?}").as_bytes());
        record_from_control(&paragraph, (repository.into(), suite.into()), "pool/x.deb", (1, digest)).unwrap()
    };
    let parts = text.split("\n\n").filter(|part| !part.trim().is_empty());
    let parts: Vec<_> = parts.map(|part| format!("{}\nArchitecture: amd64", part.trim())).collect();
    paragraphs(&parts.join("\n\n")).map(record).collect()
}

fn request(add: &[&str], drop: &[&str]) -> Request {
    Request {
        wishes: add.iter().map(|text| text.parse().unwrap()).collect(),
        drop: drop.iter().map(|&name| name.to_owned()).collect(),
        recommends: false,
    }
}

fn chosen(records: &[PackageRecord], request: &Request) -> Result<Vec<String>, SolveError> {
    chosen_keeping(records, request, &BTreeMap::new())
}

fn chosen_keeping(
    records: &[PackageRecord],
    request: &Request,
    kept: &BTreeMap<String, String>,
) -> Result<Vec<String>, SolveError> {
    let solution = solve(records, request, kept)?;
    let shown = |at: &usize| format!("{} {}", records[*at].name, records[*at].version);
    Ok(solution.packages.iter().map(shown).collect())
}

const BASE: &str = "
Package: web
Version: 2
Depends: libc (>= 2), ssl | tls
Pre-Depends: init

Package: libc
Version: 1

Package: libc
Version: 2
Suite: updates

Package: libc
Version: 3
Suite: experimental
Depends: missing

Package: init
Version: 1
Recommends: docs, nowhere

Package: docs
Version: 1

Package: ssl
Version: 1

Package: tls
Version: 1

Package: mail-a
Version: 1
Provides: mta (= 3), mail-reader

Package: mail-b
Version: 1
Provides: mta

Package: needs-mta
Version: 1
Depends: mta

Package: needs-mta-3
Version: 1
Depends: mta (>= 3)

Package: needs-mta-4
Version: 1
Depends: mta (>= 4)
";

#[test]
fn the_highest_version_that_works_and_the_first_alternative() {
    let records = records(BASE);
    assert_eq!(chosen(&records, &request(&["web"], &[])).unwrap(), ["init 1", "libc 2", "ssl 1", "web 2"]);
    // What is there anyway makes the first alternative unnecessary.
    assert_eq!(chosen(&records, &request(&["web", "tls"], &[])).unwrap(), ["init 1", "libc 2", "tls 1", "web 2"]);
    assert_eq!(chosen(&records, &request(&["libc=1"], &[])).unwrap(), ["libc 1"]);
    assert_eq!(chosen(&records, &request(&["libc/stable"], &[])).unwrap(), ["libc 1"]);
    let recommending = Request { recommends: true, ..request(&["init"], &[]) };
    assert_eq!(chosen(&records, &recommending).unwrap(), ["docs 1", "init 1"]);
}

#[test]
fn what_is_dropped_counts_as_there_and_so_does_what_it_provides() {
    let records = records(BASE);
    assert_eq!(chosen(&records, &request(&["web"], &["libc", "init"])).unwrap(), ["ssl 1", "web 2"]);
    assert_eq!(chosen(&records, &request(&["web"], &["tls"])).unwrap(), ["init 1", "libc 2", "web 2"]);
    assert_eq!(chosen(&records, &request(&["needs-mta"], &["mail-b"])).unwrap(), ["needs-mta 1"]);
    let error = chosen(&records, &request(&["web"], &["web"])).unwrap_err();
    assert_eq!(error.to_string(), "`web` is in `packages.add` and in `packages.drop`");
}

#[test]
fn virtual_packages_with_and_without_versions() {
    let records = records(BASE);
    assert_eq!(chosen(&records, &request(&["needs-mta"], &[])).unwrap(), ["mail-a 1", "needs-mta 1"]);
    assert_eq!(chosen(&records, &request(&["needs-mta", "mail-b"], &[])).unwrap(), ["mail-b 1", "needs-mta 1"]);
    assert_eq!(chosen(&records, &request(&["needs-mta-3"], &[])).unwrap(), ["mail-a 1", "needs-mta-3 1"]);
    let error = chosen(&records, &request(&["needs-mta-4"], &[])).unwrap_err().to_string();
    assert!(error.contains("needs-mta-4") && error.contains("mta (>= 4)"), "{error}");
    assert_eq!(chosen(&records, &request(&["mail-reader"], &[])).unwrap(), ["mail-a 1"]);
    let error = chosen(&records, &request(&["mta"], &[])).unwrap_err().to_string();
    assert_eq!(error, "`mta` is virtual: write one of the packages that provide it: mail-a, mail-b");
}

#[test]
fn versions_of_a_previous_lock_stay_where_they_can() {
    let records = records(BASE);
    let kept = |name: &str, version: &str| BTreeMap::from([(name.to_owned(), version.to_owned())]);
    let keeping = |request, kept| chosen_keeping(&records, &request, &kept).unwrap();
    assert_eq!(keeping(request(&["libc", "docs"], &[]), kept("libc", "1")), ["docs 1", "libc 1"]);
    assert_eq!(keeping(request(&["libc"], &[]), kept("libc", "0")), ["libc 2"]);
    assert!(keeping(request(&["web"], &[]), kept("libc", "1")).contains(&"libc 2".to_owned()));
}

#[test]
fn local_packages_come_before_all_others() {
    let records = records(&format!("{BASE}\nPackage: ssl\nVersion: 0.1\nSuite: local\n"));
    assert!(chosen(&records, &request(&["web"], &[])).unwrap().contains(&"ssl 0.1".to_owned()));
}

#[test]
fn conflicts_and_breaks_are_kept() {
    let records = records(
        "
Package: aa
Version: 1
Conflicts: bb

Package: bb
Version: 1

Package: old
Version: 1

Package: old
Version: 2

Package: breaker
Version: 1
Breaks: old (>= 2)

Package: mta-x
Version: 1
Provides: mta
Conflicts: mta

Package: mta-y
Version: 1
Provides: mta
Conflicts: mta
",
    );
    assert_eq!(chosen(&records, &request(&["old", "breaker"], &[])).unwrap(), ["breaker 1", "old 1"]);
    assert_eq!(chosen(&records, &request(&["mta-x"], &[])).unwrap(), ["mta-x 1"]);
    for (pair, words) in [
        (["aa", "bb"], ["aa 1 conflicts with", "bb (any version), which is wanted above"]),
        (["mta-x", "mta-y"], ["mta-x (asked for)", "mta-y (as mta)"]),
    ] {
        let error = chosen(&records, &request(&pair, &[])).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn a_conflict_says_which_wish_leads_to_what() {
    let records = records(
        "
Package: app
Version: 1
Depends: helper

Package: helper
Version: 1
Depends: lib (>= 2)

Package: tool
Version: 1
Depends: lib (<< 2)

Package: lib
Version: 1

Package: lib
Version: 2
",
    );
    let error = chosen(&records, &request(&["app", "tool"], &[])).unwrap_err().to_string();
    for word in ["app (asked for)", "tool (asked for)", "helper", "lib (>= 2)", "lib (<< 2)"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert_eq!(error, chosen(&records, &request(&["app", "tool"], &[])).unwrap_err().to_string());
}

#[test]
fn unknown_names_come_with_near_ones() {
    let records =
        records("Package: docker.io\nVersion: 1\n\nPackage: docker-cli\nVersion: 1\n\nPackage: less\nVersion: 668");
    let error = |text: &str| chosen(&records, &request(&[text], &[])).unwrap_err().to_string();
    assert_eq!(
        error("dockerio"),
        "there is no package `dockerio` in the suites of the recipe: did you mean `docker.io` or `docker-cli`?"
    );
    assert_eq!(error("zzzz"), "there is no package `zzzz` in the suites of the recipe");
    assert_eq!(error("less=700"), "there is no `less=700`; there is 668 in stable");
    assert_eq!(error("less/sid"), "there is no `less/sid`; there is 668 in stable");
}

#[test]
fn single_packages_are_picked_without_what_they_need() {
    let records = records(BASE);
    let wish = |text: &str| text.parse::<Wish>().unwrap();
    let picked = pick(&records, &wish("libc"), &BTreeMap::new()).unwrap();
    assert_eq!(records[picked].version.as_str(), "3");
    let kept = BTreeMap::from([("libc".to_owned(), "2".to_owned())]);
    assert_eq!(records[pick(&records, &wish("libc"), &kept).unwrap()].version.as_str(), "2");
    assert!(matches!(pick(&records, &wish("nope"), &kept), Err(SolveError::Unknown { .. })));
}

#[test]
fn the_same_question_has_the_same_answer() {
    // A few hundred packages, each with a choice among several others.
    let packages: Vec<_> = (0..300)
        .map(|n| {
            let other = |factor: usize| format!("p{}", (n * factor + 7) % 300);
            format!(
                "Package: p{n}\nVersion: {}\nDepends: {} | {} | v{}\nProvides: v{}",
                n % 5 + 1,
                other(3),
                other(11),
                n % 17,
                n % 13
            )
        })
        .collect();
    let records = records(&packages.join("\n\n"));
    let first = chosen(&records, &request(&["p1", "p100", "p250"], &[])).unwrap();
    for _ in 0..5 {
        assert_eq!(chosen(&records, &request(&["p1", "p100", "p250"], &[])).unwrap(), first);
    }
}
