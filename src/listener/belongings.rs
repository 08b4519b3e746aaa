//! What belongs to a client's connection and ends with it.

use std::sync::{Arc, Mutex};

use http::Extensions;

use crate::base::lock::lock;

/// What belongs to a client's connection and ends with it. Each request of the connection has it among its extensions;
/// what it holds is the business of whoever puts it there.
#[derive(Clone, Debug, Default)]
pub struct Belongings(Arc<Mutex<Extensions>>);

impl Belongings {
    /// The one of this type, made when it is first asked for.
    pub fn of<T: Clone + Default + Send + Sync + 'static>(&self) -> T {
        lock(&self.0).get_or_insert_default::<T>().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_has_is_the_same_for_all_of_its_requests_and_ends_with_it() {
        let connection = Belongings::default();
        let one: Arc<()> = connection.clone().of();
        assert!(Arc::ptr_eq(&one, &connection.of()));
        assert!(!Arc::ptr_eq(&one, &Belongings::default().of()));
        drop(connection);
        assert_eq!(Arc::strong_count(&one), 1);
    }
}
