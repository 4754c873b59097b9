/**
 * tearless: the latest state of a process in shared memory, where other processes read it directly.
 *
 * A process opens a writer of a channel and publishes states. Any process opens a reader of it and
 * reads the latest state, without a system call and never torn. docs/c.md shows how, and
 * docs/choosing.md what for. In C++, tearless.hpp has the same as classes.
 *
 * Every call that can fail returns a tl_status: 0 for success, a positive number if nothing is wrong but there is
 * no result, a negative one for an error. After an error or TL_EMPTY, tl_error_message() says what
 * happened and what to do. Results are stored through the last arguments.
 *
 * A handle that a call opens is closed by its _close(), a view by tl_view_release(). Nothing is
 * passed to free(). The library keeps nothing that the caller passes: texts, options and
 * descriptions may be freed after the call.
 *
 * Threads: a namespace may be used by several threads at the same time, all other handles by one at
 * a time, and none while another thread closes it. Two threads in one handle mostly get TL_IN_USE,
 * but the program may also crash. A handle may move to another thread. Calls are not safe in signal
 * handlers.
 *
 * Fork: a reader and a namespace work in the child; a writer belongs to the process that opened it,
 * and returns TL_FORKED in the child.
 *
 * Exceptions: none comes out of a call, and no signal handler is installed.
 *
 * C++: the header has its own extern "C". An #include of it belongs outside of such a block.
 */
#ifndef TEARLESS_H
#define TEARLESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
#include <type_traits>
#endif

/** The version of the header. */
#define TL_VERSION "0.1.0"

/**
 * The version of the interface, which is a part of the library's soname. Later versions of the
 * library with the same number have everything that is in this header; earlier ones may lack
 * functions.
 */
#define TL_ABI_VERSION 1

/** A member that is a struct, described by tl_field.structure. */
#define TL_STRUCT 0

/** A bool. */
#define TL_BOOL 1

/** An unsigned integer of 8 bits, or a char. */
#define TL_U8 2

/** An unsigned integer of 16 bits. */
#define TL_U16 3

/** An unsigned integer of 32 bits. */
#define TL_U32 4

/** An unsigned integer of 64 bits. */
#define TL_U64 5

/** A signed integer of 8 bits. */
#define TL_I8 6

/** A signed integer of 16 bits. */
#define TL_I16 7

/** A signed integer of 32 bits. */
#define TL_I32 8

/** A signed integer of 64 bits. */
#define TL_I64 9

/** A float of 32 bits. */
#define TL_F32 10

/** A float of 64 bits. */
#define TL_F64 11

/** The states are bytes that only the programs understand. */
#define TL_BYTES 0

/** The states are plain structs, which tl_structure describes. */
#define TL_PLAIN 1

/** The states are MessagePack. */
#define TL_MESSAGE_PACK 2

/**
 * TL_SAME_TYPE if there is a structure or a type_name; else channels of the codec; else, without
 * any of them, TL_ANY.
 */
#define TL_ACCEPT_DEFAULT 0

/** Channels of any codec and type: the reader returns what is in them. */
#define TL_ANY 1

/** Channels of the same codec and type name. */
#define TL_SAME_TYPE 2

/**
 * Channels of the same codec whose schema has the same fields in the same places. Needs a
 * structure with members.
 */
#define TL_SAME_SCHEMA 3

/**
 * Channels of the same codec that have all members of the structure, wherever they are; the reader
 * puts them in their places. Other members of the channel are left out. MessagePack needs no
 * structure.
 */
#define TL_MATCHING_FIELDS 4

/** The writer's process is alive. */
#define TL_WRITER_ALIVE 1

/** The process is alive, but a signal or a debugger has stopped it, or its control group is frozen. */
#define TL_WRITER_STOPPED 2

/** The process died without closing the channel. The last state stays readable. */
#define TL_WRITER_DEAD 3

/** The process exited without closing the channel. The last state stays readable. */
#define TL_WRITER_EXITED 4

/** The writer closed the channel. */
#define TL_WRITER_CLOSED 5

/** The process can't be seen from here. */
#define TL_WRITER_UNKNOWN 6

/** Of a mirrored channel: there is no news of its host. */
#define TL_WRITER_UNREACHABLE 7

/** The writer lives and has published recently. */
#define TL_HEALTH_FRESH 1

/** The writer lives, and its state has not changed for some time. */
#define TL_HEALTH_UNCHANGED 2

/** The writer is stopped, or has been silent for longer than it promises. */
#define TL_HEALTH_STALLED 3

/** The writer died. */
#define TL_HEALTH_DEAD 4

/** The writer exited without closing the channel. */
#define TL_HEALTH_EXITED 5

/** The writer closed the channel. */
#define TL_HEALTH_CLOSED 6

/** The writer lives and has published nothing yet. */
#define TL_HEALTH_EMPTY 7

/** Nothing is known of the writer. */
#define TL_HEALTH_UNKNOWN 8

/** Of a mirrored channel: there is no news of its host. */
#define TL_HEALTH_UNREACHABLE 9

/**
 * What a call returns: 0 for success, a positive number if nothing is wrong but there is no
 * result, a negative one for an error, whose text tl_error_message() returns. Numbers are never
 * given another meaning; later versions may return new ones.
 */
