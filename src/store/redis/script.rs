//! What Redis has to do in one step. Each script keeps to one key, so that it runs in a Cluster too; a write that
//! may be refused goes through `pcall`, so that Redis's own error code arrives and not the script's.

use std::time::Duration;

use deadpool_redis::redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};

use crate::base::clock::Timestamp;
use crate::store::bucket::{micros, micros_of};
use crate::store::{Bucket, DIGITS, NewSession, Place, Replaced, Taken, Touch, Transition};

/// `KEYS[1]` the record; `ARGV` the digits' offset, the digits, the digits at which a use is due, the expiry in
/// milliseconds.
const TOUCH: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local stored = redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1] + #ARGV[2] - 1)
if #stored < #ARGV[2] or stored > ARGV[3] then return 1 end
local written = redis.pcall('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
if type(written) == 'table' then return written end
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
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

/// `KEYS[1]` the record; `ARGV` the digits' offset, their number, the record as it was, the record to be. Answers 0
/// where there is none, 1 where another stands there, 2 where it is done.
const SWAP: &str = r"
local stored = redis.call('GET', KEYS[1])
if not stored then return 0 end
local before, after = tonumber(ARGV[1]), ARGV[1] + ARGV[2] + 1
if stored:sub(1, before) ~= ARGV[3]:sub(1, before) or stored:sub(after) ~= ARGV[3]:sub(after) then return 1 end
local record = ARGV[4]:sub(1, before) .. stored:sub(before + 1, after - 1) .. ARGV[4]:sub(after)
local written = redis.pcall('SET', KEYS[1], record, 'KEEPTTL')
if written.err then return written end
return 2
";

/// What both scripts on a bucket begin with: `KEYS[1]` the bucket; `ARGV` the present, the interval and the span of
/// its rate, in microseconds. What is no number is an empty bucket, and none is fuller than full. The rule is that of
/// `store::bucket::Level`.
const LEVEL: &str = r"
local now, interval, span = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = redis.pcall('GET', KEYS[1])
local level = type(stored) == 'string' and tonumber(stored) or now
if not (level > now) then level = now end
if level > now + span then level = now + span end
local function keep(level)
  local life = math.ceil((level - now) / 1000)
  local kept = redis.pcall('SET', KEYS[1], string.format('%.0f', level), 'PX', life)
  return kept.err and kept
end
";

/// Answers whether there was a place, and either the bucket's level or how long there is none.
const TAKE: &str = r"
local wait = level + interval - now - span
if wait > 0 then return {0, wait} end
return keep(level + interval) or {1, level + interval}
";

/// `ARGV[4]` the place.
const GIVE_BACK: &str = r"
if level == now or tonumber(ARGV[4]) <= now then return 0 end
if level - interval > now then return keep(level - interval) or 1 end
return redis.call('DEL', KEYS[1])
";

/// The scripts, and the digests that Redis knows them by.
#[derive(Debug)]
pub(super) struct Scripts {
    touch: Script,
    index: Script,
    swap: Script,
    take: Script,
    give_back: Script,
}

/// The answer of [`SWAP`].
pub(super) struct Swapped(pub(super) Replaced);

impl FromRedisValue for Swapped {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        match value {
            Value::Int(0) => Ok(Self(Replaced::Gone)),
            Value::Int(1) => Ok(Self(Replaced::Changed)),
            Value::Int(2) => Ok(Self(Replaced::Done)),
            other => Err(format!("not what the script answers: {other:?}").into()),
        }
    }
}

/// The answer of [`TAKE`].
pub(super) struct Asked(pub(super) Taken);

impl FromRedisValue for Asked {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        match <(i64, i64)>::from_redis_value(value)? {
            (1, until) => Ok(Self(Taken::Place(Place { until }))),
            (_, wait) => Ok(Self(Taken::Full(Duration::from_micros(wait.unsigned_abs())))),
        }
    }
}

impl Scripts {
    pub(super) fn new() -> Self {
        let on_a_bucket = |script| Script::new(&[LEVEL, script].concat());
        Self {
            touch: Script::new(TOUCH),
            index: Script::new(INDEX),
            swap: Script::new(SWAP),
            take: on_a_bucket(TAKE),
            give_back: on_a_bucket(GIVE_BACK),
        }
    }

    /// Records a use; answers whether there is a record.
    pub(super) fn touch(&self, key: &str, touch: Touch) -> ScriptInvocation<'_> {
        let mut invocation = self.touch.key(key);
        invocation.arg(touch.offset).arg(touch.digits.as_slice()).arg(touch.due.as_slice());
        invocation.arg(touch.expires_at.millis());
        invocation
    }

    /// Brings a record from one state to the next; answers [`Swapped`].
    pub(super) fn swap(&self, key: &str, transition: Transition<'_>) -> ScriptInvocation<'_> {
        let mut invocation = self.swap.key(key);
        invocation.arg(transition.offset).arg(DIGITS).arg(transition.from).arg(transition.to);
        invocation
    }

    /// Takes a place in a bucket; answers [`Asked`].
    pub(super) fn take(&self, key: &str, bucket: &Bucket, now: Timestamp) -> ScriptInvocation<'_> {
        on_bucket(&self.take, key, bucket, now)
    }

    /// Gives one back.
    pub(super) fn give_back(
        &self,
        key: &str,
        bucket: &Bucket,
        place: Place,
        now: Timestamp,
    ) -> ScriptInvocation<'_> {
        let mut invocation = on_bucket(&self.give_back, key, bucket, now);
        invocation.arg(place.until);
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

fn on_bucket<'a>(script: &'a Script, key: &str, bucket: &Bucket, now: Timestamp) -> ScriptInvocation<'a> {
    let mut invocation = script.key(key);
    let rate = bucket.rate;
    invocation.arg(micros_of(now)).arg(micros(rate.interval())).arg(micros(rate.span()));
    invocation
}
