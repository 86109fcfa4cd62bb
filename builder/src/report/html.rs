//! `report.html`: one file, no network, readable in any browser made after 2020.

use super::Report;

const TEMPLATE: &str = include_str!("template.html");
const PLACEHOLDER: &str = "\"@REPORT@\"";

/// The report as a self-contained page.
pub fn html(report: &Report) -> Result<String, serde_json::Error> {
    // `<` can't occur in the script that carries the data: no text of a package can end it.
    let data = serde_json::to_string(report)?.replace('<', "\\u003c");
    Ok(TEMPLATE.replacen(PLACEHOLDER, &data, 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_page_carries_the_data_and_no_text_can_break_out_of_it() {
        assert_eq!(TEMPLATE.matches(PLACEHOLDER).count(), 1);
        let mut report = super::super::sample();
        report.description = "</script><script>alert(1)</script>".into();
        let page = html(&report).unwrap();
        assert!(!page.contains("<script>alert"));
        assert!(!page.contains(PLACEHOLDER));
        assert!(page.contains("docker.io"));
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is loaded from elsewhere");
    }
}
