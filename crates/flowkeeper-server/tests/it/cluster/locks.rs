//! The lock board.

use std::time::{Duration, Instant};

use flowkeeper_server::meta::LockRefused;

use super::{Cluster, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_tells_who_does_what_and_releases_by_force() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one").await, cluster.join("two").await);
    let held = one.server.meta().lock_stream("a b", "deploy").await.unwrap();
    eventually("on the board", || async {
        two.get("/api/v1/locks").await.json().as_array().unwrap().len() == 1
    })
    .await;
    let board = two.get("/api/v1/locks").await.expect(200).json();
    assert_eq!(board[0]["subject"], "a b");
    assert_eq!((&board[0]["who"], &board[0]["what"]), (&"one".into(), &"deploy".into()));
    assert_eq!((&board[0]["scope"], &board[0]["held"]), (&"stream".into(), &true.into()));
    // The loser is told who it is, after a while.
    let before = Instant::now();
    let refused = two.server.meta().lock_stream("a b", "destroy").await.unwrap_err();
    assert!(before.elapsed() >= Duration::from_secs(4));
    let LockRefused::Busy { owner, .. } = &refused else { panic!("{refused}") };
    let owner = owner.as_ref().expect("it still holds it");
    assert_eq!((owner.who.as_str(), owner.what.as_str()), ("one", "deploy"));
    let text = refused.to_string();
    assert!(
        text.starts_with("stream 'a b' is locked by server one, which has been busy to deploy it since 2"),
        "{text}"
    );
    // Another stream is nobody's business.
    drop(two.server.meta().lock_stream("other", "deploy").await.unwrap());
    let purpose = two.server.meta().lock_purpose("backup").await.unwrap();
    let id = board[0]["id"].as_str().unwrap().replace('/', "%2F").replace("%20", "%2520");
    two.ask("DELETE", "/api/v1/locks/s%2Fnone", &[]).await.expect(404);
    two.ask("DELETE", "/api/v1/locks/..%2Fleader%2Fepoch", &[]).await.expect(404);
    two.ask("DELETE", &format!("/api/v1/locks/{id}"), &[]).await.expect(200);
    one.server
        .meta()
        .connection()
        .commit(held.check())
        .await
        .expect_err("it is gone, and the holder can know");
    let now = two.server.meta().lock_stream("a b", "destroy").await.unwrap();
    drop((held, now, purpose));
    eventually("an empty board", || async {
        one.get("/api/v1/locks").await.json().as_array().unwrap().is_empty()
    })
    .await;
    one.server.stop().await;
    two.server.stop().await;
}
