//! How many forms are kept, and of how many nobody hears that they are not.

use std::net::Ipv4Addr;

use super::*;

const A_QUARTER_OF_AN_HOUR: Duration = Duration::from_secs(15 * 60);

/// How many of so many forms are kept, from one client and with the cookie of one session.
async fn kept(client: &Client, jar: &Jar, forms: usize) -> usize {
    let mut kept = 0;
    for _ in 0..forms {
        kept += usize::from(was_kept(&send(client, jar, OWN_PAGE).await));
    }
    kept
}

#[tokio::test]
async fn one_session_leaves_a_few_forms_and_no_more() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).start();
    let jar = left_by_alice(&proxy).await;
    assert_eq!(kept(&proxy.client(), &jar, 25).await, 20);
}

#[tokio::test]
async fn one_client_has_an_eighth_of_the_room_and_all_together_have_all_of_it() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[csrf]\nkeep_body = \"1MiB\"").start();
    let mut jars = Vec::new();
    for _ in 0..9 {
        jars.push(proxy.logged_in(ALICE).await);
    }
    proxy.clock.advance(A_DAY + A_DAY);
    let mut of_each = Vec::new();
    for (number, jar) in (1..).zip(&jars) {
        let client = proxy.client().at(Ipv4Addr::new(127, 0, 0, number));
        of_each.push(kept(&client, jar, 18).await);
    }
    assert_eq!(of_each, [16, 16, 16, 16, 16, 16, 16, 16, 0]);
    proxy.clock.advance(A_QUARTER_OF_AN_HOUR);
    assert_eq!(kept(&proxy.client(), &jars[8], 1).await, 1);
}

#[tokio::test]
async fn what_is_too_large_takes_nobodys_place() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).section("[csrf]\nkeep_body = \"1KiB\"").start();
    let jar = left_by_alice(&proxy).await;
    let head = format!("POST {TARGET}\nCookie: {}\nContent-Type: {MULTIPART}\n{OWN_PAGE}", jar.header());
    for _ in 0..25 {
        let answer = proxy.client().send(&head, &"x".repeat(1025)).await;
        assert!(!was_kept(&answer) && answer.status == 303, "{answer:#?}");
    }
    assert_eq!(kept(&proxy.client(), &jar, 1).await, 1);
}
