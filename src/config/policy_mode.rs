//! What becomes of what a policy finds.

/// Whether a policy is kept, or only told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyMode {
    /// It is kept.
    Enforce,
    /// All passes unchanged; what enforcing would change is logged, counted and listed.
    Report,
    /// There is none.
    Off,
}

/// The words for it.
pub(super) const POLICY_MODES: [(&str, PolicyMode); 3] =
    [("enforce", PolicyMode::Enforce), ("report", PolicyMode::Report), ("off", PolicyMode::Off)];
