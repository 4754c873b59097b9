//! Frames as a terminal shows them, through ratatui's backend for tests.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;
use tearless::hub::Health;

use super::draw;
use crate::commands::top::column::Column;
use crate::commands::top::data::Detail;
use crate::commands::top::data::Row;
use crate::commands::top::input::{Next, handle};
use crate::commands::top::list::Sort;
use crate::commands::top::palette::Palette;
use crate::commands::top::view::{Mode, Scene, View};
use crate::output::heading;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// A terminal that shows plain data.
struct Stage {
    rows: Vec<Row>,
    detail: Detail,
    view: View,
    terminal: Terminal<TestBackend>,
    at: Duration,
    missing: Option<&'static str>,
}

impl Stage {
    /// A fleet of `count` workers, on a terminal of this size.
    fn new(count: u64, (width, height): (u16, u16)) -> Stage {
        let rows: Vec<Row> = (1..=count).map(row).collect();
        let mut detail =
            Detail { label: "worker-1".into(), format: "message-pack State".into(), ..Detail::default() };
        detail.publication = 77;
        let fields = (0..30).map(|number| (format!("rates[{number}]"), number.to_string()));
        detail.update(Duration::from_secs(1), fields.collect());
        let mut view = View::default();
        view.arrange(&rows);
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        Stage { rows, detail, view, terminal, at: Duration::from_secs(10), missing: None }
    }

    /// The lines of a frame.
    fn lines(&mut self) -> Vec<String> {
        let scene = Scene {
            namespace: "fleet\u{1b}[2J",
            rows: &self.rows,
            detail: &self.detail,
            memory: None,
            trouble: None,
            missing: self.missing,
            interval: Duration::from_millis(100),
            at: self.at,
            palette: Palette::new(true),
        };
        let view = &mut self.view;
        let draw = |frame: &mut ratatui::Frame<'_>| {
            draw(frame.buffer_mut(), view, &scene);
        };
        self.terminal.draw(draw).unwrap();
        let buffer = self.terminal.backend().buffer();
        assert!(buffer.content().iter().all(|cell| !cell.symbol().contains(char::is_control)));
        let line = |y: u16| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    fn text(&mut self) -> String {
        self.lines().join("\n")
    }

    fn resize(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
    }

    fn key(&mut self, code: KeyCode) -> Next {
        handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)), &mut self.view, &self.rows)
    }

    fn keys(&mut self, text: &str) {
        text.chars().for_each(|character| drop(format!("{:?}", self.key(KeyCode::Char(character)))));
    }

    fn mouse(&mut self, kind: MouseEventKind, column: u16, row: u16) -> Next {
        let event = Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        handle(&event, &mut self.view, &self.rows)
    }

    fn click(&mut self, column: u16, row: u16) -> Next {
        self.mouse(MouseEventKind::Down(MouseButton::Left), column, row)
    }

    fn selected(&self) -> &str {
        self.view.list.selected_row(&self.rows).map_or("", |row| row.name.as_str())
    }

    /// Text of the line that is drawn reversed, as the selected one is.
    fn reversed(&mut self) -> String {
        let lines = self.lines();
        let buffer = self.terminal.backend().buffer();
        let is_reversed = |y: u16| buffer[(0, y)].modifier.contains(Modifier::REVERSED);
        let y = (0..buffer.area.height).find(|y| is_reversed(*y)).expect("a line is reversed");
        lines[usize::from(y)].clone()
    }
}

/// A worker whose figures follow from its number.
fn row(number: u64) -> Row {
    let name = format!("worker-{number}");
    let mut row = Row {
        label: name.clone(),
        name,
        health: Some(Health::Empty),
        pid: Some(1_000 + number),
        ..Row::default()
    };
    for second in 0..5 {
        row.rates.add(Duration::from_secs(second), second * number);
    }
    row.age = Some(Duration::from_millis(10 * number));
    row.bytes = Some(100 * number);
    row.growths = Some(number % 3);
    row.retries = Some(0);
    row
}

