//! Namespaces, and the list of their channels.

use std::ffi::{CString, c_char};
use std::ptr;

use tearless::Namespace;
use tearless::inspect::ChannelInfo;

use crate::boundary::{self, Out, call};
use crate::handle::{Handle, Kind};
use crate::status::{Failure, Result, tl_status};

/// The channels of a fleet, under one name. Threads may use a namespace at the same time.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_namespace(#[allow(dead_code, reason = "its address is the handle's")] Handle<Namespace>);

impl Kind for Namespace {
    const NAME: &str = "namespace";
    const MARK: u32 = u32::from_be_bytes(*b"TLN\0");
}

/// Options of a namespace. Make them with tl_namespace_defaults().
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_namespace_options {
    /// sizeof(tl_namespace_options).
    pub struct_size: u32,
    /// The permission bits of its objects, as 0640; 0 for the default, 0600. Whoever may write to
    /// them can make readers and writers fail.
    pub permissions: u32,
    /// The directory of its objects, best on a file system in memory; NULL for the default,
    /// /dev/shm.
    pub directory: *const c_char,
    /// The name or number of the group that its objects belong to; NULL for the default, that of
    /// the process.
    pub group: *const c_char,
    /// Bytes of shared memory that its channels may take together; 0 for the default, no limit.
    pub max_memory: u64,
    /// 1 to open objects of the user trusted_owner, too; 0 for the default, only those of this
    /// user.
    pub trusts_owner: i32,
    /// The id of that user.
    pub trusted_owner: u32,
}

// SAFETY: integers and raw pointers.
unsafe impl boundary::OfC for tl_namespace_options {}

// SAFETY: it begins with its size.
unsafe impl boundary::Options for tl_namespace_options {
    const NAME: &str = "tl_namespace_options";
    const MADE_BY: &str = "begin with tl_namespace_options options = tl_namespace_defaults()";
}

/// Opens a namespace: the channels that are named in it, and no others. Creates and removes
/// nothing. Several processes open the same namespace by the same name.
///
/// name: 1 to 128 bytes of UTF-8 without control characters.
/// options: NULL for the defaults.
/// namespace_: receives the handle, which tl_namespace_close() ends; NULL after an error.
///
/// Returns TL_OK; TL_INVALID if a name or option can't be used. Permissions are checked when the
/// first channel is made.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_namespace_open(
    name: *const c_char,
    options: *const tl_namespace_options,
    namespace_: *mut *mut tl_namespace,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(namespace_, "the place for the namespace")? };
        out.set(ptr::null_mut());
        // SAFETY: the caller's promise.
        let name = unsafe { boundary::text(name, "the name of the namespace")? };
        // SAFETY: the caller's promise.
        let options = unsafe { boundary::options(options)? };
        // SAFETY: the caller's promise.
        let namespace = unsafe { options.open(name)? };
        out.set(Handle::open(namespace).cast());
        Ok(tl_status::TL_OK)
    })
}

impl tl_namespace_options {
    /// # Safety
    ///
    /// The texts are as their documentation says.
    unsafe fn open(&self, name: &str) -> Result<Namespace> {
        let mut builder = Namespace::builder(name);
        // SAFETY: the caller's promise.
        if let Some(directory) = unsafe { boundary::optional_text(self.directory, "directory")? } {
            builder = builder.directory(directory);
        }
        // SAFETY: the caller's promise.
        if let Some(group) = unsafe { boundary::optional_text(self.group, "group")? } {
            builder = builder.group(group);
        }
        if self.permissions != 0 {
            builder = builder.permissions(self.permissions);
        }
        if self.max_memory != 0 {
            builder = builder.max_memory(self.max_memory);
        }
        if self.trusted_owner != 0 && self.trusts_owner == 0 {
            return Err(Failure::invalid("trusted_owner is given, but trusts_owner is 0: set it to 1"));
        }
        if boundary::flag(self.trusts_owner, "tl_namespace_options.trusts_owner")? {
            builder = builder.trust_owner(self.trusted_owner);
        }
        Ok(builder.open()?)
    }
}

/// The namespace of a handle.
///
/// # Safety
///
/// `namespace` is NULL or a handle that no thread closes during `'a`.
pub(crate) unsafe fn namespace_of<'a>(namespace: *const tl_namespace) -> Result<&'a Namespace> {
    // SAFETY: the caller's promise; a `tl_namespace` is a handle of one.
    Ok(unsafe { Handle::shared(namespace.cast())? })
}

/// Closes a namespace, which no other thread may be using. Its readers and writers stay open. NULL
/// is ignored.
///
/// Returns TL_OK; TL_CLOSED if it was closed before, as far as that can be seen: each thread
/// remembers the last 128 handles that it has closed, of every kind, until it ends. An address that
/// was closed before may be that of another handle by now.
///
/// # Safety
///
/// No other thread uses the namespace.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_namespace_close(namespace_: *mut tl_namespace) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        unsafe { Handle::<Namespace>::close(namespace_.cast())? };
        Ok(tl_status::TL_OK)
    })
}

