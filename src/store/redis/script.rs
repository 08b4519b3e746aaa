//! What Redis has to do in one step. Each script keeps to one key, so that it runs in a Cluster too; a write that
//! may be refused goes through `pcall`, so that Redis's own error code arrives and not the script's.

use deadpool_redis::redis::{Script, ScriptInvocation};

use crate::store::{NewSession, Touch};

/// `KEYS[1]` the record; `ARGV` the digits' offset, the digits, the expiry in milliseconds.
const TOUCH: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local stored = redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1] + #ARGV[2] - 1)
if #stored < #ARGV[2] or stored >= ARGV[2] then return 1 end
local written = redis.pcall('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
if type(written) == 'table' then return written end
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
return 1
";

/// `KEYS[1]` the account's index; `ARGV` the login and the session's end in milliseconds, the handle. The index's
/// own expiry only moves forward; `PEXPIREAT … GT` would do that, but Redis 6.2 has none.
const INDEX: &str = r"
local added = redis.pcall('ZADD', KEYS[1], ARGV[1], ARGV[3])
if type(added) == 'table' then return added end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = redis.call('PTTL', KEYS[1])
if left < 0 or now + left < tonumber(ARGV[2]) then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1
";

/// The scripts, and the digests that Redis knows them by.
#[derive(Debug)]
pub(super) struct Scripts {
    touch: Script,
    index: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { touch: Script::new(TOUCH), index: Script::new(INDEX) }
    }

    /// Records a use; answers whether there is a record.
    pub(super) fn touch(&self, key: &str, touch: Touch) -> ScriptInvocation<'_> {
        let mut invocation = self.touch.key(key);
        invocation.arg(touch.offset).arg(touch.digits.as_slice()).arg(touch.expires_at.millis());
        invocation
    }

    /// Puts a session into its account's index.
    pub(super) fn index(&self, key: &str, session: &NewSession<'_>) -> ScriptInvocation<'_> {
        let mut invocation = self.index.key(key);
        invocation
            .arg(session.logged_in_at.millis())
            .arg(session.ends_at.millis())
            .arg(session.handle.to_string());
        invocation
    }
}
