//! What a first root and each next one say.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use slipway_trust::key::{KeyId, PublicKey};
use slipway_trust::time::UnixTime;
use slipway_trust::tuf::schema::Root;
use slipway_trust::tuf::sign::{RootBuilder, SignError, SigningKey, TopRole, UnsignedRole};

use super::KeysError;

/// That so many of these keys can sign: before anything is made that a mistake would leave behind.
pub fn check_threshold(root_keys: &[PublicKey], threshold: NonZeroU64) -> Result<(), KeysError> {
    let different: BTreeSet<_> = root_keys.iter().map(PublicKey::id).collect();
    let (threshold, keys) = (threshold.get(), different.len() as u64);
    if keys < threshold {
        return Err(SignError::Threshold { role: TopRole::Root.name(), threshold, keys }.into());
    }
    Ok(())
}

/// The first root: these keys sign roots, so many of them each; and one key for each online role.
pub fn first_root(
    root_keys: &[PublicKey],
    threshold: NonZeroU64,
    online: &[(TopRole, SigningKey)],
    (now, expires): (UnixTime, UnixTime),
) -> Result<UnsignedRole<Root>, KeysError> {
    let root = RootBuilder::first(now, expires).threshold(TopRole::Root, threshold);
    let root = root_keys.iter().fold(root, |root, key| root.add_key(TopRole::Root, key));
    let root = online.iter().fold(root, |root, (role, key)| root.add_key(*role, &key.public()));
    Ok(root.build()?)
}

/// What is to be another in the next root; what isn't named stays.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// Keys that may sign roots from now on.
    pub add_root: Vec<PublicKey>,
    /// Root keys that no longer may, by the first characters of their names.
    pub remove_root: Vec<String>,
    /// Root keys that must sign.
    pub threshold: Option<NonZeroU64>,
    /// New keys of online roles, in place of those before.
    pub online: Vec<(TopRole, PublicKey)>,
}

/// The root after `previous`.
pub fn next_root(
    previous: &Root,
    rotation: &Rotation,
    (now, expires): (UnixTime, UnixTime),
) -> Result<UnsignedRole<Root>, KeysError> {
    let mut root = RootBuilder::after(previous, now, expires)?;
    for start in &rotation.remove_root {
        root = root.remove_key(TopRole::Root, &only_key(previous, start)?);
    }
    for key in &rotation.add_root {
        root = root.add_key(TopRole::Root, key);
    }
    if let Some(threshold) = rotation.threshold {
        root = root.threshold(TopRole::Root, threshold);
    }
    for (role, key) in &rotation.online {
        root = role.of(previous).key_ids.iter().fold(root, |root, id| root.remove_key(*role, id));
        root = root.add_key(*role, key);
    }
    Ok(root.build()?)
}

fn only_key(root: &Root, start: &str) -> Result<KeyId, KeysError> {
    let mut found = root.root.key_ids.iter().filter(|id| id.as_str().starts_with(start));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id.clone()),
        _ => Err(KeysError::NoSuchKey(start.to_owned())),
    }
}
