//! Bodies that are read whole: small ones, and soon.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{BodyError, Problem};

/// The whole of a body that has `most` bytes at most and arrives within `patience`.
///
/// # Errors
/// What its sender is to be told where it is larger, late, or broken off.
pub async fn read_whole<B>(body: B, most: u64, patience: Duration) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    if body.size_hint().lower() > most {
        return Err(Problem::TooLarge);
    }
    let collected = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect();
    match tokio::time::timeout(patience, collected).await {
        Err(_) => Err(Problem::RequestTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::TooLarge),
        Ok(Err(_)) => Err(Problem::BadRequest),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}