enum tl_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Done. */
  TL_OK = 0,
  /** Nothing has been published yet. */
  TL_EMPTY = 1,
  /** The timeout is over, and nothing has changed. */
  TL_TIMED_OUT = 2,
  /** There is no further channel or publication. */
  TL_END = 3,
  /** The state is that of the last call: it was not published again. */
  TL_UNCHANGED = 4,
  /** An argument is wrong: a NULL, a size, a name, an option, a handle of another kind. */
  TL_INVALID = -1,
  /** There is no such channel. */
  TL_NOT_FOUND = -2,
  /** Another process writes the channel, another thread uses the handle, or a loan is lent. */
  TL_IN_USE = -3,
  /** The channel has ended, or the handle was closed. */
  TL_CLOSED = -4,
  /** The caller is a fork of the process that the writer belongs to. */
  TL_FORKED = -5,
  /** The channel's states are of another type, schema or codec, or of another version. */
  TL_MISMATCH = -6,
  /** The state is longer than the buffer. The call says how long it is. */
  TL_TOO_SMALL = -7,
  /** There is no memory, or a limit or budget does not allow it. */
  TL_LIMIT = -8,
  /** The system does not permit it. */
  TL_ACCESS = -9,
  /** The memory holds what no writer stores, or a state can't be decoded. */
  TL_CORRUPT = -10,
  /** The state can't be encoded, or is not in the format that the writer was opened for. */
  TL_ENCODE = -11,
  /** The writer was faster than every attempt to copy its state. */
  TL_CONTENDED = -12,
  /** The system refused for another reason. */
  TL_SYSTEM = -13,
  /** A fault of tearless. The call had no effect that can be relied on; please report it. */
  TL_PANIC = -14,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tl_status tl_status;
#else
typedef int32_t tl_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The channels of a namespace as they were when the list was made. One thread at a time may use a
 * list.
 */
typedef struct tl_channels tl_channels;

/** The part of a view that keeps its bytes. */
typedef struct tl_hold tl_hold;

/** The channels of a fleet, under one name. Threads may use a namespace at the same time. */
typedef struct tl_namespace tl_namespace;

/**
 * The reader of one channel. One thread at a time may use a reader; each thread opens its own. In
 * a fork, it works on.
 */
typedef struct tl_reader tl_reader;

/**
 * The writer of one channel. One thread at a time may use a writer. It belongs to the process that
 * opened it: in a fork it publishes nothing.
 */
typedef struct tl_writer tl_writer;

/** Options of a namespace. Make them with tl_namespace_defaults(). */
typedef struct tl_namespace_options {
  /** sizeof(tl_namespace_options). */
  uint32_t struct_size;
  /**
   * The permission bits of its objects, as 0640; 0 for the default, 0600. Whoever may write to
   * them can make readers and writers fail.
   */
  uint32_t permissions;
  /**
   * The directory of its objects, best on a file system in memory; NULL for the default,
   * /dev/shm.
   */
  const char *directory;
  /**
   * The name or number of the group that its objects belong to; NULL for the default, that of
   * the process.
   */
  const char *group;
  /** Bytes of shared memory that its channels may take together; 0 for the default, no limit. */
  uint64_t max_memory;
  /**
   * 1 to open objects of the user trusted_owner, too; 0 for the default, only those of this
   * user.
   */
  int32_t trusts_owner;
  /** The id of that user. */
  uint32_t trusted_owner;
} tl_namespace_options;

/**
 * What a channel is. It belongs to the list or reader that gave it, with its texts; later versions
 * may have more members after these.
 */
typedef struct tl_channel {
  /** The channel's name. */
  const char *name;
  /**
   * The codec of its states: "bytes", "pod" for plain structs, "message-pack", "postcard", or
   * one of another program.
   */
  const char *codec;
  /** The name of its states' type; NULL in a list. */
  const char *type_name;
  /** The host that it is mirrored from; NULL if it is of this host, and in a list. */
  const char *host;
  /** The random id of the channel: if it is another one, the channel is another one of that name. */
  uint64_t instance;
  /** How many writers it has had so far, one after the other. */
  uint64_t incarnation;
  /** The process id of the writer, or of the last one, in its own PID namespace. */
  uint64_t writer_pid;
} tl_channel;

/** One member of a struct. TL_FIELD, TL_MATRIX and TL_NESTED make it. */
typedef struct tl_field {
  /** The member's name. */
  const char *name;
  /** Bytes from the beginning of the struct. */
  size_t offset;
  /** Bytes of the whole member. */
  size_t size;
  /**
   * The lengths of an array, outermost first; a member with less than three dimensions has zeros
   * for the others.
   */
  size_t lengths[3];
  /** The struct of a member that is one, or an array of them; otherwise NULL. */
  const struct tl_structure *structure;
  /** The scalar of a member that is one, or an array of them: TL_BOOL to TL_F64. */
  int32_t scalar;
} tl_field;

/**
 * A struct and its members. TL_DESCRIBE makes it. It is read while a writer or reader is opened,
 * and may be freed afterwards.
 */
typedef struct tl_structure {
  /** sizeof(tl_structure). */
  uint32_t struct_size;
  /** sizeof(tl_field). */
  uint32_t field_size;
  /** The type's name, by which readers recognise it. */
  const char *name;
  /** Bytes of the struct, padding included. */
  size_t size;
  /** The struct's alignment in bytes. */
  size_t alignment;
  /**
   * The members, in any order. Without any, channels carry no schema, and only the name and the
   * size are compared.
   */
  const struct tl_field *fields;
  /** How many members there are. */
  size_t field_count;
} tl_structure;

