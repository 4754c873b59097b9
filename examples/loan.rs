//! A camera whose frames are made in shared memory, and read from there: no frame is copied to be
//! published. Start it in one terminal, and again with `watch` in another:
//!
//! ```text
//! cargo run --release --example loan        cargo run --release --example loan watch
//! ```
//!
//! The frames show the Mandelbrot set, closer each time. `watch` draws them as text. With a file of
//! raw grey frames of 640 by 480, as `ffmpeg -i film.mp4 -s 640x480 -pix_fmt gray -f rawvideo
//! film.raw` makes it, the camera plays that: `--example loan film.raw`.

use std::{env, error::Error, fs::File, io::Read, process::ExitCode, thread, time::Duration};

use tearless::{Boxed, Namespace, Pod, Reader, Writer, field_of};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// A grey picture.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Frame {
    number: u64,
    rows: [[u8; WIDTH]; HEIGHT],
}

type Camera = Writer<Boxed<Frame>, Pod>;

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    match argument.as_deref() {
        Some("watch") => watch(),
        file => film(file),
    }
    .map_or_else(
        |error| {
            eprintln!("loan: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn film(file: Option<&str>) -> Result<(), Box<dyn Error>> {
    let builder = Namespace::open("examples")?.writer_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    // For the example `view`, which looks at frames in place.
    let mut camera = builder.pins(3).open()?;
    let mut file = file.map(File::open).transpose()?;
    println!("Publishing frames of {} bytes.", size_of::<Frame>());
    for number in 1..=200 {
        match &mut file {
            None => draw(&mut camera, number)?,
            Some(file) => {
                if !read(&mut camera, number, file)? {
                    break;
                }
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(camera.close()?)
}

/// Draws a frame, row by row, into the slot from which readers will copy it.
fn draw(camera: &mut Camera, number: u64) -> Result<(), Box<dyn Error>> {
    let mut frame = camera.loan()?;
    frame.set(field_of!(Frame, number), &number);
    let scale = 3.0 * 0.97_f64.powi(i32::try_from(number)?);
    for y in 0..HEIGHT {
        let mut row = [0; WIDTH];
        for (x, pixel) in row.iter_mut().enumerate() {
            let of = |at: usize, len: usize| (at as f64 / len as f64 - 0.5) * scale;
            *pixel = brightness(-0.743_643 + of(x, WIDTH), 0.131_825 + of(y, HEIGHT));
        }
        frame.set(field_of!(Frame, rows).index(y), &row);
    }
    // Had a row panicked, readers would still have the frame before.
    frame.publish()?;
    Ok(())
}

/// How soon the point leaves the circle around the Mandelbrot set.
fn brightness(re: f64, im: f64) -> u8 {
    let (mut x, mut y) = (0.0, 0.0);
    for steps in 0..=255 {
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
        if x * x + y * y > 4.0 {
            return steps;
        }
    }
    0
}

/// Lets the kernel copy a frame of the file into the slot. False at the end of the file: the loan
/// is dropped, and the last frame stays.
fn read(camera: &mut Camera, number: u64, file: &mut File) -> Result<bool, Box<dyn Error>> {
    let mut frame = camera.loan()?;
    // SAFETY: the processes of this user that know the channel are readers, which can't store.
    let memory: &mut Frame = unsafe { frame.lend().into_mut() };
    memory.number = number;
    if file.read_exact(memory.rows.as_flattened_mut()).is_err() {
        return Ok(false);
    }
    frame.publish()?;
    Ok(true)
}

fn watch() -> Result<(), Box<dyn Error>> {
    let builder = Namespace::open("examples")?.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    let mut reader: Reader<Boxed<Frame>, Pod> = builder.attach_within(Duration::from_secs(60)).open()?;
    let mut frame = Boxed::zeroed();
    // Ends with the error that the camera has closed the channel.
    loop {
        if reader.changed(Duration::from_secs(10))? {
            reader.snapshot_into(&mut frame)?;
            show(&frame);
        }
    }
}

fn show(frame: &Frame) {
    const SHADES: [char; 8] = [' ', '.', ':', '-', '=', '+', '*', '#'];
    println!("frame {}", frame.number);
    for row in frame.rows.iter().step_by(HEIGHT / 24) {
        let shade = |pixel: &u8| SHADES[usize::from(*pixel) / 8 % SHADES.len()];
        println!("{}", row.iter().step_by(WIDTH / 80).map(shade).collect::<String>());
    }
}
