//! Effects: what maintainer scripts would have done, as steps on a tree. Each goes by the name that
//! [`Origin::Effect`](slipway_images::tree::Origin::Effect) shows.

pub mod alternatives;
pub mod ca_certificates;
pub mod error;
pub mod nsswitch;
pub mod pam;