/// The position of `text` in `lines`.
fn find(lines: &[String], text: &str) -> (u16, u16) {
    let y =
        lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text:?} in {lines:#?}"));
    let x = lines[y].split(text).next().unwrap_or_default().chars().count();
    (u16::try_from(x).unwrap(), u16::try_from(y).unwrap())
}

#[test]
fn a_wide_terminal_shows_all_columns_and_the_fields_beside_them() {
    let mut stage = Stage::new(3, (200, 20));
    let lines = stage.lines();
    assert_eq!(lines[0], "tearless top fleet\\u{1b}[2J  3 workers: 3 alive");
    for column in Column::useful(&stage.rows) {
        assert!(lines[2].contains(heading(column.heading()).0), "{:?}", lines[2]);
    }
    assert!(
        lines[2].contains("WORKER▼") && lines[2].contains("worker-1  #77  message-pack State"),
        "{}",
        lines[2]
    );
    let first = "worker-1      alive          1001      1.0    10ms    100 B        0        1";
    assert!(lines[3].starts_with(first), "{}", lines[3]);
    assert!(lines[3].contains("████") && lines[3].ends_with("rates[0] = 0"), "{}", lines[3]);
    assert!(lines[19].starts_with("? help  q quit"));
}

/// The row of a real block.
fn block(name: &str) -> Row {
    let namespace = tearless::Namespace::in_process("fleet").unwrap();
    let _block = namespace.block_builder(name).label("f64[12800]").create(102_400).unwrap();
    Row::of_block(namespace.blocks().unwrap().remove(0))
}

#[test]
fn blocks_have_rows_and_what_they_record_is_in_the_pane() {
    let mut stage = Stage::new(3, (80, 24));
    assert!(!stage.lines()[2].contains("KIND"));
    // A channel and a block may have the same name.
    stage.rows.push(block("worker-2"));
    let pid = std::process::id();
    stage.view.arrange(&stage.rows);
    let lines = stage.lines();
    assert_eq!(lines[0], "tearless top fleet\\u{1b}[2J  3 workers: 3 alive; 1 block: 1 alive");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(&lines[2]), "WORKER▼ STATE KIND PID RATE/s AGE BYTES LAST MINUTE");
    assert!(words(&lines[4]).starts_with("worker-2 alive channel 1002 2.0 20ms 200 B"), "{}", lines[4]);
    assert_eq!(words(&lines[5]), format!("worker-2 alive block {pid} - - 100 KiB -"));
    stage.key(KeyCode::Down);
    assert_eq!(stage.view.list.selected_row(&stage.rows).unwrap().key(), ("channel", "worker-2"));
    stage.key(KeyCode::Down);
    assert_eq!(stage.view.list.selected_row(&stage.rows).unwrap().key(), ("block", "worker-2"));
    stage.detail = Detail::default();
    let text = stage.text();
    for part in ["  worker-2  block", "owner: alive, process", "size: 100 KiB (102400 bytes)", "f64[12800]"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    for narrow in [35, 40] {
        stage.resize(narrow, 24);
        stage.lines();
        assert!(stage.view.places.pane_lines > 6, "long lines are broken");
    }
    stage.resize(80, 24);
    stage.keys("3");
    assert_eq!(stage.view.sort, Sort::by(Column::Kind), "a number is that of a column that is shown");
    assert!(stage.lines()[3].starts_with("worker-2      alive       block"), "{}", stage.lines()[3]);
    stage.keys("/block");
    assert!(stage.text().contains("1 match block") && !stage.text().contains("channel"));
    assert_eq!(stage.view.list.selected_row(&stage.rows).unwrap().key(), ("block", "worker-2"));
}

