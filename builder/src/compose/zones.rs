//! Time zones of maintenance windows: a host that doesn't know one never updates itself.

use slipway_images::tree::{Kind, RootTree, TreePath};
use slipway_images::window::{Window, ZoneName};

use super::ComposeError;
use crate::recipe::nearest;

/// How a zone's file begins (RFC 9636).
const MAGIC: &[u8] = b"TZif";

/// A window by a clock that the image doesn't know.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// There is no database at all.
    #[error("window `{window}` of `[update]` needs a time zone, and the image has none: add tzdata to the packages")]
    NoDatabase {
        /// The window.
        window: Window,
    },
    /// The database lacks the zone.
    #[error("window `{window}` of `[update]`: the image knows no time zone `{zone}`{}", hint(.nearest.as_deref()))]
    Unknown {
        /// The window.
        window: Window,
        /// Its zone.
        zone: ZoneName,
        /// One that may be meant.
        nearest: Option<String>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!(": did you mean `{name}`?"),
        None => "; zones that were renamed long ago are in the package tzdata-legacy".to_owned(),
    }
}

/// Checks the zones of `windows` against the database in `tree`.
pub fn check(tree: &RootTree, windows: &[Window]) -> Result<(), ComposeError> {
    for window in windows.iter().filter(|window| !window.zone().is_utc()) {
        if !is_zone(tree, &TreePath::new(&window.zone().path())?)? {
            return Err(missing(tree, window)?.into());
        }
    }
    Ok(())
}

fn missing(tree: &RootTree, window: &Window) -> Result<ZoneError, ComposeError> {
    let folder = format!("{}/", ZoneName::FOLDER);
    // There are others beside the zones: tables of them, and the same once more with and without leap seconds.
    let names = tree.iter().filter(|(_, node)| !matches!(node.kind, Kind::Folder)).filter_map(|(path, _)| {
        let name = path.as_str().strip_prefix(&folder)?;
        (!name.starts_with("right/") && !name.starts_with("posix/") && ZoneName::new(name).is_ok()).then_some(name)
    });
    let mut zones = Vec::new();
    for name in names {
        if is_zone(tree, &TreePath::new(&format!("{folder}{name}"))?)? {
            zones.push(name);
        }
    }
    let (window, zone) = (window.clone(), window.zone().clone());
    if zones.is_empty() {
        return Ok(ZoneError::NoDatabase { window });
    }
    // Who writes `Berlin` means the one of that name.
    let wanted = zone.as_str().rsplit('/').next().unwrap_or_default();
    let same_city = zones.iter().copied().find(|name| name.rsplit('/').next() == Some(wanted));
    let nearest = same_city.or_else(|| nearest(zone.as_str(), zones.iter().copied())).map(str::to_owned);
    Ok(ZoneError::Unknown { window, zone, nearest })
}

/// Whether the rules of a zone are at `path`, links followed.
fn is_zone(tree: &RootTree, path: &TreePath) -> Result<bool, ComposeError> {
    let Some(content) = tree.file(path) else { return Ok(false) };
    let bytes = content.to_vec().map_err(|source| ComposeError::Read { path: path.clone(), source })?;
    Ok(bytes.starts_with(MAGIC))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::compose::fixture;

    fn told(files: &[(&str, &str)], window: &str) -> Option<String> {
        let files: Vec<_> = files.iter().map(|(name, text)| (format!("/usr/share/zoneinfo/{name}"), *text)).collect();
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        check(&fixture::tree(&files), &[window.parse().unwrap()]).err().map(|error| error.to_string())
    }

    #[test]
    fn a_zone_that_the_image_lacks_is_named_with_the_one_that_may_be_meant() {
        let files = [
            ("Europe/Berlin", "TZif2"),
            ("Europe/Busingen", "-> Berlin"),
            ("America/Argentina/Ushuaia", "TZif2"),
            ("posix/Europe/Berlim", "TZif2"),
            ("Gone", "-> nowhere"),
            ("tzdata.zi", "# version"),
            ("Readme", "text"),
        ];
        for known in ["Europe/Berlin", "Europe/Busingen", "America/Argentina/Ushuaia", "UTC"] {
            assert_eq!(told(&files, &format!("02:00-04:00 {known}")), None);
        }
        assert_eq!(told(&files, "02:00-04:00"), None);
        let of = |zone: &str| told(&files, &format!("Mon 02:00-04:00 {zone}")).unwrap();
        assert_eq!(
            of("Europe/Berlim"),
            "window `Mon 02:00-04:00 Europe/Berlim` of `[update]`: the image knows no time zone `Europe/Berlim`: \
             did you mean `Europe/Berlin`?"
        );
        assert!(of("europe/berlin").ends_with("did you mean `Europe/Berlin`?"));
        assert!(of("Ushuaia").ends_with("did you mean `America/Argentina/Ushuaia`?"));
        for unknown in ["US/Pacific", "Gone", "Readme", "Europe"] {
            let words = of(unknown);
            assert!(words.contains(&format!("no time zone `{unknown}`")), "{words}");
        }
        assert!(of("US/Pacific").ends_with("in the package tzdata-legacy"));
    }

    #[test]
    fn windows_by_a_zone_need_a_database() {
        let words = "window `02:00-04:00 Europe/Berlin` of `[update]` needs a time zone, and the image has none: add tzdata to the \
                     packages";
        assert_eq!(told(&[], "02:00-04:00 Europe/Berlin").as_deref(), Some(words));
        assert_eq!(told(&[("tzdata.zi", "# version")], "02:00-04:00 Europe/Berlin").as_deref(), Some(words));
        assert_eq!(told(&[], "02:00-04:00"), None);
    }
}