/** Options of a writer. Make them with tl_writer_defaults(); what is 0 or NULL has its default. */
typedef struct tl_writer_options {
  /** sizeof(tl_writer_options). */
  uint32_t struct_size;
  /**
   * What the states are: TL_BYTES, the default; TL_PLAIN, which needs a structure; or
   * TL_MESSAGE_PACK.
   */
  int32_t codec;
  /**
   * The name of the states' type, which readers compare. Default: "bytes" for bytes; for a
   * plain struct its name, size and alignment, as readers in Rust expect it; MessagePack needs
   * one.
   */
  const char *type_name;
  /** The plain struct that the states are: TL_STRUCTURE(type). The codec may then be 0. */
  const struct tl_structure *structure;
  /** Bytes of a state that fit without growing. Default: those of the structure, else 928. */
  size_t capacity;
  /**
   * How many publications the channel holds, at least. Default: 8, or 4 for states of more than
   * 1 KiB.
   */
  size_t slots;
  /** Bytes that a state may have at most. Default: 64 MiB. */
  size_t max_state_length;
  /**
   * How many views in place readers can hold at the same time, at most 64. Default: none, so
   * that views are copies.
   */
  size_t pins;
  /** Bytes of shared memory that the channel may take. Default: no limit. */
  uint64_t max_memory;
  /**
   * The longest time between two signs of life that the writer promises, in nanoseconds: a
   * publication (not with no_timestamps), tl_writer_touch() or tl_writer_publish_if_changed().
   * After three such times without one it is TL_HEALTH_STALLED. Default: no promise.
   */
  int64_t heartbeat_interval_ns;
  /** The permission bits of the channel's objects, as 0640. Default: those of the namespace. */
  uint32_t permissions;
  /** 1 for publications with a CRC-32C, which readers verify. Default: none. */
  int32_t checksum;
  /** 1 to leave the last state readable after tl_writer_close(). Default: the channel is removed. */
  int32_t linger;
  /**
   * 1 for publications without a timestamp, and so without an age; each then costs some 20 ns
   * less.
   */
  int32_t no_timestamps;
} tl_writer_options;

/** What is known of a state beside its bytes. */
typedef struct tl_info {
  /** The number of the publication: 1 for the first of the channel's life. */
  uint64_t publication;
  /** Bytes of the state. */
  size_t length;
  /**
   * When it was published, in nanoseconds since the machine's boot, time asleep included;
   * negative if it was restored from before the boot, 0 if the writer gives no timestamps.
   * tl_age_ns() has its age.
   */
  int64_t boot_ns;
  /**
   * On a channel that is mirrored from another host, the number that the publication has there;
   * otherwise 0.
   */
  uint64_t origin_publication;
  /** How many attempts to copy it failed because the writer was faster. */
  uint64_t retries;
  /** For later versions; 0. */
  uint64_t reserved[3];
} tl_info;

/** Options of a reader. Make them with tl_reader_defaults(); what is 0 or NULL has its default. */
typedef struct tl_reader_options {
  /** sizeof(tl_reader_options). */
  uint32_t struct_size;
  /**
   * What the states must be: TL_BYTES, TL_PLAIN or TL_MESSAGE_PACK. TL_BYTES, which is 0, counts
   * only if there is a type_name or an accept.
   */
  int32_t codec;
  /** The name of the states' type. Default: "bytes" for bytes, and that of the structure. */
  const char *type_name;
  /** The plain struct that states are read as: TL_STRUCTURE(type). The codec may then be 0. */
  const struct tl_structure *structure;
  /**
   * Which channels the reader accepts: TL_ACCEPT_DEFAULT, TL_ANY, TL_SAME_TYPE, TL_SAME_SCHEMA
   * or TL_MATCHING_FIELDS.
   */
  int32_t accept;
  /**
   * 1 to view states in place, by which the caller promises that the processes which may write
   * to the channel store to it by tearless only. Default: views are copies.
   */
  int32_t views_in_place;
  /** How long to wait for the channel to exist, in nanoseconds. Default: not at all. */
  int64_t attach_timeout_ns;
} tl_reader_options;

/**
 * The state of a channel's writer. It belongs to the reader that gave it; later versions may have
 * more members after these, and more states and healths. Durations are in nanoseconds as of the
 * call; -1 for what is not known.
 */
typedef struct tl_writer_state {
  /**
   * The state of its process: TL_WRITER_ALIVE to TL_WRITER_UNREACHABLE, or one of a later
   * version.
   */
  int32_t state;
  /**
   * The judgement of that, of its last signs of life and of what it promises: TL_HEALTH_FRESH to
   * TL_HEALTH_UNREACHABLE, or one of a later version.
   */
  int32_t health;
  /** The name of the writer's state in lower case, as "alive". Valid as long as the process. */
  const char *state_name;
  /** The name of the health in lower case, as "fresh". Valid as long as the process. */
  const char *health_name;
  /** Its process id, in its own PID namespace; of a mirrored channel, that of the mirror here. */
  uint64_t pid;
  /** How many writers the channel has had so far, it included. */
  uint64_t incarnation;
  /** Time since its last heartbeat; a publication is none. */
  int64_t heartbeat_age_ns;
  /** The longest time between two signs of life that it promises: heartbeats or publications. */
  int64_t heartbeat_interval_ns;
} tl_writer_state;

