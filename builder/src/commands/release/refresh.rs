//! `slipway release refresh`: keeps metadata fresh.

use slipway_builder::release::{Changes, Published, Publisher};
use slipway_trust::time::UnixTime;

use super::signing::Signing;
use crate::context::Context;
use crate::exit_codes::ExitCode;

/// Signs the timestamp once more, so that hosts go on believing it. Needs that key alone; run it daily, by cron say.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sign targets and snapshot once more as well, with all three keys: before they expire, and after keys were replaced
    #[arg(long)]
    all: bool,
    /// Sign what replaced keys have signed, too. Whoever had these keys may have published it: look at `slipway release list` first
    #[arg(long, requires = "all")]
    accept_replaced_keys: bool,
    #[command(flatten)]
    signing: Signing,
}

impl Args {
    /// Does it.
    pub fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let refresh = |publisher: Publisher<'_>| match (self.all, self.accept_replaced_keys) {
            (true, true) => publisher.accept_replaced_keys().publish(&Changes::default()),
            (true, false) => publisher.publish(&Changes::default()),
            (false, _) => {
                let warning = warning(publisher.published(), publisher.now());
                let files = publisher.refresh()?;
                if let Some(warning) = warning {
                    context.note(&warning);
                }
                Ok(files)
            }
        };
        let files = self.signing.change(context, refresh)?;
        if context.json() {
            context.print_json(&files)?;
        } else {
            context.print(&(files.join("\n") + "\n"))?;
        }
        Ok(ExitCode::Success)
    }
}

/// Days before their expiry from which on targets and snapshot are warned of: a refresh from cron doesn't renew them.
const WARN_DAYS: u64 = 30;
const DAY: u64 = 86_400;

fn warning(published: &Published, now: UnixTime) -> Option<String> {
    let (role, expires) = published.content_expires().filter(|(_, expires)| *expires <= now.after(WARN_DAYS * DAY))?;
    let days = expires.as_secs().saturating_sub(now.as_secs()) / DAY;
    Some(format!(
        "the {role} metadata expires in {days} days: hosts take nothing after that; `slipway release refresh --all`"
    ))
}
