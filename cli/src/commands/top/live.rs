//! The event loop: a frame, then keys and mouse until the next frame is due.

use std::io;
use std::time::{Duration, Instant};

use super::input::Next;
use super::screen::Screen;
use super::session::Session;
use crate::interrupt::Interrupt;
use crossterm::event;

/// The longest sleep between two checks for a signal.
const MAX_SLEEP: Duration = Duration::from_millis(100);

/// Runs until the user quits, or a signal ends it.
pub(super) fn run(session: &mut Session, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<()> {
    let mut due = Instant::now();
    loop {
        session.tick();
        show(session, screen)?;
        // Overdue frames are skipped.
        due = (due + session.interval).max(Instant::now());
        if until(due, session, screen, interrupt)? == Next::Quit {
            return Ok(());
        }
    }
}

fn show(session: &mut Session, screen: &mut Screen) -> io::Result<()> {
    screen.draw(|buffer| session.draw(buffer))
}

/// Handles events until `due`, or until an event ends the program.
fn until(
    due: Instant,
    session: &mut Session,
    screen: &mut Screen,
    interrupt: &Interrupt,
) -> io::Result<Next> {
    loop {
        if interrupt.is_raised() {
            return Ok(Next::Quit);
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Next::Wait);
        }
        if !event::poll(left.min(MAX_SLEEP))? {
            continue;
        }
        match handle_all(session)? {
            Next::Quit => return Ok(Next::Quit),
            Next::Suspend => {
                screen.suspend()?;
                show(session, screen)?;
            }
            Next::Draw => show(session, screen)?,
            Next::Wait => {}
        }
    }
}

/// Handles all pending events, so that a turn of the wheel is one frame.
fn handle_all(session: &mut Session) -> io::Result<Next> {
    let mut next = Next::Wait;
    loop {
        match session.handle(&event::read()?) {
            ends @ (Next::Quit | Next::Suspend) => return Ok(ends),
            Next::Draw => next = Next::Draw,
            Next::Wait => {}
        }
        if !event::poll(Duration::ZERO)? {
            return Ok(next);
        }
    }
}