/** A state in place, which does not change as long as it is held. */
typedef struct tl_view {
  /** Its bytes, aligned to 8; info.length is how many. */
  const void *data;
  /** What tl_view_release() releases. */
  struct tl_hold *hold;
  /** 1 if these are the writer's own bytes, 0 if they are a copy. */
  int32_t is_in_place;
  /** For later versions; 0. */
  int32_t reserved;
  /** What else is known of it. */
  struct tl_info info;
} tl_view;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The TL_ABI_VERSION that the library was built with, to compare with the header's. Any thread may
 * call it at any time.
 */
uint32_t tl_abi_version(void);

/**
 * The version of the library, as TL_VERSION is that of the header: "0.1.0". Never NULL, and valid
 * as long as the process. Any thread may call it at any time.
 */
const char *tl_version(void);

/**
 * The name of a status, as "TL_NOT_FOUND"; "unknown status" for any other number. Never NULL, and
 * valid as long as the process.
 *
 * Any thread may call it at any time.
 */
const char *tl_status_name(int32_t status);

/**
 * The text of the last error of the calling thread, or of its last TL_EMPTY: what happened, to
 * which object, and what to do about it. It is empty before the first, and other calls leave it as
 * it is.
 * Never NULL. The address is the same for as long as the thread lives, and the thread's next error
 * changes the text: copy it to keep it.
 *
 * The text is UTF-8 of at most 4,095 bytes. It may quote names of other processes; control
 * characters in them are escaped.
 */
const char *tl_error_message(void);

/**
 * Opens a namespace: the channels that are named in it, and no others. Creates and removes
 * nothing. Several processes open the same namespace by the same name.
 *
 * name: 1 to 128 bytes of UTF-8 without control characters.
 * options: NULL for the defaults.
 * namespace_: receives the handle, which tl_namespace_close() ends; NULL after an error.
 *
 * Returns TL_OK; TL_INVALID if a name or option can't be used. Permissions are checked when the
 * first channel is made.
 */
tl_status tl_namespace_open(const char *name,
                            const struct tl_namespace_options *options,
                            struct tl_namespace **namespace_);

/**
 * Closes a namespace, which no other thread may be using. Its readers and writers stay open. NULL
 * is ignored.
 *
 * Returns TL_OK; TL_CLOSED if it was closed before, as far as that can be seen: each thread
 * remembers the last 128 handles that it has closed, of every kind, until it ends. An address that
 * was closed before may be that of another handle by now.
 */
tl_status tl_namespace_close(struct tl_namespace *namespace_);

/**
 * Removes a channel whose writer has ended without closing it, or with linger. Readers that are
 * attached see the end.
 *
 * channel: the channel's name.
 *
 * Returns TL_OK; TL_NOT_FOUND if there is no such channel; TL_IN_USE as long as its writer lives;
 * TL_ACCESS.
 */
tl_status tl_namespace_remove(const struct tl_namespace *namespace_, const char *channel);

/**
 * Lists the channels of a namespace, sorted by name, also those whose writer is dead.
 *
 * channels: receives the handle of the list, which tl_channels_close() ends; NULL after an error.
 *
 * Returns TL_OK; TL_ACCESS or TL_SYSTEM if the list can't be read. Takes some microseconds, and
 * some nanoseconds for each channel.
 */
tl_status tl_channels_open(const struct tl_namespace *namespace_, struct tl_channels **channels);

/**
 * The next channel of a list.
 *
 * channel: receives the address of what it is, valid until the next call for this list; NULL if
 * there is none.
 *
 * Returns TL_OK; TL_END if there is no further one.
 */
tl_status tl_channels_next(struct tl_channels *channels, const struct tl_channel **channel);

/**
 * Ends a list. NULL is ignored.
 *
 * Returns TL_OK; TL_CLOSED as tl_namespace_close() does.
 */
tl_status tl_channels_close(struct tl_channels *channels);

/**
 * Creates a channel, or resumes it if its former writer died or left it. A channel has one writer.
 * A channel that was left with another codec, type name, schema, checksum, pins or permissions is
 * not resumed but replaced, and its last state is gone.
 *
 * channel: the channel's name, 1 to 256 bytes of UTF-8 without control characters.
 * options: NULL for the defaults, a channel of bytes.
 * writer: receives the handle, which tl_writer_close() ends; NULL after an error.
 *
 * Returns TL_OK; TL_IN_USE if another writer has the channel; TL_LIMIT without memory; TL_ACCESS;
 * TL_INVALID. After an error nothing has changed. Takes some hundred microseconds.
 *
 * A process that ends without tl_writer_close(), also by exit(), leaves the channel with its last
 * state, which readers then know to be of an ended writer. The next writer resumes it.
 */
tl_status tl_writer_open(const struct tl_namespace *namespace_,
                         const char *channel,
                         const struct tl_writer_options *options,
                         struct tl_writer **writer);

/**
 * Publishes a state: copies it, and makes it the latest one for all readers.
 *
 * state: its bytes; of a plain struct, its address. NULL only for no bytes.
 * length: how many; of a plain struct, its sizeof.
 * publication: receives the number of the publication; may be NULL.
 *
 * Returns TL_OK; TL_LIMIT if the state is too large or there is no memory to grow; TL_ENCODE if it
 * is not MessagePack on a channel of that; TL_INVALID for a wrong length; TL_FORKED; TL_IN_USE
 * while a loan is lent. After an error readers still have the last state.
 *
 * Never waits for readers, and makes no system call unless the channel grows or a reader waits.
 */
