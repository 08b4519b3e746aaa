//! Slots: which a key lies in, and who owns each.

use deadpool_redis::redis::{Value, from_redis_value_ref};

use crate::config::RedisEndpoint;

/// As many as every Cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Slots in a row that one node owns.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) owner: RedisEndpoint,
}

/// The slot that `key` lies in: by what stands in its first braces, where that is something.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as Redis has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

/// The ranges in an answer to `CLUSTER SLOTS` that the node at `asked` gave; `None` where it is none, or empty as
/// that of a node that belongs to no Cluster.
pub(super) fn ranges(answer: &Value, asked: &RedisEndpoint) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    let ranges: Option<Vec<_>> = ranges.iter().map(|range| self::range(range, asked)).collect();
    ranges.filter(|ranges| !ranges.is_empty())
}

fn range(value: &Value, asked: &RedisEndpoint) -> Option<Range> {
    let Value::Array(parts) = value else { return None };
    let [first, last, Value::Array(master), ..] = parts.as_slice() else { return None };
    let [host, port, ..] = master.as_slice() else { return None };
    let number = |value: &Value| match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    let host = match host {
        Value::Nil => String::new(),
        host => from_redis_value_ref(host).ok()?,
    };
    let (first, last) = (number(first)?, number(last)?);
    let owner = endpoint(&host, number(port)?, asked)?;
    (first <= last && last < SLOTS).then_some(Range { first, last, owner })
}

/// `SLOT HOST:PORT`, as the node at `asked` says where a key lies.
pub(super) fn redirection(detail: &str, asked: &RedisEndpoint) -> Option<RedisEndpoint> {
    let (_, address) = detail.split_once(' ')?;
    let (host, port) = address.rsplit_once(':')?;
    endpoint(host, port.parse().ok()?, asked)
}

/// A host without a name is the one that was asked; `?` is one that has no name yet.
fn endpoint(host: &str, port: u16, asked: &RedisEndpoint) -> Option<RedisEndpoint> {
    match host {
        "?" => None,
        "" => Some(RedisEndpoint { host: asked.host.clone(), port }),
        host => Some(RedisEndpoint { host: host.to_owned(), port }),
    }
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::parse_redis_value;

    use super::*;

    fn at(host: &str, port: u16) -> RedisEndpoint {
        RedisEndpoint { host: host.to_owned(), port }
    }

    fn ranges_of(reply: &str) -> Option<Vec<Range>> {
        ranges(&parse_redis_value(reply.as_bytes()).unwrap(), &at("seed", 7000))
    }

    #[test]
    fn a_key_lies_where_redis_puts_it() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, expected) in [
            ("foo", 12_182),
            ("bar", 5061),
            ("", 0),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn owners_are_masters_and_a_nameless_one_is_whom_we_asked() {
        let reply = "*3\r\n\
            *4\r\n:0\r\n:99\r\n*2\r\n$2\r\nn1\r\n:7000\r\n*2\r\n$2\r\nn2\r\n:7001\r\n\
            *3\r\n:100\r\n:200\r\n*2\r\n$0\r\n\r\n:7002\r\n\
            *3\r\n:201\r\n:16383\r\n*4\r\n$-1\r\n:7003\r\n$2\r\nid\r\n*0\r\n";
        let owners: Vec<_> = ranges_of(reply).unwrap().into_iter().map(|range| range.owner).collect();
        assert_eq!(owners, [at("n1", 7000), at("seed", 7002), at("seed", 7003)]);
    }

    #[test]
    fn what_is_no_map_is_none() {
        for reply in [
            "*0\r\n",
            "+OK\r\n",
            "*1\r\n*2\r\n:0\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nn\r\n:1\r\n",
            "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\nn\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nn\r\n:70000\r\n",
        ] {
            assert_eq!(ranges_of(reply), None, "{reply:?}");
        }
    }

    #[test]
    fn a_redirection_names_a_node() {
        let asked = at("seed", 7000);
        for (detail, expected) in [
            ("3999 127.0.0.1:6381", Some(at("127.0.0.1", 6381))),
            ("3999 ::1:6381", Some(at("::1", 6381))),
            ("3999 :6381", Some(at("seed", 6381))),
            ("3999 node.test:6381", Some(at("node.test", 6381))),
            ("3999 ?:6381", None),
            ("3999", None),
            ("3999 host", None),
            ("3999 host:70000", None),
        ] {
            assert_eq!(redirection(detail, &asked), expected, "{detail}");
        }
    }
}
