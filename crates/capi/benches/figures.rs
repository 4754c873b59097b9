//! What the C interface costs beside the Rust library: `cargo bench --bench figures`, after
//! `cargo build --release`.
//!
//! The functions are called as a program in C calls them, in the shared library. Each round
//! measures every operation in turn; the figures are the medians of the rounds. iceoryx2.c says how
//! to measure the blackboard of iceoryx2 by its C interface, too.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, ptr};

use libloading::Library;
use tearless::options::TimestampSource;
use tearless::view::TrustedWriters;
use tearless::{Bytes, Namespace, Pod, Reader, Writer};
use tearless_capi::{
    tl_info, tl_namespace, tl_namespace_options, tl_reader, tl_reader_options, tl_status, tl_structure,
    tl_view, tl_writer, tl_writer_options,
};

const ROUNDS: usize = 101;
const ROUND: Duration = Duration::from_millis(2);
const SMALL: usize = 64;
const LARGE: usize = 1 << 20;

type Small = [u64; SMALL / 8];

/// The functions of the shared library that are measured.
struct Functions {
    abi_version: unsafe extern "C" fn() -> u32,
    read: unsafe extern "C" fn(*mut tl_reader, *mut c_void, usize, *mut tl_info) -> tl_status,
    view: unsafe extern "C" fn(*mut tl_reader, *mut tl_view) -> tl_status,
    release: unsafe extern "C" fn(*mut tl_view) -> tl_status,
    publish: unsafe extern "C" fn(*mut tl_writer, *const c_void, usize, *mut u64) -> tl_status,
    open_writer: unsafe extern "C" fn(
        *const tl_namespace,
        *const c_char,
        *const tl_writer_options,
        *mut *mut tl_writer,
    ) -> tl_status,
    close_writer: unsafe extern "C" fn(*mut tl_writer) -> tl_status,
    open_reader: unsafe extern "C" fn(
        *const tl_namespace,
        *const c_char,
        *const tl_reader_options,
        *mut *mut tl_reader,
    ) -> tl_status,
    namespace: *mut tl_namespace,
}

impl Functions {
    fn load(name: &CStr) -> Functions {
        let path = env::var_os("TEARLESS_C_LIBRARY").map_or_else(built, PathBuf::from);
        // SAFETY: the library was built from this package; loading it runs nothing.
        let library = unsafe { Library::new(&path) };
        let library = library.unwrap_or_else(|error| {
            panic!("{}: {error}; build it with `cargo build --release`", path.display())
        });
        // It stays until the end of the process.
        let library = Box::leak(Box::new(library));
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type is that of the function in this package.
                *unsafe { library.get($name) }.expect("the library has all functions")
            };
        }
        let open: unsafe extern "C" fn(
            *const c_char,
            *const tl_namespace_options,
            *mut *mut tl_namespace,
        ) -> tl_status = function!(b"tl_namespace_open");
        let mut namespace = ptr::null_mut();
        // SAFETY: a name, and a place for the result.
        let opened = unsafe { open(name.as_ptr(), ptr::null(), &raw mut namespace) };
        assert_eq!(opened, tl_status::TL_OK);
        Functions {
            abi_version: function!(b"tl_abi_version"),
            read: function!(b"tl_reader_read"),
            view: function!(b"tl_reader_view"),
            release: function!(b"tl_view_release"),
            publish: function!(b"tl_writer_publish"),
            open_writer: function!(b"tl_writer_open"),
            close_writer: function!(b"tl_writer_close"),
            open_reader: function!(b"tl_reader_open"),
            namespace,
        }
    }

    fn writer(&self, channel: &CStr, options: &tl_writer_options) -> *mut tl_writer {
        let mut writer = ptr::null_mut();
        // SAFETY: a namespace that is open, a name, options, a place for the result.
        let opened =
            unsafe { (self.open_writer)(self.namespace, channel.as_ptr(), options, &raw mut writer) };
        assert_eq!(opened, tl_status::TL_OK);
        writer
    }

    fn reader(&self, channel: &CStr, options: &tl_reader_options) -> *mut tl_reader {
        let mut reader = ptr::null_mut();
        // SAFETY: as above.
        let opened =
            unsafe { (self.open_reader)(self.namespace, channel.as_ptr(), options, &raw mut reader) };
        assert_eq!(opened, tl_status::TL_OK);
        reader
    }
}