tl_status tl_writer_publish(struct tl_writer *writer,
                            const void *state,
                            size_t length,
                            uint64_t *publication);

/**
 * Publishes a state if its bytes are others than those of the last call; else it is a heartbeat as
 * tl_writer_touch(), and wakes no reader. The first call publishes, and so does one after
 * tl_writer_publish().
 *
 * The arguments are those of tl_writer_publish(). The bytes of a struct's padding count: set the
 * struct to zeros before its members.
 *
 * Returns what tl_writer_publish() does; TL_UNCHANGED if the bytes are the same.
 */
tl_status tl_writer_publish_if_changed(struct tl_writer *writer,
                                       const void *state,
                                       size_t length,
                                       uint64_t *publication);

/**
 * Lends the memory of the next state, to be filled in place. tl_writer_commit() publishes it,
 * tl_writer_discard() gives it back. Until then readers have the last state.
 *
 * length: how many bytes the state can have at most; of a plain struct, its sizeof.
 * memory: receives the address of them, aligned to 8 bytes; NULL after an error. They hold bytes
 * of an older state, or zeros. The caller stores nothing to them after the commit or discard, and
 * a fork of this process never: readers would see torn states.
 *
 * Returns TL_OK; TL_IN_USE if a loan is lent already; otherwise what tl_writer_publish() does.
 */
tl_status tl_writer_loan(struct tl_writer *writer, size_t length, void **memory);

/**
 * Publishes the memory that was lent.
 *
 * length: how many of the lent bytes the state has.
 * publication: receives the number of the publication; may be NULL.
 *
 * Returns TL_OK; TL_INVALID if nothing is lent, or less than that, or for another length than that
 * of the struct; TL_ENCODE if the bytes are not
 * MessagePack on a channel of that; TL_FORKED. The loan has ended in any case. Costs the same
 * whatever the length, but for checksums and MessagePack.
 */
tl_status tl_writer_commit(struct tl_writer *writer, size_t length, uint64_t *publication);

/**
 * Ends a loan without a publication.
 *
 * Returns TL_OK; TL_INVALID if nothing is lent.
 */
tl_status tl_writer_discard(struct tl_writer *writer);

/**
 * A heartbeat: the state is as it was, and this process works. It wakes no reader. Once a second
 * at most, it checks that the channel's names are still there.
 *
 * Returns TL_OK; TL_SYSTEM if the names were removed by hand: close the writer and open another
 * one; TL_FORKED.
 */
tl_status tl_writer_touch(struct tl_writer *writer);

/**
 * Closes a writer, and removes the channel unless the writer was opened with linger. A loan is
 * given back. Readers see the end. NULL is ignored. In a fork of the process that opened the
 * writer the channel stays as it is.
 *
 * Returns TL_OK; TL_CLOSED as tl_namespace_close() does; TL_SYSTEM or TL_ACCESS if something of
 * the channel could not be removed. The handle is closed in any case.
 */
tl_status tl_writer_close(struct tl_writer *writer);

/**
 * The age of a state in nanoseconds, as of now; of a mirrored one, at least; -1 if it has no
 * timestamp, or if info is NULL or not aligned. Costs a read of the clock. Any thread may call it
 * at any time.
 */
int64_t tl_age_ns(const struct tl_info *info);

/**
 * Opens a reader of a channel. It maps the channel's memory read-only, and holds no lock.
 *
 * channel: the channel's name.
 * options: NULL for the defaults, which accept every channel and read its bytes.
 * reader: receives the handle, which tl_reader_close() ends; NULL after an error.
 *
 * Returns TL_OK; TL_NOT_FOUND if there is no such channel within attach_timeout_ns, for which the
 * call blocks; TL_MISMATCH if its states are others than the options say; TL_ACCESS; TL_INVALID.
 */
tl_status tl_reader_open(const struct tl_namespace *namespace_,
                         const char *channel,
                         const struct tl_reader_options *options,
                         struct tl_reader **reader);

/**
 * What is known of the latest state, without the state. Copies nothing of it, and does not count
 * as a read for tl_reader_wait().
 *
 * info: receives it.
 *
 * Returns TL_OK; TL_EMPTY before the first publication; TL_CLOSED once the channel is removed;
 * TL_CONTENDED if the writer overwrites its slots faster than they can be looked at.
 */
tl_status tl_reader_latest(struct tl_reader *reader, struct tl_info *info);

/**
 * Copies the latest state.
 *
 * buffer: receives it; NULL only for no bytes.
 * capacity: bytes of the buffer; for a plain struct at least its sizeof.
 * info: receives what else is known of it; may be NULL.
 *
 * Returns TL_OK; TL_EMPTY before the first publication; TL_TOO_SMALL if the state is longer than
 * the buffer, and then info has its number and length, as with TL_MISMATCH; TL_CLOSED once the
 * channel is removed; TL_CONTENDED; TL_CORRUPT; TL_MISMATCH. After an error the buffer holds
 * unspecified bytes.
 *
 * Never blocks, and never blocks the writer. No system call, unless the channel has grown.
 */
