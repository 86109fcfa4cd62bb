//! A network configuration for machines that nobody configured: DHCP on every Ethernet card.

use slipway_images::tree::{Origin, TreePath};

use super::Stage;
use crate::compose::ComposeError;

const DHCP: &str = "\
# The default of the image; a file that sorts before it takes precedence.
[Match]
Type=ether
Name=en* eth*

[Network]
DHCP=yes

[DHCPv4]
UseDomains=yes
";

/// A card without a cable must not hold up the boot, nor a network that is away.
const WAIT_ONLINE: &str = "\
[Service]
ExecStart=
ExecStart=/usr/lib/systemd/systemd-networkd-wait-online --any --timeout=30
";

pub(super) fn apply(stage: &mut Stage<'_>) -> Result<(), ComposeError> {
    if !stage.has("/usr/lib/systemd/systemd-networkd")? {
        return Ok(());
    }
    let is_recipes = |(path, node): (&TreePath, &slipway_images::tree::Node)| {
        node.origin == Origin::Recipe && path.name().ends_with(".network")
    };
    let mut brings_own = false;
    for folder in ["/etc/systemd/network", "/usr/lib/systemd/network"] {
        brings_own |= stage.tree.children(&TreePath::new(folder)?).any(is_recipes);
    }
    if !brings_own {
        stage.file("/usr/lib/systemd/network/80-slipway-dhcp.network", 0o644, DHCP)?;
    }
    let folder = "/usr/lib/systemd/system/systemd-networkd-wait-online.service.d";
    stage.file(&format!("{folder}/10-slipway.conf"), 0o644, WAIT_ONLINE)
}
