//! Applications that send a signed-in user to the login again and again: the login sends them back each time, and the
//! browser goes round until it gives up.

use sha2::{Digest, Sha256};

use super::Parts;
use crate::base::rate;
use crate::session::Session;
use crate::store::{Bucket, BucketName, Taken};

/// So often is somebody sent on to one place who need not log in; browsers give up after twenty redirects, which are ten
/// rounds, and Safari after sixteen.
const MOST: &str = "6/m";

impl Parts {
    /// Whether the user of `session` was sent on to `destination` too often to be sent there again. Where nobody can
    /// tell they are: browsers have a limit of their own.
    pub(super) async fn goes_round(&self, session: &Session, destination: &str) -> bool {
        let digest: [u8; 32] =
            Sha256::new().chain_update(session.handle.as_bytes()).chain_update(destination).finalize().into();
        let name = BucketName { scope: "round", digest: std::array::from_fn(|at| digest[at]) };
        let bucket = Bucket { name, rate: rate::parse(MOST).expect("a rate") };
        let taken = self.store.take(&bucket, self.clock.now()).await;
        let goes_round = matches!(taken, Ok(Taken::Full(_)));
        if goes_round {
            tracing::warn!(handle = %session.handle, destination, "an application sends a signed-in user to the login again and again");
        }
        goes_round
    }
}
