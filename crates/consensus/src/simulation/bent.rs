//! What a traitor does with the messages that its engine, which is everybody's, wants to send.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, Sender};
use commonware_runtime::{Clock as _, IoBufs, Spawner as _, Supervisor as _, deterministic::Context};

/// What becomes of a message to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Withheld,
    Late(Duration),
    Replaced(Vec<u8>),
}

/// Decides by channel, recipient and bytes.
pub(super) type Trick = Arc<dyn Fn(u64, &PublicKey, &[u8]) -> Fate + Send + Sync>;

/// A channel that is sent on as a trick says.
#[derive(Clone)]
pub(super) struct Bent<S> {
    inner: S,
    channel: u64,
    /// `None`: everything is sent as it is.
    trick: Option<Trick>,
    context: Arc<Context>,
}

impl<S> Bent<S> {
    pub(super) fn new(inner: S, channel: u64, trick: Option<Trick>, context: Context) -> Self {
        Self { inner, channel, trick, context: Arc::new(context) }
    }
}

impl<S> fmt::Debug for Bent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bent").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl<S: Sender<PublicKey = PublicKey>> LimitedSender for Bent<S> {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<S>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Checked<S>, SystemTime> {
        let recipients = self.inner.check(recipients)?.recipients();
        Ok(Checked { sender: self.clone(), recipients })
    }
}

/// Who may be sent to.
pub(super) struct Checked<S> {
    sender: Bent<S>,
    recipients: Vec<PublicKey>,
}

impl<S: Sender<PublicKey = PublicKey>> CheckedSender for Checked<S> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.recipients.clone()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let Self { sender: Bent { mut inner, channel, trick, context }, recipients } = self;
        let message = message.into().coalesce();
        let Some(trick) = trick else {
            inner.send(Recipients::Some(recipients), message, priority);
            return Unreliable::Outcome(Feedback::Ok);
        };
        for to in recipients {
            match trick(channel, &to, message.as_ref()) {
                Fate::Sent => {
                    inner.send(Recipients::One(to), message.clone(), priority);
                }
                Fate::Withheld => {}
                Fate::Replaced(other) => {
                    inner.send(Recipients::One(to), other, priority);
                }
                Fate::Late(by) => {
                    let (mut inner, message) = (inner.clone(), message.clone());
                    context.child("late").spawn(move |context| async move {
                        context.sleep(by).await;
                        inner.send(Recipients::One(to), message, priority);
                    });
                }
            }
        }
        Unreliable::Outcome(Feedback::Ok)
    }
}
