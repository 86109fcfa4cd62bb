//! Which clear-signed texts are accepted: signed by GnuPG, judged here.

use proptest::prelude::*;
use slipway_trust::openpgp::{Certificates, OpenPgpError, RejectionReason, VerifiedText};
use slipway_trust::time::UnixTime;

use crate::gpg::Gpg;

const TEXT: &str = "Suite: stable\n- dash\n-----BEGIN PGP SIGNED MESSAGE-----\nFrom here\ntrailing \t \n\nend\n";
const MADE: &str = "20250101T000000";
const SIGNED: &str = "20250601T000000";

fn at(year: u64) -> UnixTime {
    UnixTime::from_civil((year, 7, 1), (0, 0, 0)).unwrap()
}

fn reasons(result: Result<VerifiedText, OpenPgpError>) -> Vec<RejectionReason> {
    match result {
        Err(OpenPgpError::NoGoodSignature(rejections)) => {
            rejections.into_iter().map(|rejection| rejection.reason).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_signed_by_a_known_key_is_what_was_signed() {
    let gpg = Gpg::new();
    let fingerprint = gpg.key(MADE, "archive", "ed25519", "sign", "5y");
    let known = Certificates::parse(&gpg.export("archive")).unwrap();
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], TEXT);
    let verified = known.verify(message.as_bytes(), at(2025)).unwrap();
    assert_eq!(
        verified.text(),
        "Suite: stable\n- dash\n-----BEGIN PGP SIGNED MESSAGE-----\nFrom here\ntrailing\n\nend"
    );
    assert_eq!(verified.signer().as_str(), fingerprint);
    assert_eq!(verified.signed_at().to_string(), "2025-06-01 00:00:00 UTC");

    // White space at line ends is outside the signature, so a mirror may lose it.
    let stripped = message.replace("trailing \t ", "trailing");
    assert_eq!(known.verify(stripped.as_bytes(), at(2025)).unwrap().text(), verified.text());
    let crlf = message.replace('\n', "\r\n");
    assert_eq!(known.verify(crlf.as_bytes(), at(2025)).unwrap().text(), verified.text());

    // White space anywhere else is not.
    for (from, to) in
        [("stable", "unstable"), ("\n\nend", "\nend"), ("From here", " From here"), ("- - dash", "- dash")]
    {
        assert!(message.contains(from), "{message}");
        let tampered = message.replacen(from, to, 1);
        assert_eq!(reasons(known.verify(tampered.as_bytes(), at(2025))), [RejectionReason::Mismatch], "{tampered}");
    }
}

#[test]
fn a_signing_subkey_signs_and_one_of_two_known_keys_is_enough() {
    let gpg = Gpg::new();
    let primary = gpg.key(MADE, "archive", "rsa2048", "cert", "5y");
    gpg.run(MADE, &["--quick-add-key", &primary, "rsa2048", "sign", "2y"], b"");
    gpg.key(MADE, "stranger", "ed25519", "sign", "5y");
    let known = Certificates::parse(&gpg.export("archive")).unwrap();
    let message = gpg.clear_sign(SIGNED, &["stranger", "archive"], &[], TEXT);
    assert_ne!(known.verify(message.as_bytes(), at(2025)).unwrap().signer().as_str(), primary);
    // The subkey's two years are over, the primary key's five are not.
    let ended = UnixTime::from_civil((2027, 1, 1), (0, 0, 0)).unwrap();
    assert_eq!(
        reasons(known.verify(message.as_bytes(), at(2027))),
        [RejectionReason::UnknownKey, RejectionReason::KeyExpired(ended)]
    );
    let foreign = gpg.clear_sign(SIGNED, &["stranger"], &[], TEXT);
    assert_eq!(reasons(known.verify(foreign.as_bytes(), at(2025))), [RejectionReason::UnknownKey]);
    let both = known.and(Certificates::parse(&gpg.export("stranger")).unwrap());
    assert_eq!(both.fingerprints().len(), 2);
    both.verify(foreign.as_bytes(), at(2025)).unwrap();
}

#[test]
fn expired_keys_and_signatures_are_refused_by_the_clock_given() {
    let gpg = Gpg::new();
    let key = gpg.key(MADE, "archive", "ed25519", "sign", "2y");
    let short = Certificates::parse(&gpg.export("archive")).unwrap();
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], TEXT);
    short.verify(message.as_bytes(), at(2026)).unwrap();
    assert!(matches!(reasons(short.verify(message.as_bytes(), at(2027)))[..], [RejectionReason::KeyExpired(_)]));
    assert!(matches!(reasons(short.verify(message.as_bytes(), at(2024)))[..], [RejectionReason::Future(_)]));

    // Prolonged by its owner: the newest statement counts, also beside the outdated copy.
    gpg.run("20260101T000000", &["--quick-set-expire", &key, "9y"], b"");
    let prolonged = Certificates::parse(&gpg.run("20260101T000000", &["--export", "archive"], b"")).unwrap();
    prolonged.verify(message.as_bytes(), at(2027)).unwrap();
    short.clone().and(prolonged).verify(message.as_bytes(), at(2027)).unwrap();

    let brief = gpg.clear_sign(SIGNED, &["archive"], &["--default-sig-expire", "10d"], TEXT);
    short.verify(brief.as_bytes(), UnixTime::from_civil((2025, 6, 9), (0, 0, 0)).unwrap()).unwrap();
    assert!(matches!(reasons(short.verify(brief.as_bytes(), at(2025)))[..], [RejectionReason::Expired(_)]));
}

