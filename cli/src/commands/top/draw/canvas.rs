//! A part of the screen, of any size, for texts. A text that does not fit is cut.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Widget};

use crate::output::Side;

/// The mark of a text that was cut.
const CUT: &str = "…";

/// The cells of `area`, which may be empty. Nothing is written outside of it.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, area: Rect) -> Canvas<'a> {
        let area = area.intersection(buffer.area);
        Canvas { buffer, area }
    }

    pub(super) fn area(&self) -> Rect {
        self.area
    }

    /// The part of the canvas in `area`.
    pub(super) fn part(&mut self, area: Rect) -> Canvas<'_> {
        let area = area.intersection(self.area);
        Canvas { buffer: self.buffer, area }
    }

    /// Resets all cells.
    pub(super) fn clear(&mut self) {
        Clear.render(self.area, self.buffer);
    }

    /// Adds `style` to all cells.
    pub(super) fn style(&mut self, style: Style) {
        self.buffer.set_style(self.area, style);
    }

    /// Writes `text` into `width` cells of line `y` from `x` on, relative to the area. A longer
    /// text is cut, and ends with a mark.
    pub(super) fn cell(&mut self, (x, y): (u16, u16), width: u16, text: &str, side: Side, style: Style) {
        let width = width.min(self.area.width.saturating_sub(x));
        if y >= self.area.height || width == 0 {
            return;
        }
        let (left, top) = (self.area.x + x, self.area.y + y);
        let needed = Span::raw(text).width();
        if needed > usize::from(width) {
            self.buffer.set_stringn(left, top, text, usize::from(width - 1), style);
            self.buffer.set_string(left + width - 1, top, CUT, style);
            return;
        }
        let needed = u16::try_from(needed).unwrap_or(width);
        let indent = if side == Side::Right { width - needed } else { 0 };
        self.buffer.set_stringn(left + indent, top, text, usize::from(width - indent), style);
    }

    /// Writes texts one after another into line `y`.
    pub(super) fn line(&mut self, y: u16, texts: &[(&str, Style)]) {
        let mut x = 0;
        for (text, style) in texts {
            self.cell((x, y), self.area.width.saturating_sub(x), text, Side::Left, *style);
            x = x.saturating_add(u16::try_from(Span::raw(*text).width()).unwrap_or(u16::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside_whatever_the_size() {
        for (width, height) in [(0, 0), (1, 1), (3, 0), (0, 3), (5, 2)] {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 4));
            let mut canvas = Canvas::new(&mut buffer, Rect::new(2, 1, width, height));
            for place in [(0, 0), (4, 1), (5, 2), (u16::MAX, u16::MAX)] {
                canvas.cell(place, u16::MAX, "äö漢字 and more", Side::Right, Style::new());
            }
            canvas.line(1, &[("a long text", Style::new()), ("another", Style::new())]);
            let inside = Rect::new(2, 1, width, height);
            for place in buffer.area.positions() {
                assert!(inside.contains(place) || buffer[place].symbol() == " ", "{place:?} of {inside:?}");
            }
        }
    }

    #[test]
    fn long_texts_are_cut_and_short_ones_stand_on_their_side() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 3));
        let mut canvas = Canvas::new(&mut buffer, Rect::new(0, 0, 6, 3));
        canvas.cell((0, 0), 4, "worker-7", Side::Left, Style::new());
        canvas.cell((0, 1), 5, "12", Side::Right, Style::new());
        canvas.cell((0, 2), 5, "漢字漢", Side::Left, Style::new());
        assert_eq!(buffer, Buffer::with_lines(["wor…  ", "   12 ", "漢字… "]));
    }

    #[test]
    fn control_characters_are_never_written() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        let mut canvas = Canvas::new(&mut buffer, Rect::new(0, 0, 6, 1));
        canvas.cell((0, 0), 6, "a\u{1b}[2Jb\n", Side::Left, Style::new());
        assert!(buffer.content().iter().all(|cell| !cell.symbol().contains(char::is_control)));
    }
}