#[test]
fn pins_have_a_column_and_what_they_keep_is_in_the_pane() {
    let mut stage = Stage::new(3, (80, 24));
    stage.rows[0].pinned = vec![0, 76, 0, 77];
    stage.rows[1].pinned = vec![0; 64];
    let text = stage.text();
    assert!(text.contains("VIEWS") && text.contains("   2/4 ") && text.contains("  0/64 "), "{text}");
    assert!(text.contains("pins: 4; pinned for readers: 76, 77\n  rates[0] = 0"), "{text}");
    stage.view.sort_by(Column::Views, &stage.rows);
    let shown: Vec<_> = stage.lines()[3..6].iter().map(|line| line[..8].to_owned()).collect();
    assert_eq!(shown, ["worker-1", "worker-2", "worker-3"]);
    stage.view.sort_by(Column::Views, &stage.rows);
    assert!(stage.lines()[3].starts_with("worker-3"));
    // What has no pins has no pins to hold.
    assert_eq!(Column::Views.text(&stage.rows[2]), "-");
}

#[test]
fn a_narrow_terminal_shows_what_matters_and_the_fields_below() {
    let mut stage = Stage::new(3, (60, 24));
    let lines = stage.lines();
    assert!(lines[2].contains("RATE/s") && lines[2].contains("AGE") && !lines[2].contains("RETRIES"));
    let (_, title) = find(&lines, "#77");
    assert!(title > 6 && lines[usize::from(title) + 1] == "  rates[0] = 0", "{lines:#?}");
    stage.resize(60, 10);
    assert!(!stage.text().contains("#77"), "too low for both: the table");
}

#[test]
fn a_tiny_terminal_says_so_and_no_size_panics() {
    let mut stage = Stage::new(50, (20, 5));
    assert!(stage.text().contains("too small: 20x5,"), "{}", stage.text());
    for mode in [Mode::Commands, Mode::Typing, Mode::Help] {
        stage.view.mode = mode;
        for width in (0..140).step_by(3) {
            for height in 0..40 {
                stage.resize(width, height);
                stage.lines();
                stage.key(KeyCode::PageDown);
                stage.click(width / 2, height / 2);
            }
        }
    }
}

#[test]
fn only_visible_workers_are_drawn_and_the_selected_one_is_visible() {
    let mut stage = Stage::new(500, (80, 20));
    stage.view.is_pane_hidden = true;
    assert!(stage.text().contains("worker-16") && !stage.text().contains("worker-17"), "16 rows");
    stage.key(KeyCode::End);
    assert!(stage.reversed().starts_with("worker-500 "));
    assert!(stage.text().contains("worker-485") && !stage.text().contains("worker-484"));
    stage.key(KeyCode::PageUp);
    assert!(stage.reversed().starts_with("worker-485 "));
    stage.keys("g");
    assert!(stage.reversed().starts_with("worker-1 "));
    stage.mouse(MouseEventKind::ScrollDown, 5, 8);
    assert!(stage.reversed().starts_with("worker-4 "));
    let place = find(&stage.lines(), "worker-9 ");
    assert_eq!(stage.click(place.0, place.1), Next::Draw);
    assert_eq!(stage.selected(), "worker-9");
    assert!(stage.reversed().starts_with("worker-9 "));
}

#[test]
fn typing_a_filter_keeps_the_matching_rows() {
    let mut stage = Stage::new(20, (80, 30));
    stage.rows[4].health = Some(Health::Dead { since: None });
    stage.keys("/er-1");
    let text = stage.text();
    assert!(text.contains("11 match er-1") && text.contains("/er-1▏"), "{text}");
    assert!(text.contains("worker-19") && !text.contains("worker-2 "), "{text}");
    stage.key(KeyCode::Backspace);
    assert!(stage.text().contains("20 match er-"));
    stage.key(KeyCode::Esc);
    assert!(stage.view.filter.is_empty() && stage.view.mode == Mode::Commands);
    stage.keys("/dead");
    stage.key(KeyCode::Enter);
    assert!(stage.text().contains("worker-5 ") && !stage.text().contains("worker-6 "));
    stage.keys("/xyz");
    assert!(stage.text().contains("nothing matches the filter"), "{}", stage.text());
    assert_eq!(stage.key(KeyCode::Enter), Next::Draw);
    assert_eq!(stage.key(KeyCode::Esc), Next::Draw, "first the filter is cleared");
    assert_eq!(stage.key(KeyCode::Esc), Next::Quit);
}