#[test]
fn revoked_keys_sign_nothing() {
    let gpg = Gpg::new();
    let key = gpg.key(MADE, "archive", "ed25519", "cert", "5y");
    gpg.run(MADE, &["--quick-add-key", &key, "ed25519", "sign", "5y"], b"");
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], TEXT);
    let known = Certificates::parse(&gpg.export("archive")).unwrap();
    known.verify(message.as_bytes(), at(2025)).unwrap();

    let edit = ["--no-batch", "--no-tty", "--command-fd", "0", "--status-fd", "2", "--edit-key", &key];
    gpg.run("20250602T000000", &edit, b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    let without_subkey = Certificates::parse(&gpg.run("20250602T000000", &["--export", "archive"], b"")).unwrap();
    assert_eq!(reasons(without_subkey.verify(message.as_bytes(), at(2025))), [RejectionReason::KeyRevoked]);
}

#[test]
fn a_revoked_primary_key_takes_its_subkeys_along() {
    let gpg = Gpg::new();
    let key = gpg.key(MADE, "archive", "ed25519", "cert", "5y");
    gpg.run(MADE, &["--quick-add-key", &key, "ed25519", "sign", "5y"], b"");
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], TEXT);
    let revocation = ["--no-batch", "--no-tty", "--command-fd", "0", "--status-fd", "2", "--gen-revoke", &key];
    let certificate = gpg.run("20250602T000000", &revocation, b"y\n0\n\ny\n");
    gpg.run("20250602T000000", &["--import"], &certificate);
    let revoked = Certificates::parse(&gpg.run("20250602T000000", &["--export", "archive"], b"")).unwrap();
    assert_eq!(reasons(revoked.verify(message.as_bytes(), at(2025))), [RejectionReason::KeyRevoked]);
}

#[test]
fn weak_digests_and_short_keys_are_refused() {
    let gpg = Gpg::new();
    gpg.key(MADE, "archive", "rsa2048", "sign", "5y");
    gpg.key(MADE, "short", "rsa1024", "sign", "5y");
    let known = Certificates::parse(&gpg.export("archive")).unwrap();
    for digest in ["SHA1", "RIPEMD160"] {
        let weak = gpg.clear_sign(SIGNED, &["archive"], &["--digest-algo", digest], TEXT);
        let reasons = reasons(known.verify(weak.as_bytes(), at(2025)));
        assert!(matches!(&reasons[..], [RejectionReason::WeakDigest(name)] if name == digest), "{reasons:?}");
    }
    let short = Certificates::parse(&gpg.export("short")).unwrap();
    let message = gpg.clear_sign(SIGNED, &["short"], &["--digest-algo", "SHA512"], TEXT);
    assert_eq!(reasons(short.verify(message.as_bytes(), at(2025))), [RejectionReason::WeakKey]);
}