/// What iceoryx2.c measures.
fn peer_operations(path: &OsStr, name: &CStr) -> [(&'static str, Operation<'static>); 2] {
    // SAFETY: the library is iceoryx2.c.
    let library = unsafe { Library::new(path) }.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let library = Box::leak(Box::new(library));
    // SAFETY: the types are those in iceoryx2.c.
    let open: unsafe extern "C" fn(*const c_char) =
        *unsafe { library.get(b"peer_open") }.expect("it is there");
    // SAFETY: as above.
    let read: unsafe extern "C" fn(u64) -> u64 = *unsafe { library.get(b"peer_read") }.expect("it is there");
    // SAFETY: as above.
    let publish: unsafe extern "C" fn(u64) = *unsafe { library.get(b"peer_publish") }.expect("it is there");
    // SAFETY: a name.
    unsafe { open(name.as_ptr()) };
    [
        (
            "get 64 B, iceoryx2's C interface",
            Box::new(move |_| {
                // SAFETY: it was opened.
                black_box(unsafe { read(BATCH) });
            }),
        ),
        (
            "update 64 B, iceoryx2's C interface",
            Box::new(move |_| {
                // SAFETY: it was opened.
                unsafe { publish(BATCH) };
            }),
        ),
    ]
}

/// The library beside this program, in the target directory.
fn built() -> PathBuf {
    let program = env::current_exe().expect("a program has a path");
    program.ancestors().nth(2).expect("it is in the target directory").join("libtearless_capi.so")
}

/// Options of zeros, as C makes them.
macro_rules! options {
    ($options:ty) => {{
        // SAFETY: integers and raw pointers, for which zeros are values.
        let mut options: $options = unsafe { std::mem::zeroed() };
        options.struct_size = u32::try_from(size_of::<$options>()).expect("it is small");
        options
    }};
}

/// Nanoseconds of one call, in a loop of a round.
fn measure(call: &mut dyn FnMut(u64)) -> f64 {
    let (begin, mut calls) = (Instant::now(), 0_u64);
    loop {
        call(calls);
        calls += 1;
        if begin.elapsed() >= ROUND {
            break begin.elapsed().as_secs_f64() * 1e9 / (calls * BATCH) as f64;
        }
    }
}

/// A batch of calls, in the round of this number.
type Operation<'a> = Box<dyn FnMut(u64) + 'a>;

/// Operations of one call of the measured closure.
const BATCH: u64 = 256;

