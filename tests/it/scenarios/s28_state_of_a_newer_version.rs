//! A new version writes its state otherwise, by declared migrations, and is left: the old one finds `/var` as it was. When a version
//! of that state is kept, it stays.

use slipway_tests::updates::{Edition, Host};

const NAME: &str = "s28";

/// State in the old way is a file, in the new way a folder; a service of each version insists on its own.
const OLD: &str = "test -d /var/lib/shop || { mkdir -p /var/lib/shop && echo old > /var/lib/shop/format; }\n\
    [[ $(</var/lib/shop/format) == old ]] || { echo this is not mine; exit 1; }\necho order >> /var/lib/shop/orders";
const NEW: &str =
    "[[ $(</var/lib/shop/format) == new ]] || { echo this is not mine; exit 1; }\necho order >> /var/lib/shop/orders";

const MIGRATE: &str = "#!/bin/bash\nset -e\ncd /var/lib/shop\ncase $1 in\nup) echo new > format ;;\ndown) echo old > format ;;\nesac\nsync .\n";

const MIGRATIONS: &str = "[[migration]]\nname = \"orders\"\nsince = \"2\"\ncopy-aside = [\"/var/lib/ledger\"]\n\
    before = [\"shop.service\"]\n\
    [[migration]]\nname = \"format\"\nsince = \"2\"\nup = \"/usr/lib/migrate\"\ndown = \"/usr/lib/migrate\"\n\
    before = [\"shop.service\"]\n";

#[test]
#[ignore = "five boots: `make scenarios` runs it"]
fn the_old_version_finds_it_as_it_was_and_a_good_one_keeps_it() {
    let after_var = "After=local-fs.target\nRequiresMountsFor=/var/lib";
    let old = Edition::new("1.shop").with_service("shop", OLD, "multi-user.target", after_var).build();
    let next = |version: &str| {
        Edition::new(version)
            .with_service("shop", NEW, "multi-user.target", after_var)
            .with_file("/usr/lib/migrate", MIGRATE)
            .with(MIGRATIONS)
    };
    let closed = "[[health.check]]\nname = \"customers\"\ncommand = [\"false\"]\nwithin = \"10s\"\n";
    let bad = next("2.shop.closed").with(closed).build();
    let good = next("3.shop").build();
    let (mut host, mut repository, _) = Host::offered(NAME, &old, &bad);
    host.shell(
        "mkdir -p /var/lib/ledger && echo 17 > /var/lib/ledger/balance && chown 7:9 /var/lib/ledger/balance && sync",
    );
    let facts = "cat /var/lib/shop/format; stat -c '%u %g %a' /var/lib/ledger/balance; cat /var/lib/ledger/balance";
    let before = host.shell(facts);

    host.update_and_restart();
    host.machine().guest().unwrap().wait_for_hello(slipway_tests::updates::PATIENCE).unwrap();
    // As its services do, before the health checks are over.
    let changed = host.shell(
        "until test $(cat /var/lib/shop/format) = new; do sleep 0.2; done; echo 18 > /var/lib/ledger/balance; sync",
    );
    assert_eq!(changed, "");
    host.wait_until_runs("1.shop");
    assert_eq!(host.shell(facts), before, "/var is as it was");
    assert_eq!(host.output(&["systemctl", "is-active", "shop.service"]), "active\n");
    // Orders that the new version took are in a file that both can read.
    assert_eq!(host.shell("cat /var/lib/shop/orders"), "order\n".repeat(3));
    let (label, reason) = host.failures().remove(0);
    assert_eq!((label.as_str(), &reason["kind"]), ("minimal_2.shop.closed", &"health".into()));

    repository.publish(&good, &[&old]);
    host.update_and_restart();
    host.wait_until_runs("3.shop");
    assert!(host.shell(facts).starts_with("new\n"));
    assert_eq!(host.output(&["systemctl", "is-active", "shop.service"]), "active\n");
    assert_eq!(host.status()["running"]["standing"], "good");
    assert_eq!(host.resets(), 3);
}