#[test]
fn text_outside_the_signed_part_refuses_the_message() {
    let gpg = Gpg::new();
    gpg.key(MADE, "archive", "ed25519", "sign", "5y");
    let known = Certificates::parse(&gpg.export("archive")).unwrap();
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], "Suite: stable\n");
    let another = gpg.clear_sign(SIGNED, &["archive"], &[], "Suite: other\n");
    for tampered in [
        format!("Suite: evil\n{message}"),
        format!("{message}Suite: evil\n"),
        format!("{message}{another}"),
        message.replacen("\n\n", "\nSuite: evil\n\n", 1),
        message.replacen("\n\nSuite", "\n\n-----BEGIN PGP SIGNED MESSAGE-----\n\nSuite", 1),
        message[..message.len() - 30].to_owned(),
        String::new(),
        "Suite: stable\n".to_owned(),
    ] {
        let refused = known.verify(tampered.as_bytes(), at(2025));
        assert!(matches!(refused, Err(OpenPgpError::Framing(_))), "{tampered}\n{refused:?}");
    }
    known.verify(format!("{message}\n \n").as_bytes(), at(2025)).unwrap();
}

#[test]
fn key_files_may_be_armoured_and_hold_several_blocks_but_no_secrets() {
    let gpg = Gpg::new();
    gpg.key(MADE, "one", "ed25519", "sign", "5y");
    gpg.key(MADE, "two", "ed25519", "sign", "5y");
    let armoured = |user| String::from_utf8(gpg.run(SIGNED, &["--armor", "--export", user], b"")).unwrap();
    let both = format!("{}some words\n{}", armoured("one"), armoured("two"));
    assert_eq!(Certificates::parse(both.as_bytes()).unwrap().fingerprints().len(), 2);
    assert_eq!(Certificates::parse(&gpg.run(SIGNED, &["--export"], b"")).unwrap().fingerprints().len(), 2);
    assert!(matches!(Certificates::parse(b"no key\n"), Err(OpenPgpError::NoCertificate)));
    assert!(matches!(Certificates::parse(b""), Err(OpenPgpError::NoCertificate)));
    let secret = gpg.run(SIGNED, &["--armor", "--export-secret-keys", "one"], b"");
    assert!(matches!(Certificates::parse(&secret), Err(OpenPgpError::SecretKey)));
}

#[test]
fn damaged_messages_and_keys_never_panic_or_pass() {
    let gpg = Gpg::new();
    gpg.key(MADE, "archive", "ed25519", "sign", "5y");
    let (key, text) = (gpg.export("archive"), "Suite: stable\nDate: today\n");
    let known = Certificates::parse(&key).unwrap();
    let message = gpg.clear_sign(SIGNED, &["archive"], &[], text).into_bytes();
    let signed = known.verify(&message, at(2025)).unwrap().text().to_owned();
    proptest!(ProptestConfig::with_cases(400), |(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4))| {
        let (mut message, mut key) = (message.clone(), key.clone());
        for (index, byte) in changes {
            *index.get_mut(&mut message) = byte;
            *index.get_mut(&mut key) = byte;
        }
        // A change may hit white space, or a part of the armour that means nothing: never the text.
        if let Ok(verified) = known.verify(&message, at(2025)) {
            prop_assert_eq!(verified.text(), &signed);
        }
        if let Ok(damaged) = Certificates::parse(&key) {
            let _ = damaged.verify(&message, at(2025));
        }
    });
}