fn main() {
    // `cargo bench -- --test` and `cargo test` only see whether it runs.
    let rounds = if env::args().any(|argument| argument == "--test") { 1 } else { ROUNDS };
    let name = format!("figures-{}", std::process::id());
    let namespace = Namespace::open(&name).expect("a namespace opens");
    let c_name = std::ffi::CString::new(name.clone()).expect("no zero byte");
    let c = Functions::load(&c_name);

    // Small states: a channel of Rust, one of C, each read by both.
    let mut writer: Writer<Small, Pod> = namespace.writer_builder("rust").codec().open().expect("it opens");
    let mut undated: Writer<Small, Pod> = namespace
        .writer_builder("undated")
        .codec()
        .timestamps(TimestampSource::None)
        .open()
        .expect("it opens");
    let structure = tl_structure {
        struct_size: u32::try_from(size_of::<tl_structure>()).expect("it is small"),
        field_size: 0,
        name: c"Small".as_ptr(),
        size: SMALL,
        alignment: 8,
        fields: ptr::null(),
        field_count: 0,
    };
    let mut writer_options = options!(tl_writer_options);
    writer_options.structure = &raw const structure;
    let c_writer = c.writer(c"c", &writer_options);
    writer_options.no_timestamps = 1;
    let c_undated = c.writer(c"c-undated", &writer_options);
    let state: Small = [7; SMALL / 8];
    writer.publish(&state).expect("it is published");
    let mut reader: Reader<Small, Pod> = namespace.reader_builder("rust").codec().open().expect("it opens");
    let mut slices: Reader<Vec<u8>, Bytes> =
        namespace.reader_builder("rust").codec().accept(tearless::accept::Any).open().expect("it opens");
    let c_reader = c.reader(c"rust", &options!(tl_reader_options));

    // Large states, viewed in place.
    let large = namespace.writer_builder::<[u8]>("large").codec::<Bytes>().capacity(LARGE).pins(4);
    let mut large = large.open().expect("it opens");
    large.publish(&vec![7; LARGE]).expect("it is published");
    // SAFETY: only this process stores to the channel, by tearless.
    let promise = unsafe { TrustedWriters::new() };
    let viewing = namespace.reader_builder::<Vec<u8>>("large").codec::<Bytes>().views_in_place(promise);
    let mut viewing = viewing.open().expect("it opens");
    let mut in_place = options!(tl_reader_options);
    in_place.views_in_place = 1;
    let c_viewing = c.reader(c"large", &in_place);

    let (mut into, mut slice, mut changing) = (state, [0_u8; SMALL], state);
    let mut operations: Vec<(&str, Operation<'_>)> = vec![
        (
            "read 64 B, Rust",
            Box::new(|_| {
                for _ in 0..BATCH {
                    let info = reader.snapshot_into(&mut into).expect("it is read");
                    black_box((&into, info.publication()));
                }
            }),
        ),
        (
            "read 64 B into a slice, Rust",
            Box::new(|_| {
                for _ in 0..BATCH {
                    let info = slices.snapshot_into_slice(&mut slice).expect("it is read");
                    black_box((&slice, info.publication()));
                }
            }),
        ),
        ("a call that returns a constant, C", {
            let version = c.abi_version;
            Box::new(move |_| {
                for _ in 0..BATCH {
                    // SAFETY: it takes nothing.
                    black_box(unsafe { version() });
                }
            })
        }),
        ("read 64 B, C", {
            let (mut into, mut info) = (state, tl_info::default());
            let read = c.read;
            Box::new(move |_| {
                for _ in 0..BATCH {
                    // SAFETY: a reader that is open, a buffer, a place for the result.
                    let status = unsafe { read(c_reader, (&raw mut into).cast(), SMALL, &raw mut info) };
                    assert_eq!(status, tl_status::TL_OK);
                    black_box((&into, info.publication));
                }
            })
        }),
        (
            "publish 64 B, Rust",
            Box::new(|round| {
                for step in 0..BATCH {
                    changing[0] = round + step;
                    black_box(writer.publish(&changing).expect("it is published"));
                }
            }),
        ),
        ("publish 64 B, C", {
            let (mut state, publish) = (state, c.publish);
            let mut number = 0;
            Box::new(move |round| {
                for step in 0..BATCH {
                    state[0] = round + step;
                    // SAFETY: a writer that is open, a state, a place for the number.
                    let status =
                        unsafe { publish(c_writer, (&raw const state).cast(), SMALL, &raw mut number) };
                    assert_eq!(status, tl_status::TL_OK);
                    black_box(number);
                }
            })
        }),
        (
            "publish 64 B without a timestamp, Rust",
            Box::new(|round| {
                for step in 0..BATCH {
                    let state: Small = [round + step; SMALL / 8];
                    black_box(undated.publish(&state).expect("it is published"));
                }
            }),
        ),
        ("publish 64 B without a timestamp, C", {
            let publish = c.publish;
            let mut number = 0;
            Box::new(move |round| {
                for step in 0..BATCH {
                    let state: Small = [round + step; SMALL / 8];
                    // SAFETY: a writer that is open, a state, a place for the number.
                    let status =
                        unsafe { publish(c_undated, (&raw const state).cast(), SMALL, &raw mut number) };
                    assert_eq!(status, tl_status::TL_OK);
                    black_box(number);
                }
            })
        }),
        (
            "view 1 MiB in place, Rust",
            Box::new(|_| {
                for _ in 0..BATCH {
                    let view = viewing.view().expect("it is viewed");
                    assert!(view.is_in_place());
                    black_box(&view[..1]);
                }
            }),
        ),
        ("view 1 MiB in place, C", {
            let (take, release) = (c.view, c.release);
            Box::new(move |_| {
                for _ in 0..BATCH {
                    // SAFETY: integers and raw pointers.
                    let mut view: tl_view = unsafe { std::mem::zeroed() };
                    // SAFETY: a reader that is open, and a place for the view.
                    let status = unsafe { take(c_viewing, &raw mut view) };
                    assert_eq!((status, view.is_in_place), (tl_status::TL_OK, 1));
                    black_box(view.data);
                    // SAFETY: a view that was taken.
                    unsafe { release(&raw mut view) };
                }
            })
        }),
    ];
    if let Some(peer) = env::var_os("TEARLESS_C_PEER") {
        operations.extend(peer_operations(&peer, &c_name));
    }
    let mut figures = vec![Vec::with_capacity(rounds); operations.len()];
    for _ in 0..rounds {
        for (figures, (_, operation)) in figures.iter_mut().zip(&mut operations) {
            figures.push(measure(operation));
        }
    }
    for (mut figures, (name, _)) in figures.into_iter().zip(&operations) {
        figures.sort_by(f64::total_cmp);
        println!("{name:42} {:8.2} ns", figures[figures.len() / 2]);
    }
    drop(operations);
    for writer in [c_writer, c_undated] {
        // SAFETY: a writer that is open.
        let closed = unsafe { (c.close_writer)(writer) };
        assert_eq!(closed, tl_status::TL_OK);
    }
}
