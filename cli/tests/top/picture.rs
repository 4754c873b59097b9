//! Draws the picture of the documentation from a real run.

use std::fmt::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;
use rustix::process::Signal;

use crate::tmux::Tmux;
use crate::workers::{OwnNamespace, Pace, Worker, play};
use crate::{PACE, seconds, start};

/// The size of a cell, in units of the picture.
const CELL: (f64, f64) = (8.4, 18.0);

/// The margin around the cells.
const MARGIN: f64 = 10.0;

const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d6d9e0";

/// The appearance of a cell; neighbouring cells with the same one are one piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    text: &'static str,
    background: Option<&'static str>,
    modifier: Modifier,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let text = colour(cell.fg).unwrap_or(FOREGROUND);
        let background = colour(cell.bg);
        let shown = cell.modifier & (Modifier::BOLD | Modifier::UNDERLINED | Modifier::DIM);
        match cell.modifier.contains(Modifier::REVERSED) {
            true => Look { text: background.unwrap_or(BACKGROUND), background: Some(text), modifier: shown },
            false => Look { text, background, modifier: shown },
        }
    }
}

fn colour(colour: Color) -> Option<&'static str> {
    Some(match colour {
        Color::Black => "#16181d",
        Color::Red | Color::LightRed => "#f2777a",
        Color::Green | Color::LightGreen => "#8cc57f",
        Color::Yellow | Color::LightYellow => "#f0c26b",
        Color::Blue | Color::LightBlue => "#6fa8dc",
        Color::Magenta | Color::LightMagenta => "#c792d6",
        Color::Cyan | Color::LightCyan => "#66c5cc",
        Color::Gray | Color::White => "#d6d9e0",
        Color::DarkGray => "#858b98",
        _ => return None,
    })
}

/// All of `buffer` as an SVG picture.
fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (f64::from(buffer.area.width), f64::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2.0 * MARGIN, lines * CELL.1 + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for line in 0..buffer.area.height {
        let cells: Vec<&Cell> = (0..buffer.area.width).map(|column| &buffer[(column, line)]).collect();
        for piece in pieces(&cells) {
            piece.write(&mut svg, MARGIN + f64::from(line) * CELL.1);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Neighbouring cells of the same appearance.
struct Piece<'a> {
    start: usize,
    cells: &'a [&'a Cell],
    look: Look,
}

fn pieces<'a>(cells: &'a [&'a Cell]) -> Vec<Piece<'a>> {
    let mut start = 0;
    let alike = cells.chunk_by(|one, other| Look::of(one) == Look::of(other));
    alike
        .map(|cells| {
            let piece = Piece { start, cells, look: Look::of(cells[0]) };
            start += cells.len();
            piece
        })
        .collect()
}

impl Piece<'_> {
    fn write(&self, svg: &mut String, top: f64) {
        let (left, width) = (MARGIN + self.start as f64 * CELL.0, self.cells.len() as f64 * CELL.0);
        let text: String = self.cells.iter().map(|cell| cell.symbol()).collect();
        let Look { text: fill, background, modifier } = self.look;
        // Writing to a string can't fail.
        if let Some(background) = background {
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{background}\"/>",
                CELL.1
            );
        }
        if modifier.contains(Modifier::UNDERLINED) {
            let y = top + CELL.1 - 2.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"1\" fill=\"{fill}\"/>"
            );
        }
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        // A fixed width keeps the columns in place, whatever the font is.
        let width = Span::raw(text).width() as f64 * CELL.0;
        let weight = if modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        let opacity = if modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" \
             fill=\"{fill}\"{weight}{opacity}>{}</text>",
            top + 13.5,
            escaped(text)
        );
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The cells of a screen that a terminal printed with escape sequences for styles.
fn cells(screen: &str) -> Buffer {
    let lines: Vec<&str> = screen.lines().collect();
    let mut rows = Vec::with_capacity(lines.len());
    let mut style = Style::new();
    for line in lines {
        let mut row = Vec::new();
        let mut parts = line.split("\x1b[");
        row.extend(parts.next().unwrap_or_default().chars().map(|character| (character, style)));
        for part in parts {
            let (codes, text) = part.split_once('m').expect("only styles are escaped");
            style = restyled(style, codes);
            row.extend(text.chars().map(|character| (character, style)));
        }
        rows.push(row);
    }
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let [width, height] = [width, rows.len()].map(|len| u16::try_from(len).unwrap());
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    for (y, row) in (0..).zip(rows) {
        for (x, (character, style)) in (0..).zip(row) {
            buffer[(x, y)].set_char(character).set_style(style);
        }
    }
    buffer
}

