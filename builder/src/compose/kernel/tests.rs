#![allow(clippy::unwrap_used)]
use super::*;
#[test]
fn adhoc_real() {
    let base = std::env::var("ADHOC").unwrap();
    let mut tree = RootTree::new();
    fn walk(base: &std::path::Path, dir: &std::path::Path, tree: &mut RootTree) {
        for e in std::fs::read_dir(dir).unwrap() {
            let e = e.unwrap();
            if e.file_type().unwrap().is_dir() { walk(base, &e.path(), tree) } else {
                let p = TreePath::new(&format!("/{}", e.path().strip_prefix(base).unwrap().display())).unwrap();
                tree.insert_file(p, 0o644, std::fs::read(e.path()).unwrap(), Origin::Recipe).unwrap();
            }
        }
    }
    walk(base.as_ref(), base.as_ref(), &mut tree);
    let section = KernelSection { package: String::new(), modules: vec!["**".into()], initrd_modules: vec!["virtio_blk".into(), "dm-verity".into(), "sha256-ssse3".into(),"erofs".into(),"overlay".into(),"ahci".into()], command_line: vec![] };
    let t = std::time::Instant::now();
    let k = install(&mut tree, &section).unwrap();
    eprintln!("{:?} {} {:?}", t.elapsed(), k.release, k.initrd_modules.iter().map(|m| (m.file_name.clone(), m.optional)).collect::<Vec<_>>());
    let out = std::path::PathBuf::from("/tmp/eff/ours");
    for (p, n) in tree.iter() { if let Kind::File(c) = &n.kind {
        let f = out.join(&p.as_str()[1..]); std::fs::create_dir_all(f.parent().unwrap()).unwrap(); std::fs::write(f, c.to_vec().unwrap()).unwrap(); } }
}