#[test]
fn keys_and_clicks_sort_by_every_column_and_back() {
    let mut stage = Stage::new(9, (200, 20));
    let first = |stage: &mut Stage| stage.lines()[3].split(' ').next().unwrap_or_default().to_owned();
    for (index, column) in Column::useful(&stage.rows).into_iter().enumerate().skip(1) {
        let place = find(&stage.lines(), heading(column.heading()).0);
        stage.click(place.0, place.1);
        let by_click = first(&mut stage);
        assert_eq!(stage.view.sort, Sort::by(column));
        let digit = char::from_digit(u32::try_from(index + 1).unwrap(), 10).unwrap();
        stage.keys(&digit.to_string());
        assert_eq!(stage.view.sort, Sort::by(column).reversed(), "the second time it is reversed");
        stage.keys("r");
        assert_eq!(first(&mut stage), by_click);
    }
    stage.view.sort_by(Column::Bytes, &stage.rows);
    assert_eq!(first(&mut stage), "worker-9", "the largest comes first");
    assert!(stage.lines()[2].contains("BYTES▼"));
    stage.keys("r");
    assert!(stage.lines()[2].contains("BYTES▲") && first(&mut stage) == "worker-1");
    stage.keys("<");
    assert_eq!(stage.view.sort, Sort::by(Column::Age));
    stage.keys(">s");
    assert_eq!(stage.view.sort, Sort::by(Column::Retries));
}

#[test]
fn a_frozen_picture_says_so() {
    let mut stage = Stage::new(3, (80, 24));
    assert!(stage.text().contains("every 100ms") && !stage.text().contains("FROZEN"));
    stage.keys(" ");
    assert!(stage.view.is_frozen);
    assert!(stage.text().contains("FROZEN") && stage.text().contains("space continue"));
    stage.key(KeyCode::Down);
    assert_eq!(stage.selected(), "worker-2", "the user can still select a worker");
    stage.keys(" ");
    assert!(!stage.view.is_frozen && !stage.text().contains("FROZEN"));
}

#[test]
fn states_are_counted_and_a_dead_worker_is_highlighted() {
    let mut stage = Stage::new(6, (100, 24));
    let stalled = |is_stopped| Health::Stalled { silent: None, is_stopped };
    let others = [Health::Dead { since: None }, stalled(false), stalled(true), Health::Closed];
    for (row, health) in stage.rows.iter_mut().zip(others) {
        row.health = Some(health);
    }
    let lines = stage.lines();
    assert!(lines[0].ends_with("6 workers: 2 alive, 1 closed, 1 stalled, 1 stopped, 1 dead"), "{}", lines[0]);
    stage.keys("2");
    let lines = stage.lines();
    assert!(lines[3].starts_with("worker-1      dead"), "{}", lines[3]);
    let place = find(&lines, "dead ");
    let cell = &stage.terminal.backend().buffer()[place];
    assert!(cell.symbol() == "d" || place.1 == 0);
    let row = stage.terminal.backend().buffer()[(14, 3)].clone();
    assert_eq!((row.symbol(), row.fg), ("d", ratatui::style::Color::Red));
}

