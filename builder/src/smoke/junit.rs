//! A smoke report as `JUnit` XML, for those who collect test results.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::SmokeReport;

impl SmokeReport {
    /// Writes it: a suite per boot, a case per check.
    pub fn write_junit(&self, writer: impl Write) -> io::Result<()> {
        let mut report = Report::new(format!("slipway test {}", self.image));
        report.set_time(Duration::from_millis(self.wall_ms));
        for (number, boot) in (1..).zip(&self.boots) {
            let mut suite = TestSuite::new(format!("boot {number}"));
            for outcome in &boot.outcomes {
                let status = if outcome.ok { TestCaseStatus::success() } else { failure(&outcome.detail) };
                let mut case = TestCase::new(&outcome.name, status);
                case.set_classname(&self.image);
                case.set_time(Duration::from_millis(outcome.ms));
                if outcome.ok && !outcome.detail.is_empty() {
                    case.set_system_out(&outcome.detail);
                }
                suite.add_test_case(case);
            }
            report.add_test_suite(suite);
        }
        if let Some(reason) = &self.broke {
            let mut suite = TestSuite::new("machine");
            suite.add_test_case(TestCase::new("runs to the end of the test", failure(reason)));
            report.add_test_suite(suite);
        }
        report.serialize(writer).map_err(io::Error::other)
    }
}

fn failure(detail: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(detail.lines().next().unwrap_or_default());
    status.set_description(detail);
    status
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::report::{Boot, Outcome};
    use super::*;

    #[test]
    fn a_failure_has_its_words_and_markup_is_escaped() {
        let outcome = |name: &str, ok, detail: &str| Outcome { name: name.into(), ok, ms: 1500, detail: detail.into() };
        let report = SmokeReport {
            image: "host_1".into(),
            boots: vec![Boot {
                outcomes: vec![outcome("docker", true, "fine"), outcome("a < b", false, "line & one\nline two")],
                ..Boot::default()
            }],
            broke: Some("QEMU ended".into()),
            ..SmokeReport::default()
        };
        let mut xml = Vec::new();
        report.write_junit(&mut xml).unwrap();
        let xml = String::from_utf8(xml).unwrap();
        for wanted in [
            r#"tests="3""#,
            r#"failures="2""#,
            r#"name="boot 1""#,
            r#"<testcase name="a &lt; b" classname="host_1" time="1.500">"#,
            r#"<failure message="line &amp; one">"#,
            "line two",
            r#"name="runs to the end of the test""#,
        ] {
            assert!(xml.contains(wanted), "{wanted} not in\n{xml}");
        }
    }
}
