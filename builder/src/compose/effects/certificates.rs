//! ca-certificates: one bundle of all authorities, in the order of their paths, as update-ca-certificates(8) writes it.
//!
//! The hashed links in `/etc/ssl/certs` are left out: OpenSSL reads the bundle through `/usr/lib/ssl/cert.pem`.

use slipway_images::tree::{Kind, TreePath};

use super::Stage;
use crate::compose::ComposeError;

const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    let mut bundle = Vec::new();
    for folder in ["/usr/share/ca-certificates", "/usr/local/share/ca-certificates"] {
        let folder = TreePath::new(folder)?;
        let mut files: Vec<_> = stage
            .tree
            .below(&folder)
            .filter(|(path, _)| path.name().strip_suffix(".crt").is_some())
            .filter_map(|(path, node)| match &node.kind {
                Kind::File(content) => Some((path.as_str().to_owned(), content.clone())),
                _ => None,
            })
            .collect();
        // Plain byte order, which is not the tree's.
        files.sort_by(|one, other| one.0.cmp(&other.0));
        for (path, content) in files {
            let bytes = content.to_vec().map_err(|source| ComposeError::Read {
                path: TreePath::new(&path).unwrap_or_else(|_| folder.clone()),
                source,
            })?;
            if !bytes.windows(PEM.len()).any(|window| window == PEM) {
                return Err(stage.problem(format!("`{path}` is no certificate in PEM form")));
            }
            bundle.extend(&bytes);
            if !bytes.ends_with(b"\n") {
                bundle.push(b'\n');
            }
        }
    }
    if bundle.is_empty() {
        return Ok(());
    }
    stage.file(BUNDLE, 0o644, bundle)?;
    stage.link("/usr/lib/ssl/cert.pem", BUNDLE)
}
