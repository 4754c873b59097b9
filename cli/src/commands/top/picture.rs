//! A frame as an SVG picture, for documentation.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use ratatui::text::Span;

/// Size of a cell, in units of the picture.
const CELL: (f64, f64) = (8.4, 18.0);

/// Around the cells.
const MARGIN: f64 = 10.0;

const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d6d9e0";

/// What a cell looks like; cells that look alike are one piece of text.
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

/// The whole of `buffer`.
pub(super) fn svg(buffer: &Buffer) -> String {
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

/// Neighbouring cells that look alike.
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
        // Forced, so that columns stand where they are whatever the font is.
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

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn a_picture_has_every_text_with_its_looks() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "a<b & \"c\"", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        buffer.set_string(0, 1, "reversed", Style::new().add_modifier(Modifier::REVERSED));
        let svg = svg(&buffer);
        assert!(
            svg.contains("fill=\"#f2777a\" font-weight=\"bold\">a&lt;b &amp; &quot;c&quot;</text>"),
            "{svg}"
        );
        assert!(svg.contains(&format!("height=\"18.0\" fill=\"{FOREGROUND}\"/>")), "the reversed one: {svg}");
        assert!(svg.contains(&format!("fill=\"{BACKGROUND}\">reversed</text>")), "{svg}");
        assert_eq!(svg.matches("<text").count(), 2, "nothing for what is empty: {svg}");
    }
}
