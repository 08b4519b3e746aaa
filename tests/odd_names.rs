//! Names and groups of local users with characters that mean something elsewhere (security.md, ID-9): the application
//! reads them as they are, or nobody has them.

use foregate::auth::{LocalUsers, PasswordQueue};
use foregate::config::LocalAuth;

use crate::support::proxy::{hash, proxy};
use crate::support::upstream::upstream;

#[tokio::test]
async fn a_name_arrives_as_it_is_written() {
    let names = [
        "jürgen",
        "日本",
        "o'brien \"bob\"",
        "a b",
        "alice@example.com",
        "DOMAIN\\alice",
        "a;b=c",
        "%2C",
        "{username}",
        "<b>",
        "../alice",
        &"n".repeat(128),
    ];
    let hash = hash("a password", 8);
    let users: String = names
        .iter()
        .map(|name| {
            format!("[users.{name:?}]\npassword = \"{hash}\"\ngroups = [\"a,admin\", \"x;y\", \"ä\"]\n")
        })
        .collect();
    let upstream = upstream().await;
    let proxy = proxy(&upstream).users(&users).start();
    for name in names {
        let jar = proxy.logged_in((name, "a password")).await;
        assert_eq!(proxy.client().get("/", &jar).await.status, 200, "{name}");
        let received = upstream.last();
        assert_eq!(received.header("x-forwarded-user").as_deref(), Some(name));
        assert_eq!(received.header("x-forwarded-groups").as_deref(), Some("a%2Cadmin,x;y,ä"));
        let of_the_user =
            received.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().ends_with("-user"));
        assert_eq!(of_the_user.count(), 1, "{name}: {received:#?}");
    }
}

#[test]
fn nobody_has_a_name_that_could_be_read_as_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let is_taken = |text: String| {
        let path = folder.path().join("users");
        std::fs::write(&path, text).unwrap();
        LocalUsers::open(&LocalAuth { users: path }, PasswordQueue::new(None)).is_ok()
    };
    let hash = hash("a password", 8);
    let toml = |name: &str, keys: &str| format!("[users.{name:?}]\npassword = \"{hash}\"\n{keys}\n");
    assert!(is_taken(toml("alice", "groups = [\"staff\"]\nemail = \"a@b\"\nname = \"A\"")));
    let bcrypt = "$2y$05$abcdefghijklmnopqrstuuidFhfDZGjd4MKbhrHXQQrcYS1IRYxwe";
    assert!(is_taken(format!("alice:{bcrypt}\n")));
    for odd in [
        "alice\r\nX-Admin: 1",
        "a\0b",
        "a\rb",
        "a\u{7f}",
        " alice",
        "alice ",
        "alice\t",
        "\u{a0}alice",
        "a,b",
        "",
    ] {
        assert!(!is_taken(toml(odd, "")), "{odd:?}");
        if !odd.contains('\n') && !odd.is_empty() {
            assert!(!is_taken(format!("{odd}:{bcrypt}\n")), "{odd:?} in htpasswd");
        }
        if !odd.is_empty() && odd != "a,b" {
            for key in ["groups = [", "email = ", "name = "] {
                let end = if key.ends_with('[') { "]" } else { "" };
                assert!(!is_taken(toml("alice", &format!("{key}{odd:?}{end}"))), "{key}{odd:?}");
            }
        }
    }
    assert!(!is_taken(toml(&"n".repeat(9_000), "")));
    assert!(!is_taken(format!("{}:{bcrypt}\n", "n".repeat(9_000))));
}
