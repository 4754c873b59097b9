//! Keys and the mouse.

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use super::column::Column;
use super::data::Row;
use super::list::Sort;
use super::view::{Mode, View};

/// Rows that one notch of the wheel scrolls.
const NOTCH: isize = 3;

/// The most characters of a filter.
const MAX_FILTER: usize = 100;

/// What follows an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A new frame.
    Draw,
    /// Nothing: the event changed nothing.
    Wait,
    Quit,
    /// The program stops until the shell continues it.
    Suspend,
}

/// Applies an event to `view`.
pub(super) fn handle(event: &Event, view: &mut View, rows: &[Row]) -> Next {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => on_key(*key, view, rows),
        Event::Mouse(mouse) if view.mode != Mode::Help => on_mouse(*mouse, view, rows),
        Event::Resize(..) => Next::Draw,
        _ => Next::Wait,
    }
}

fn on_key(key: KeyEvent, view: &mut View, rows: &[Row]) -> Next {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Next::Quit,
            KeyCode::Char('z') => Next::Suspend,
            KeyCode::Char('u') if view.mode == Mode::Typing => {
                set_filter(view, rows, |filter| filter.clear())
            }
            _ => Next::Wait,
        };
    }
    match view.mode {
        Mode::Commands => on_command(key.code, view, rows),
        Mode::Typing => on_typing(key.code, view, rows),
        Mode::Help => {
            view.mode = Mode::Commands;
            Next::Draw
        }
    }
}

fn on_typing(code: KeyCode, view: &mut View, rows: &[Row]) -> Next {
    match code {
        KeyCode::Enter => view.mode = Mode::Commands,
        KeyCode::Esc => {
            view.mode = Mode::Commands;
            return set_filter(view, rows, String::clear);
        }
        KeyCode::Backspace => return set_filter(view, rows, |filter| _ = filter.pop()),
        KeyCode::Char(character) if view.filter.chars().count() < MAX_FILTER => {
            return set_filter(view, rows, |filter| filter.push(character));
        }
        KeyCode::Up => view.list.step(-1, rows),
        KeyCode::Down => view.list.step(1, rows),
        _ => return Next::Wait,
    }
    Next::Draw
}

fn set_filter(view: &mut View, rows: &[Row], change: impl FnOnce(&mut String)) -> Next {
    change(&mut view.filter);
    view.arrange(rows);
    Next::Draw
}

fn on_command(code: KeyCode, view: &mut View, rows: &[Row]) -> Next {
    match code {
        KeyCode::Char('q') => return Next::Quit,
        // Escape leaves one thing at a time.
        KeyCode::Esc if view.is_pane_focused => view.is_pane_focused = false,
        KeyCode::Esc if !view.filter.is_empty() => return set_filter(view, rows, String::clear),
        KeyCode::Esc => return Next::Quit,
        KeyCode::Char('/') => view.mode = Mode::Typing,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => view.mode = Mode::Help,
        KeyCode::Char(' ') => view.is_frozen = !view.is_frozen,
        KeyCode::Char('s' | '>') => sort_by_next(view, rows, 1),
        KeyCode::Char('S' | '<') => sort_by_next(view, rows, -1),
        KeyCode::Char('r') => sort(view, rows, view.sort.reversed()),
        KeyCode::Char(digit @ '1'..='9') => {
            if let Some((column, _)) = view.places.heads.get(digit as usize - '1' as usize) {
                view.sort_by(*column, rows);
            }
        }
        KeyCode::Tab | KeyCode::BackTab => {
            view.is_pane_focused = !view.is_pane_focused && !view.is_pane_hidden;
        }
        KeyCode::Enter => {
            view.is_pane_hidden = !view.is_pane_hidden;
            view.is_pane_focused = false;
        }
        code => return on_movement(code, view, rows),
    }
    Next::Draw
}

fn sort_by_next(view: &mut View, rows: &[Row], step: isize) {
    sort(view, rows, Sort::by(view.sort.column.step(step, &Column::useful(rows))));
}

fn sort(view: &mut View, rows: &[Row], sort: Sort) {
    view.sort = sort;
    view.arrange(rows);
}

fn on_movement(code: KeyCode, view: &mut View, rows: &[Row]) -> Next {
    let area = if view.is_pane_focused { view.places.pane } else { view.places.rows };
    let page = isize::from(area.height.max(2).cast_signed()) - 1;
    let steps = match code {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -page,
        KeyCode::PageDown => page,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return Next::Wait,
    };
    view.step(view.is_pane_focused, steps, rows);
    Next::Draw
}

fn on_mouse(mouse: MouseEvent, view: &mut View, rows: &[Row]) -> Next {
    let place = Position::new(mouse.column, mouse.row);
    match mouse.kind {
        MouseEventKind::Down(MouseButton::Left) => return on_click(place, view, rows),
        MouseEventKind::ScrollUp => view.step(view.places.pane.contains(place), -NOTCH, rows),
        MouseEventKind::ScrollDown => view.step(view.places.pane.contains(place), NOTCH, rows),
        _ => return Next::Wait,
    }
    Next::Draw
}

fn on_click(place: Position, view: &mut View, rows: &[Row]) -> Next {
    if let Some((column, _)) = view.places.heads.iter().find(|(_, area)| area.contains(place)) {
        view.sort_by(*column, rows);
    } else if view.places.rows.contains(place) {
        view.is_pane_focused = false;
        let position = view.list.top + usize::from(place.y - view.places.rows.y);
        if position < view.list.len() {
            view.list.select(position, rows);
        }
    } else if view.places.pane.contains(place) {
        view.is_pane_focused = true;
    } else {
        return Next::Wait;
    }
    Next::Draw
}
