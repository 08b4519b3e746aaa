//! Threads that stand back behind others.

/// Lets other threads go before this one, by so much on the scale of nice(1), for as long as it lives: a thread cannot come
/// forward again. Where a sandbox does not allow that, `work` is done all the same.
pub fn stand_back(by: i32, work: &'static str) {
    // On Linux it is this thread's priority, not the process's (nice(2)).
    if let Err(error) = rustix::process::nice(by) {
        tracing::debug!(%error, work, "a thread cannot stand back behind requests");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::nice;

    use super::*;

    #[test]
    fn a_thread_stands_back_alone() {
        let before = nice(0).unwrap();
        let stood_back = std::thread::spawn(|| {
            stand_back(7, "a test");
            nice(0).unwrap()
        });
        assert_eq!(stood_back.join().unwrap(), (before + 7).min(19));
        assert_eq!(nice(0).unwrap(), before);
    }
}