tl_status tl_reader_read(struct tl_reader *reader,
                         void *buffer,
                         size_t capacity,
                         struct tl_info *info);

/**
 * Copies a part of the latest state: one member of a large struct, for example, by its offsetof
 * and its sizeof.
 *
 * offset: where the part begins.
 * buffer, length: receives it; NULL only for no bytes.
 * info: receives what else is known of the state; may be NULL. Its length is that of the whole.
 *
 * Returns TL_OK; TL_EMPTY before the first publication; TL_INVALID if the state does not reach so
 * far, or if TL_MATCHING_FIELDS has found the members in other places; TL_MISMATCH if the state is
 * not as long as the reader's struct; TL_CLOSED, TL_CONTENDED and TL_CORRUPT as tl_reader_read().
 */
tl_status tl_reader_read_at(struct tl_reader *reader,
                            size_t offset,
                            void *buffer,
                            size_t length,
                            struct tl_info *info);

/**
 * Copies the newest state before a publication that the channel still holds: the history, from the
 * latest state backwards, also of a dead writer.
 *
 *     uint64_t before = 0;
 *     while (tl_reader_history(reader, before, &state, sizeof state, &info) == TL_OK)
 *         before = info.publication;
 *
 * before: the number of a publication; 0 begins with the latest.
 * buffer, capacity, info: as of tl_reader_read(), but info must be given.
 *
 * Returns TL_OK; TL_END if the channel holds no older one; TL_TOO_SMALL or TL_MISMATCH, with the
 * number and length in info, so that the next call can go on before it; TL_CORRUPT. After the end
 * of a channel, it still returns what a reader that was open has mapped: the last state, for
 * example.
 */
tl_status tl_reader_history(struct tl_reader *reader,
                            uint64_t before,
                            void *buffer,
                            size_t capacity,
                            struct tl_info *info);

/**
 * Waits for a publication after the last one that this reader returned or waited for, and copies
 * nothing: tl_reader_read() does.
 *
 * timeout_ns: how long, in nanoseconds; 0 only looks, a negative number waits without end.
 *
 * Returns TL_OK if there is one; TL_TIMED_OUT; TL_CLOSED if the channel has ended, also if its
 * last state can still be read. A signal does not end the wait. The death of a writer ends no
 * channel: tl_reader_writer_state() reports it. Blocks the calling thread, and never the writer,
 * which wakes it by a system call.
 */
tl_status tl_reader_wait(struct tl_reader *reader, int64_t timeout_ns);

/**
 * What the reader's channel is.
 *
 * channel: receives the address of it, valid until the next call of this function for this reader,
 * or its end; NULL after an error.
 *
 * Returns TL_OK.
 */
tl_status tl_reader_channel(struct tl_reader *reader, const struct tl_channel **channel);

/**
 * How the channel's writer is: alive, stopped, dead, and since when. The kernel says so, by a lock
 * that the writer holds: one that was killed is dead at once, and one that is slow is not.
 *
 * state: receives the address of it, valid until the next call of this function for this reader,
 * or its end; NULL after an error.
 *
 * Returns TL_OK; TL_SYSTEM or TL_ACCESS if the system does not say. Some system calls,
 * microseconds.
 */
tl_status tl_reader_writer_state(struct tl_reader *reader, const struct tl_writer_state **state);

/**
 * Closes a reader, which no other thread may be using. Its views stay. NULL is ignored.
 *
 * Returns TL_OK; TL_CLOSED as tl_namespace_close() does.
 */
tl_status tl_reader_close(struct tl_reader *reader);

/**
 * Shows the latest state without a copy, if the reader was opened with views_in_place, the writer
 * has pins, and the state has 4 KiB or more; otherwise the view is a copy. The writer does not
 * wait: it leaves the state alone and takes other memory.
 *
 * view: receives it. tl_view_release() ends it; it outlives the reader and the channel.
 *
 * Returns TL_OK; TL_EMPTY before the first publication; TL_CLOSED once the channel is removed;
 * TL_CONTENDED; TL_CORRUPT; TL_MISMATCH if the state is not as long as the reader's struct;
 * TL_INVALID if TL_MATCHING_FIELDS has found the members in other places. After anything but TL_OK
 * view.hold is NULL. Never blocks. In place it costs the same whatever the size, as a copy what a
 * copy costs.
 */
tl_status tl_reader_view(struct tl_reader *reader, struct tl_view *view);

/**
 * Ends a view: its bytes may no longer be used. NULL and a view that was not taken are ignored.
 * Any thread may release a view, one at a time.
 *
 * view: data and hold become NULL.
 *
 * Returns TL_OK; TL_CLOSED if a copy of it was released before, as far as that can be seen (see
 * tl_namespace_close()).
 */
tl_status tl_view_release(struct tl_view *view);

/**
 * Copies the latest state as JSON, whatever its codec is: MessagePack, or any other codec with a
 * schema. For bindings, logs and debuggers; it decodes the state and allocates.
 *
 * buffer: receives the text, with a zero byte at its end; NULL only for no bytes.
 * capacity: bytes of the buffer.
 * length: receives the bytes of the text, without the zero byte; may be NULL.
 * info: receives what else is known of the state; may be NULL.
 *
 * Returns TL_OK; TL_TOO_SMALL if text and zero byte don't fit, and then length is that of the
 * text; TL_MISMATCH if nothing says what the bytes mean; TL_CORRUPT if they can't be decoded;
 * otherwise what tl_reader_read() does.
 */