/// Removes a channel whose writer has ended without closing it, or with linger. Readers that are
/// attached see the end.
///
/// channel: the channel's name.
///
/// Returns TL_OK; TL_NOT_FOUND if there is no such channel; TL_IN_USE as long as its writer lives;
/// TL_ACCESS.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_namespace_remove(
    namespace_: *const tl_namespace,
    channel: *const c_char,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let namespace = unsafe { namespace_of(namespace_)? };
        // SAFETY: the caller's promise.
        let channel = unsafe { boundary::text(channel, "the name of the channel")? };
        match namespace.remove_channel(channel)? {
            true => Ok(tl_status::TL_OK),
            false => {
                let text = format!("there is no channel {channel:?} in the namespace {:?}", namespace.name());
                Err(Failure::new(tl_status::TL_NOT_FOUND, text))
            }
        }
    })
}

/// What a channel is. It belongs to the list or reader that gave it, with its texts; later versions
/// may have more members after these.
#[repr(C)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_channel {
    /// The channel's name.
    pub name: *const c_char,
    /// The codec of its states: "bytes", "pod" for plain structs, "message-pack", "postcard", or
    /// one of another program.
    pub codec: *const c_char,
    /// The name of its states' type; NULL in a list.
    pub type_name: *const c_char,
    /// The host that it is mirrored from; NULL if it is of this host, and in a list.
    pub host: *const c_char,
    /// The random id of the channel: if it is another one, the channel is another one of that name.
    pub instance: u64,
    /// How many writers it has had so far, one after the other.
    pub incarnation: u64,
    /// The process id of the writer, or of the last one, in its own PID namespace.
    pub writer_pid: u64,
}

impl Default for tl_channel {
    fn default() -> Self {
        let none = ptr::null();
        tl_channel {
            name: none,
            codec: none,
            type_name: none,
            host: none,
            instance: 0,
            incarnation: 0,
            writer_pid: 0,
        }
    }
}

/// The channels of a namespace as they were when the list was made. One thread at a time may use a
/// list.
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_channels(#[allow(dead_code, reason = "its address is the handle's")] Handle<Listed>);

pub(crate) struct Listed {
    channels: std::vec::IntoIter<ChannelInfo>,
    last: Option<Described>,
}

/// A channel, and its texts.
pub(crate) struct Described {
    _texts: [Option<CString>; 4],
    channel: tl_channel,
}

// SAFETY: the addresses in it are those of texts on the heap, which it owns and never changes.
unsafe impl Send for Described {}

impl Described {
    /// `channel` with these texts: name, codec, name of the type, host.
    pub(crate) fn new(texts: [Option<&str>; 4], channel: tl_channel) -> Described {
        // A zero byte, which only another program can have stored there, is shown as one.
        let texts = texts.map(|text| text.and_then(|text| CString::new(text.replace('\0', "\\0")).ok()));
        let address = |index: usize| texts[index].as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let [name, codec, type_name, host] = [0, 1, 2, 3].map(address);
        Described { channel: tl_channel { name, codec, type_name, host, ..channel }, _texts: texts }
    }

    pub(crate) fn channel(&self) -> *const tl_channel {
        &raw const self.channel
    }
}

impl Kind for Listed {
    const NAME: &str = "list of channels";
    const MARK: u32 = u32::from_be_bytes(*b"TLC\0");
}

/// Lists the channels of a namespace, sorted by name, also those whose writer is dead.
///
/// channels: receives the handle of the list, which tl_channels_close() ends; NULL after an error.
///
/// Returns TL_OK; TL_ACCESS or TL_SYSTEM if the list can't be read. Takes some microseconds, and
/// some nanoseconds for each channel.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_channels_open(
    namespace_: *const tl_namespace,
    channels: *mut *mut tl_channels,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(channels, "the place for the list")? };
        out.set(ptr::null_mut());
        // SAFETY: the caller's promise.
        let namespace = unsafe { namespace_of(namespace_)? };
        let mut channels = namespace.channels()?;
        channels.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let listed = Listed { channels: channels.into_iter(), last: None };
        out.set(Handle::open(listed).cast());
        Ok(tl_status::TL_OK)
    })
}

/// The next channel of a list.
///
/// channel: receives the address of what it is, valid until the next call for this list; NULL if
/// there is none.
///
/// Returns TL_OK; TL_END if there is no further one.
///
/// # Safety
///
/// The pointers are NULL or lead to what is described here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_channels_next(
    channels: *mut tl_channels,
    channel: *mut *const tl_channel,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(channel, "the place for the channel")? };
        out.set(ptr::null());
        // SAFETY: the caller's promise.
        let mut listed = unsafe { Handle::<Listed>::using(channels.cast())? };
        let Some(next) = listed.channels.next() else { return Ok(tl_status::TL_END) };
        let ChannelInfo { name, codec, instance, incarnation, writer_pid, .. } = &next;
        let channel = tl_channel {
            instance: *instance,
            incarnation: *incarnation,
            writer_pid: *writer_pid,
            ..tl_channel::default()
        };
        let last = listed.last.insert(Described::new([Some(name), Some(codec), None, None], channel));
        out.set(last.channel());
        Ok(tl_status::TL_OK)
    })
}

/// Ends a list. NULL is ignored.
///
/// Returns TL_OK; TL_CLOSED as tl_namespace_close() does.
///
/// # Safety
///
/// No other thread uses the list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_channels_close(channels: *mut tl_channels) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        unsafe { Handle::<Listed>::close(channels.cast())? };
        Ok(tl_status::TL_OK)
    })
}
