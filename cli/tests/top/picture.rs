//! Makes the picture of the documentation out of a real run.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::start;
use crate::tmux::Tmux;
use crate::workers::{OwnNamespace, Pace, Worker, play};

/// Writes `docs/cli/top.svg`: a fleet that was watched for a minute.
///
/// `cargo test --release -p tearless-cli --test top -- --ignored --nocapture picture`
#[test]
#[ignore = "writes the documentation's picture, in a minute"]
fn picture_of_the_documentation() {
    if play() {
        return;
    }
    let own = OwnNamespace::called("thumbnails");
    let worker = |name: &str, milliseconds: u64, swell: u64| {
        let pace = Pace { pause: Duration::from_millis(milliseconds), swell };
        Worker::start("picture::picture_of_the_documentation", &own, &[name], pace)
    };
    let fleet: Vec<Worker> =
        (1..=9_u64).map(|number| worker(&format!("resize-{number}"), 3 * number, 9 + 4 * number)).collect();
    let _steady = [worker("fetch-1", 8, 0), worker("fetch-2", 12, 0), worker("upload", 60, 20)];
    let silent = worker("index", 200_000, 0);
    let killed = worker("resize-10", 5, 30);
    let tmux = Tmux::start(132, 19);
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli/top.svg");
    std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
    start(&tmux, &own, &format!("--color always --svg '{}'", picture.display()));
    tmux.wait_for("all are there", |screen| screen.contains("14 workers"));
    sleep(Duration::from_secs(45));
    killed.kill();
    fleet[6].signal(Signal::STOP);
    sleep(Duration::from_secs(17));
    for _ in 0..4 {
        tmux.key("Down");
    }
    sleep(Duration::from_secs(2));
    tmux.types("q");
    tmux.assert_restored();
    fleet[6].signal(Signal::CONT);
    drop(silent);
    assert!(std::fs::read_to_string(&picture).unwrap().contains("resize-10"));
}