#[test]
fn the_fields_scroll_and_what_changed_is_bright() {
    let mut stage = Stage::new(3, (140, 15));
    let changed =
        (0..30).map(|number| (format!("rates[{number}]"), if number == 2 { 99 } else { number }.to_string()));
    stage.detail.update(stage.at, changed.collect());
    let lines = stage.lines();
    assert!(lines[2].ends_with("1-11 of 30"), "{}", lines[2]);
    let (x, y) = find(&lines, "rates[2] = 99");
    let value = x + u16::try_from("rates[2] = ".len()).unwrap();
    let is_bright =
        |stage: &Stage, y| stage.terminal.backend().buffer()[(value, y)].modifier.contains(Modifier::BOLD);
    assert!(is_bright(&stage, y) && !is_bright(&stage, y - 1));
    stage.at += Duration::from_secs(5);
    stage.lines();
    assert!(!is_bright(&stage, y), "the highlight ends");
    stage.key(KeyCode::Tab);
    assert!(stage.view.is_pane_focused);
    stage.key(KeyCode::End);
    assert!(stage.lines()[2].ends_with("20-30 of 30") && stage.text().contains("rates[29] = 29"));
    stage.mouse(MouseEventKind::ScrollUp, 130, 8);
    assert!(stage.lines()[2].ends_with("17-27 of 30"), "the wheel scrolls the part under the pointer");
    assert_eq!(stage.selected(), "worker-1", "the wheel scrolls nothing else");
    stage.key(KeyCode::Esc);
    assert!(!stage.view.is_pane_focused);
    stage.key(KeyCode::Enter);
    assert!(!stage.text().contains("rates["), "hidden");
}

#[test]
fn the_help_covers_everything_until_a_key_is_pressed() {
    let mut stage = Stage::new(3, (100, 30));
    stage.keys("?");
    let text = stage.text();
    assert!(
        text.contains("any key closes the help") && text.contains("Ctrl-Z") && text.contains("stalled"),
        "{text}"
    );
    assert_eq!(stage.click(5, 5), Next::Wait, "the parts below the help are not clicked");
    stage.keys("q");
    assert!(!stage.text().contains("any key closes the help"));
    assert_eq!(stage.key(KeyCode::Char('q')), Next::Quit);
}

#[test]
fn an_empty_namespace_says_that_it_waits() {
    let mut stage = Stage::new(0, (80, 24));
    stage.detail = Detail::default();
    let text = stage.text();
    assert!(text.contains("no channels yet") && text.contains("no worker is selected"), "{text}");
    for code in
        [KeyCode::Down, KeyCode::End, KeyCode::PageUp, KeyCode::Char('3'), KeyCode::Tab, KeyCode::Down]
    {
        stage.key(code);
        stage.lines();
    }
    assert_eq!(stage.click(3, 3), Next::Draw);
}

#[test]
fn the_bars_of_the_selected_worker_stand_upright() {
    let mut stage = Stage::new(3, (130, 24));
    stage.lines();
    let heads = &stage.view.places.heads;
    let (_, head) =
        *heads.iter().find(|(column, _)| *column == Column::Trend).expect("there is room for bars");
    let buffer = stage.terminal.backend().buffer();
    let is_reversed = |x: u16| buffer[(x, head.y + 1)].modifier.contains(Modifier::REVERSED);
    assert!((0..head.x).all(is_reversed) && !(head.x..head.right()).any(is_reversed));
}

#[test]
fn a_missing_namespace_is_reported_with_similar_names() {
    let mut stage = Stage::new(0, (60, 24));
    stage.missing = Some("there is no namespace \"flet\" on this machine; did you mean: fleet?");
    let text = stage.text();
    assert!(text.contains("no namespace \"flet\"") && text.contains("fleet?"), "{text}");
}

#[test]
fn control_c_quits_also_while_typing_and_control_z_suspends() {
    let mut stage = Stage::new(1, (80, 24));
    stage.keys("/");
    let control = |character| Event::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::CONTROL));
    assert_eq!(handle(&control('z'), &mut stage.view, &stage.rows), Next::Suspend);
    assert_eq!(handle(&control('c'), &mut stage.view, &stage.rows), Next::Quit);
}
