//! iceoryx2: a blackboard with one entry.

use iceoryx2::port::reader::{EntryHandle, Reader as EntryReader};
use iceoryx2::port::writer::{EntryHandleMut, Writer as EntryWriter};
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::blackboard::PortFactory;

use crate::peer::{Ends, Peer, Publish, Read, Shared, Tried};
use crate::place::Place;

/// The entry's key.
const KEY: u64 = 0;

/// `get` and `update_with_copy`, both of which pass the state by value.
pub(crate) struct Iceoryx;

/// The entry to write to, and everything that must live as long.
pub(crate) struct Update<const WORDS: usize> {
    entry: EntryHandleMut<ipc::Service, u64, [u64; WORDS]>,
    _writer: EntryWriter<ipc::Service, u64>,
    _board: Board,
}

/// The entry to read from, and everything that must live as long.
pub(crate) struct Get<const WORDS: usize> {
    entry: EntryHandle<ipc::Service, u64, [u64; WORDS]>,
    _reader: EntryReader<ipc::Service, u64>,
    _board: Board,
}

/// The blackboard, and this process as its user.
struct Board {
    service: PortFactory<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

impl Board {
    /// Creates the blackboard if the size of the entry is given, else opens it.
    fn create<const WORDS: usize>(place: &Place) -> Board {
        let node = node(place);
        let builder = node.service_builder(&service_name(place)).blackboard_creator::<u64>();
        let service = builder.add::<[u64; WORDS]>(KEY, [0; WORDS]).create();
        Board { service: service.expect("there is room in shared memory"), _node: node }
    }

    fn open(place: &Place) -> Board {
        let node = node(place);
        let service = node.service_builder(&service_name(place)).blackboard_opener::<u64>().open();
        Board { service: service.expect("the blackboard is there"), _node: node }
    }
}

/// A node whose files belong to the run.
pub(super) fn node(place: &Place) -> Node<ipc::Service> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    // Short: the path of a socket has at most 108 bytes, and iceoryx2 repeats the prefix in it.
    let directory = place.directory().join("iox2");
    let path = Path::new(directory.to_string_lossy().as_bytes()).expect("it is a path");
    config.global.set_root_path(&path);
    config.global.prefix = FileName::new(place.prefix().as_bytes()).expect("it is a name");
    let builder = NodeBuilder::new().config(&config).signal_handling_mode(SignalHandlingMode::Disabled);
    builder.create().expect("the run's directory is there")
}

pub(super) fn service_name(place: &Place) -> ServiceName {
    place.name().try_into().expect("it is a name")
}

impl<const WORDS: usize> Peer<WORDS> for Iceoryx {
    const NAME: &'static str = "iceoryx2";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Update<WORDS>;
    type Reader = Get<WORDS>;

    fn open(place: &Place) -> Ends<Update<WORDS>, Get<WORDS>> {
        Ends { publisher: Self::publisher(place), reader: Self::reader(place) }
    }
}

impl<const WORDS: usize> Shared<WORDS> for Iceoryx {
    fn publisher(place: &Place) -> Update<WORDS> {
        let board = Board::create::<WORDS>(place);
        let writer = board.service.writer_builder().create().expect("it has no writer yet");
        let entry = writer.entry(&KEY).expect("the entry is there, and free");
        Update { entry, _writer: writer, _board: board }
    }

    fn reader(place: &Place) -> Get<WORDS> {
        let board = Board::open(place);
        let reader = board.service.reader_builder().create().expect("it has few readers");
        let entry = reader.entry(&KEY).expect("the entry is there");
        Get { entry, _reader: reader, _board: board }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Update<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.entry.update_with_copy(*state);
    }
}

impl<const WORDS: usize> Read<WORDS> for Get<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        look(&self.entry.get());
        Tried::default()
    }
}
