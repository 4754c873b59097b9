//! Makes the picture of the documentation out of a real run.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::tmux::Tmux;
use crate::workers::{OwnNamespace, Pace, Worker, play};
use crate::{seconds, start};

/// Writes the picture of a fleet that was watched for a minute to `TEARLESS_TOP_PICTURE`: `ci/top` runs it.
#[test]
#[ignore = "a minute, for a picture; ci/top runs it"]
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
    let picture =
        PathBuf::from(std::env::var_os("TEARLESS_TOP_PICTURE").expect("where the picture is to be written"));
    std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&picture);
    start(&tmux, &own, &format!("--color always --svg '{}'", picture.display()));
    tmux.wait_for("all are there", |screen| screen.contains("14 workers"));
    sleep(seconds(45));
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