/// `style` after an escape sequence with `codes`.
fn restyled(mut style: Style, codes: &str) -> Style {
    let mut codes = codes.split(';').map(|code| code.parse::<u8>().unwrap_or(0));
    while let Some(code) = codes.next() {
        style = match code {
            0 => Style::new(),
            1 => style.add_modifier(Modifier::BOLD),
            2 => style.add_modifier(Modifier::DIM),
            4 => style.add_modifier(Modifier::UNDERLINED),
            7 => style.add_modifier(Modifier::REVERSED),
            30..=37 => style.fg(palette(code - 30)),
            90..=97 => style.fg(palette(code - 90 + 8)),
            40..=47 => style.bg(palette(code - 40)),
            38 => style.fg(indexed(&mut codes)),
            48 => style.bg(indexed(&mut codes)),
            39 => style.fg(Color::Reset),
            49 => style.bg(Color::Reset),
            _ => style,
        };
    }
    style
}

/// The colour of the rest of a sequence `38;5;INDEX`.
fn indexed(codes: &mut impl Iterator<Item = u8>) -> Color {
    palette(codes.nth(1).unwrap_or_default())
}

fn palette(index: u8) -> Color {
    const COLORS: [Color; 16] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    COLORS.get(usize::from(index)).copied().unwrap_or(Color::Reset)
}

/// Writes the picture of a fleet after a minute to `TEARLESS_TOP_PICTURE`: `ci/top` runs it.
#[test]
#[ignore = "takes a minute; ci/top runs it"]
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
    let picture = PathBuf::from(std::env::var_os("TEARLESS_TOP_PICTURE").expect("the path of the picture"));
    std::fs::create_dir_all(picture.parent().unwrap()).unwrap();
    start(&tmux, &own, "--color always");
    tmux.wait_for("all workers are listed", |screen| screen.contains("14 workers"));
    sleep(seconds(45));
    killed.kill();
    fleet[6].signal(Signal::STOP);
    sleep(Duration::from_secs(17));
    for _ in 0..4 {
        tmux.key("Down");
    }
    sleep(Duration::from_secs(2));
    let drawn = svg(&cells(&tmux.styled_screen()));
    std::fs::write(&picture, &drawn).unwrap();
    tmux.types("q");
    tmux.assert_restored();
    fleet[6].signal(Signal::CONT);
    drop(silent);
    assert!(drawn.contains("resize-10"));
}

#[test]
#[ignore = "needs tmux; ci/top runs it"]
fn a_picture_of_a_run_shows_its_workers_and_the_fields_of_the_selected_one() {
    if play() {
        return;
    }
    let test = "picture::a_picture_of_a_run_shows_its_workers_and_the_fields_of_the_selected_one";
    let own = OwnNamespace::new();
    let _live = Worker::start(test, &own, &["alpha"], PACE);
    Worker::start(test, &own, &["beta"], PACE).kill();
    let tmux = Tmux::start(130, 20);
    start(&tmux, &own, "--color always --filter dead");
    tmux.wait_for("the dead worker is listed", |screen| {
        screen.contains("beta") && screen.contains("1 dead") && screen.contains("jobs_done =")
    });
    let picture = svg(&cells(&tmux.styled_screen()));
    tmux.types("q");
    tmux.assert_restored();
    assert!(picture.starts_with("<svg ") && picture.contains(">beta"), "{picture}");
    assert!(picture.contains("fill=\"#f2777a\""), "the dead worker is red: {picture}");
    assert!(picture.contains("jobs_done"), "with the fields of the selected worker: {picture}");
}

#[test]
fn a_picture_shows_every_text_in_its_style() {
    let red = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    let buffer = cells("\x1b[1m\x1b[38;5;1ma<b & \"c\"\x1b[0m\n\x1b[7mreversed\x1b[0m    ");
    assert_eq!(buffer[(0, 0)].style().patch(red), buffer[(0, 0)].style());
    let svg = svg(&buffer);
    assert!(svg.contains("fill=\"#f2777a\" font-weight=\"bold\">a&lt;b &amp; &quot;c&quot;</text>"), "{svg}");
    assert!(svg.contains(&format!("height=\"18.0\" fill=\"{FOREGROUND}\"/>")), "the reversed text: {svg}");
    assert!(svg.contains(&format!("fill=\"{BACKGROUND}\">reversed</text>")), "{svg}");
    assert_eq!(svg.matches("<text").count(), 2, "no text for empty cells: {svg}");
}
