//! Forms that people send us: small, soon, and with each field once.

use std::time::Duration;

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use url::form_urlencoded;

use super::{Parts, Refusal};
use crate::base::secret::Secret;
use crate::http::{Problem, Provenance, RequestContext, provenance, read_whole};

/// The largest form.
const MOST_BYTES: u64 = 16 * 1024;

/// The most fields; ours have five.
const MOST_FIELDS: usize = 32;

/// The longest that one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fields of an `application/x-www-form-urlencoded` body.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, Secret<String>)>);

/// A form, and the headers that it came with.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) headers: HeaderMap,
    pub(super) form: Form,
}

impl Parts {
    /// What a page of ours sends; nobody else's is read.
    pub(super) async fn sent(
        &self,
        context: &RequestContext,
        request: Request<Incoming>,
    ) -> Result<Sent, Refusal> {
        let (head, body) = request.into_parts();
        if provenance(&head.headers, context.scheme, &context.authority) == Provenance::Foreign {
            return Err(self.refuse_foreign(context, "origin"));
        }
        Ok(Sent { headers: head.headers, form: Form::read(body).await? })
    }
}

impl Form {
    /// Reads the whole body.
    async fn read(body: Incoming) -> Result<Self, Problem> {
        let body = Secret::new(read_whole(body, MOST_BYTES, PATIENCE).await?.to_vec());
        Self::parse(body.expose())
    }

    /// Which of two fields of one name counts is a matter of taste, so there may be only one.
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields: Vec<(String, Secret<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.len() == MOST_FIELDS || fields.iter().any(|(other, _)| *other == name) {
                return Err(Problem::BadRequest);
            }
            fields.push((name.into_owned(), Secret::new(value.into_owned())));
        }
        Ok(Self(fields))
    }

    /// A field's value; empty where there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_unique() {
        let form = Form::parse(b"username=al+ice&password=%C3%A4%26b&empty=").unwrap();
        assert_eq!(form.field("username"), "al ice");
        assert_eq!(form.field("password"), "ä&b");
        assert_eq!(form.field("missing"), "");
        assert_eq!(Form::parse(b"username=a&username=b").unwrap_err(), Problem::BadRequest);
        let many: Vec<String> = (0..=MOST_FIELDS).map(|number| format!("f{number}")).collect();
        assert_eq!(Form::parse(many.join("&").as_bytes()).unwrap_err(), Problem::BadRequest);
    }
}