tl_status tl_reader_json(struct tl_reader *reader,
                         char *buffer,
                         size_t capacity,
                         size_t *length,
                         struct tl_info *info);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/**
 * Options with their defaults: change some, and pass the address.
 *
 *     tl_writer_options options = tl_writer_defaults();
 *     options.heartbeat_interval_ns = 100 * 1000 * 1000;
 */
static inline tl_namespace_options tl_namespace_defaults(void) {
  tl_namespace_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/** As tl_namespace_defaults(), for a writer. */
static inline tl_writer_options tl_writer_defaults(void) {
  tl_writer_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/** As tl_namespace_defaults(), for a reader. */
static inline tl_reader_options tl_reader_defaults(void) {
  tl_reader_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/**
 * TL_DESCRIBE(type, members...) describes a struct, so that its channels carry their schema: the
 * command, Python and Rust then read its members by their names. It stands outside of functions,
 * after the struct; the type is one word, as a typedef makes it. TL_STRUCTURE(type) is the address
 * of the description.
 *
 *     typedef struct { double speed; int32_t code; } motor;
 *     typedef struct { uint64_t jobs; double position[3]; motor motors[2]; } robot;
 *
 *     TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code));
 *     TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_FIELD(robot, position),
 *                 TL_NESTED(robot, motors, motor));
 *
 *     options.structure = TL_STRUCTURE(robot);
 *
 * The type's name is the word; TL_DESCRIBE_AS(type, "Robot", members...) gives another one.
 *
 * TL_FIELD(type, member): a bool, integer, float, char or enum, or an array of them. A pointer does
 * not compile: it means nothing to another process. char arrays are bytes.
 * TL_MATRIX(type, member): an array of arrays of them.
 * TL_NESTED(type, member, other): a struct that is described as other, or an array of them.
 * Members may be const or volatile, except for enums, which clang then refuses. An array of three
 * dimensions needs a tl_field that no macro makes.
 *
 * Members that are not named are not in the schema; their bytes are published all the same, and so
 * is padding.
 */
#define TL_DESCRIBE(type, ...) TL_DESCRIBE_AS(type, #type, __VA_ARGS__)

/** As TL_DESCRIBE, with another name of the type. */
#define TL_DESCRIBE_AS(type, type_name, ...)                                                       \
  TL_CONSTANT_ tl_field tl_fields_of_##type[] = {__VA_ARGS__};                                     \
  TL_STRUCTURE_(type, type_name, tl_fields_of_##type, sizeof tl_fields_of_##type / sizeof(tl_field))

/**
 * TL_NAMED(type) is for a struct whose members no other program needs to know. Its channels have
 * no schema: readers compare the name, the size and the alignment. Write it after the struct, as
 * TL_DESCRIBE.
 */
#define TL_NAMED(type) TL_STRUCTURE_(type, #type, NULL, 0)

/** The address of what TL_DESCRIBE or TL_NAMED has made: a const tl_structure *. */
#define TL_STRUCTURE(type) (&tl_structure_of_##type)

#define TL_FIELD(type, member)                                                                     \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {TL_LENGTH_(TL_MEMBER_(type, member)), 0, 0}, NULL,                                        \
        TL_SCALAR_(TL_MEMBER_(type, member))                                                       \
  }

#define TL_MATRIX(type, member)                                                                    \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {sizeof(TL_MEMBER_(type, member)) / sizeof(TL_MEMBER_(type, member)[0]),                   \
         TL_LENGTH_(TL_MEMBER_(type, member)[0]), 0},                                              \
        NULL, TL_SCALAR_(TL_MEMBER_(type, member)[0])                                              \
  }

#define TL_NESTED(type, member, other)                                                             \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {TL_LENGTH_OF_(other, TL_MEMBER_(type, member)), 0, 0}, TL_STRUCTURE(other), TL_STRUCT     \
  }

#define TL_STRUCTURE_(type, type_name, fields, count)                                              \
  TL_CONSTANT_ tl_structure tl_structure_of_##type = {                                             \
      sizeof(tl_structure),   sizeof(tl_field), type_name, sizeof(type),                           \
      TL_ALIGNMENT_OF_(type), fields,           count} TL_FOUND_BY_TYPE_(type)

/* C++17 has one description for all files of a program, which tearless.hpp finds by the type. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define TL_CONSTANT_ inline constexpr
#define TL_FOUND_BY_TYPE_(type)                                                                    \
  ;                                                                                                \
  inline const tl_structure *tl_structure_by_type_(const type *) { return TL_STRUCTURE(type); }    \
  static_assert(sizeof(type) > 0, "")
#else
#if defined(__GNUC__) /* A file need not use what a header of its program describes. */
#define TL_CONSTANT_ __attribute__((unused)) static const
#else
#define TL_CONSTANT_ static const
#endif
#define TL_FOUND_BY_TYPE_(type)
#endif

/* How the macros above find out what a member is. */

#ifdef __cplusplus

extern "C++" {
template <typename T, bool is_enum = std::is_enum<T>::value>
struct tl_scalar_of_ {
  static constexpr bool is_integer = std::is_integral<T>::value;
  static constexpr bool is_float = std::is_floating_point<T>::value && sizeof(T) <= 8;
  static_assert(is_integer || is_float,
                "a field is a bool, an integer, a float of up to 64 bits, a char or an enum, or an "
                "array of them: TL_NESTED describes a struct, and a pointer means nothing to "
                "another process");
  static constexpr int bits = static_cast<int>(sizeof(T) * 8);
  static constexpr int32_t integer =
      (bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3) +
      (std::is_signed<T>::value && !std::is_same<T, char>::value ? TL_I8 : TL_U8);
  static constexpr int32_t value = std::is_same<T, bool>::value ? TL_BOOL
                                   : is_float                  ? (bits == 32 ? TL_F32 : TL_F64)
                                                               : integer;
};
template <typename T>
struct tl_scalar_of_<T, true> : tl_scalar_of_<typename std::underlying_type<T>::type> {};
template <typename T, typename Other>
struct tl_is_other_ {
  using one = typename std::remove_cv<typename std::remove_extent<T>::type>::type;
  static_assert(std::is_same<one, Other>::value,
                "TL_NESTED names another struct than the member is");
  static constexpr size_t length = std::extent<T>::value;
};
}

#define TL_ALIGNMENT_OF_(type) alignof(type)
#define TL_MEMBER_(type, member) (reinterpret_cast<type *>(64)->member)
#define TL_SCALAR_(place)                                                                          \
  tl_scalar_of_<std::remove_cv<std::remove_extent<                                                 \
      std::remove_reference<decltype((place))>::type>::type>::type>::value
#define TL_LENGTH_(place) std::extent<std::remove_reference<decltype((place))>::type>::value
#define TL_LENGTH_OF_(other, place)                                                                \
  tl_is_other_<std::remove_reference<decltype((place))>::type, other>::length

#else

#define TL_ALIGNMENT_OF_(type) _Alignof(type)
#define TL_MEMBER_(type, member) (((type *)0)->member)
/* At least 1: a type of no such length would be no type. */
#define TL_COUNT_(type, place) ((sizeof(place) + sizeof(type) - 1) / sizeof(type))
#define TL_EITHER_(type, place, one, array)                                                        \
  TL_QUALIFIED_(type, place, one, array), TL_QUALIFIED_(const type, place, one, array),            \
      TL_QUALIFIED_(volatile type, place, one, array),                                             \
      TL_QUALIFIED_(const volatile type, place, one, array)
#define TL_QUALIFIED_(type, place, one, array)                                                     \
  type * : (one), type(*)[TL_COUNT_(type, place)] : (array)
#define TL_CASE_(type, place, kind) TL_EITHER_(type, place, kind, kind)
#define TL_LENGTH_CASE_(type, place) TL_EITHER_(type, place, 0, TL_COUNT_(type, place))
#define TL_SIGNED_(type) (sizeof(type) == 8 ? TL_I64 : TL_I32)
#define TL_UNSIGNED_(type) (sizeof(type) == 8 ? TL_U64 : TL_U32)

/* An error here says that the member is no bool, integer, float, char or enum, and no array of
   them. TL_NESTED describes a struct, TL_MATRIX an array of arrays; a pointer can't be published. */
#define TL_SCALAR_(place)                                                                          \
  _Generic(&(place),                                                                               \
      TL_CASE_(bool, place, TL_BOOL),                                                              \
      TL_CASE_(char, place, TL_U8),                                                                \
      TL_CASE_(unsigned char, place, TL_U8),                                                       \
      TL_CASE_(signed char, place, TL_I8),                                                         \
      TL_CASE_(unsigned short, place, TL_U16),                                                     \
      TL_CASE_(short, place, TL_I16),                                                              \
      TL_CASE_(unsigned int, place, TL_U32),                                                       \
      TL_CASE_(int, place, TL_I32),                                                                \
      TL_CASE_(unsigned long, place, TL_UNSIGNED_(long)),                                          \
      TL_CASE_(long, place, TL_SIGNED_(long)),                                                     \
      TL_CASE_(unsigned long long, place, TL_U64),                                                 \
      TL_CASE_(long long, place, TL_I64),                                                          \
      TL_CASE_(float, place, TL_F32),                                                              \
      TL_CASE_(double, place, TL_F64))
#define TL_LENGTH_(place)                                                                          \
  _Generic(&(place),                                                                               \
      TL_LENGTH_CASE_(bool, place),                                                                \
      TL_LENGTH_CASE_(char, place),                                                                \
      TL_LENGTH_CASE_(unsigned char, place),                                                       \
      TL_LENGTH_CASE_(signed char, place),                                                         \
      TL_LENGTH_CASE_(unsigned short, place),                                                      \
      TL_LENGTH_CASE_(short, place),                                                               \
      TL_LENGTH_CASE_(unsigned int, place),                                                        \
      TL_LENGTH_CASE_(int, place),                                                                 \
      TL_LENGTH_CASE_(unsigned long, place),                                                       \
      TL_LENGTH_CASE_(long, place),                                                                \
      TL_LENGTH_CASE_(unsigned long long, place),                                                  \
      TL_LENGTH_CASE_(long long, place),                                                           \
      TL_LENGTH_CASE_(float, place),                                                               \
      TL_LENGTH_CASE_(double, place))
#define TL_LENGTH_OF_(other, place) _Generic(&(place), TL_LENGTH_CASE_(other, place))

#endif

#endif /* TEARLESS_H */
