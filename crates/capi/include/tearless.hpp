/**
 * tearless for C++17: the latest state of a process in shared memory, where other processes read it
 * directly. Classes over tearless.h, which says more about each call; docs/c.md has examples.
 *
 *     struct robot { std::uint64_t jobs; double position[3]; };
 *     TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_FIELD(robot, position));
 *
 *     tearless::Namespace fleet("fleet");
 *     tearless::Writer<robot> writer(fleet, "robot-1");
 *     writer.publish({3, {0.5, 1.0, 0.0}});
 *
 *     tearless::Reader<robot> reader(fleet, "robot-1");
 *     if (auto snapshot = reader.read()) std::printf("%g\n", snapshot->value.position[0]);
 *
 * Errors: each call that can fail exists twice. reader.read() throws tearless::Error;
 * reader.try_read() returns a tearless::Result, which has a value, or a status and a text. With
 * -fno-exceptions the first kind prints the text to stderr and calls abort().
 *
 * "Nothing published yet", "nothing has changed" and the like are no errors: the first kind returns
 * an empty optional or false, the second a Result without a value whose status is positive.
 *
 * Objects can be moved, not copied. The destructor closes what the constructor opened. An object
 * that was moved from, or closed, may be destroyed and assigned to; its other calls fail with
 * TL_INVALID. Threads may share a Namespace; everything else is for one thread at a time.
 */
#ifndef TEARLESS_HPP
#define TEARLESS_HPP

#if __cplusplus < 201703L
#error "tearless.hpp needs C++17; tearless.h works with older versions"
#endif

#include "tearless.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <ranges>
#endif

namespace tearless {

/** An error of a call: what() is its text, which says what happened and what to do. */
class Error : public std::runtime_error {
 public:
  Error(tl_status status, const std::string &text) : std::runtime_error(text), status_(status) {}

  /** Which error it is: TL_NOT_FOUND, for example. */
  tl_status status() const noexcept { return status_; }

  /** The name of the status, as "TL_NOT_FOUND". */
  const char *status_name() const noexcept { return tl_status_name(status_); }

 private:
  tl_status status_;
};

namespace detail {

[[noreturn]] inline void raise(tl_status status, const std::string &text) {
#if defined(__cpp_exceptions)
  throw Error(status, text);
#else
  std::fprintf(stderr, "tearless: %s: %s\n", tl_status_name(status), text.c_str());
  std::abort();
#endif
}

/** What a call has returned, or an error that this header finds before it makes the call. */
struct Status {
  tl_status code;
  /** The text of an error of this header. */
  const char *text = nullptr;

  constexpr Status(tl_status returned) noexcept : code(returned) {}
  constexpr Status(tl_status error, const char *why) noexcept : code(error), text(why) {}
};

/** The text of a status that a call of this thread has just returned. */
inline std::string text_of(Status status) {
  if (status.text) return status.text;
  switch (status.code) {
    case TL_OK: return {};
    case TL_EMPTY: return "nothing has been published yet";
    case TL_TIMED_OUT: return "the timeout is over, and nothing has changed";
    case TL_END: return "there is no further one";
    case TL_UNCHANGED: return "the state is the same as before";
    default: return tl_error_message();
  }
}

[[noreturn]] inline void raise(Status status) { raise(status.code, text_of(status)); }

/** True for TL_OK, false for a positive status; an error is thrown. */
inline bool check(Status status) {
  if (status.code < TL_OK) raise(status);
  return status.code == TL_OK;
}

/** Whether C sees the whole of these texts: for C, a zero byte inside is their end. */
template <typename... Text>
bool are_texts_of_c(const Text &...texts) {
  return ((texts.find('\0') == std::string::npos) && ...);
}
inline constexpr Status zero_byte_in_channel = {
    TL_INVALID, "the channel's name or type_name has a zero byte: remove it"};

}  // namespace detail

/** How a call ended: what all kinds of Result have in common. */
class Outcome {
 public:
  /** Whether the call succeeded. */
  explicit operator bool() const noexcept { return status_ == TL_OK; }

  /** TL_OK; a positive number if nothing is wrong but there is no value; negative for an error. */
  tl_status status() const noexcept { return status_; }

  /** Why there is no value. Empty for TL_OK. */
  std::string message() const { return status_ > TL_OK ? detail::text_of(status_) : message_; }

 protected:
  Outcome() = default;
  explicit Outcome(detail::Status status) { set(status); }
  void set(detail::Status status) {
    status_ = status.code;
    // A text that is not asked for costs nothing when nothing is wrong.
    if (status_ < TL_OK) message_ = detail::text_of(status);
  }

 private:
  tl_status status_ = TL_OK;
  std::string message_;
};

/**
 * The value of a call, or the status and the text that say why there is none.
 *
 *     auto snapshot = reader.try_read();
 *     if (snapshot) use(snapshot->value);
 *     else if (snapshot.status() != TL_EMPTY) log(snapshot.message());
 */
template <typename T>
class [[nodiscard]] Result : public Outcome {
 public:
  bool has_value() const noexcept { return value_.has_value(); }

  /** The value. Without one: throws an Error. */
  T &value() & { return here(); }
  const T &value() const & { return here(); }
  T &&value() && { return std::move(here()); }

  /** The value, or another one. */
  T value_or(T other) && { return value_ ? std::move(*value_) : std::move(other); }

  /** The value; there must be one. */
  T &operator*() & noexcept { return *value_; }
  const T &operator*() const & noexcept { return *value_; }
  T &&operator*() && noexcept { return std::move(*value_); }
  T *operator->() noexcept { return &*value_; }
  const T *operator->() const noexcept { return &*value_; }

 private:
  template <typename>
  friend class Writer;
  template <typename>
  friend class Reader;
  template <typename>
  friend class Loan;
  friend class Namespace;

  explicit Result(std::nullopt_t) {}

  /** Calls `fill` with a new value, which stays if the status is TL_OK. No copy is made. */
  template <typename Fill>
  static Result filled(Fill &&fill) {
    Result result{std::nullopt};
    detail::Status status = fill(result.value_.emplace());
    if (status.code != TL_OK) {
      result.value_.reset();
      result.set(status);
    }
    return result;
  }

  T &here() {
    if (!value_) detail::raise(status(), message());
    return *value_;
  }
  const T &here() const { return const_cast<Result *>(this)->here(); }

  std::optional<T> value_;
};

/** Of a call without a value. */
template <>
class [[nodiscard]] Result<void> : public Outcome {
 public:
  explicit Result(detail::Status status) : Outcome(status) {}

  /** Throws an Error if the call has not succeeded. */
  void value() const {
    if (!*this) detail::raise(status(), message());
  }
};

/** Bytes that belong to another object: an address and a length. Any container of bytes is one. */
class Bytes {
 public:
  using value_type = std::uint8_t;

  constexpr Bytes() = default;
  Bytes(const void *data, std::size_t size) noexcept
      : data_(static_cast<const std::uint8_t *>(data)), size_(size) {}
  /** The bytes of a std::string, std::vector, std::array, std::span of bytes and the like. */
  template <typename Container,
            typename Pointer = decltype(std::declval<const Container &>().data()),
            typename = std::enable_if_t<sizeof(std::remove_pointer_t<Pointer>) == 1>,
            typename = decltype(std::declval<const Container &>().size())>
  Bytes(const Container &container) noexcept : Bytes(container.data(), container.size()) {}
  Bytes(const char *text) noexcept : Bytes(std::string_view(text)) {}

  constexpr const std::uint8_t *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr const std::uint8_t *begin() const noexcept { return data_; }
  constexpr const std::uint8_t *end() const noexcept { return data_ + size_; }
  constexpr const std::uint8_t &operator[](std::size_t at) const noexcept { return data_[at]; }

  /** The same bytes as a text. */
  std::string_view text() const noexcept {
    return {reinterpret_cast<const char *>(data_), size_};
  }

 private:
  const std::uint8_t *data_ = nullptr;
  std::size_t size_ = 0;
};

inline bool operator==(Bytes left, Bytes right) noexcept { return left.text() == right.text(); }
inline bool operator!=(Bytes left, Bytes right) noexcept { return !(left == right); }

/** Durations of this interface; std::chrono converts all others. */
using Duration = std::chrono::nanoseconds;

namespace detail {

/** A duration of C, of which -1 is none. */
inline std::optional<Duration> duration(std::int64_t nanos) {
  return nanos < 0 ? std::nullopt : std::optional<Duration>(Duration(nanos));
}
inline const char *optional(const std::string &text) {
  return text.empty() ? nullptr : text.c_str();
}
inline std::string text(const char *text) { return text ? text : ""; }

}  // namespace detail

/** What is known of a state beside its value: publication, length, boot_ns, and so on. */
struct Info : tl_info {
  Info() noexcept : tl_info{} {}
  explicit Info(const tl_info &info) noexcept : tl_info(info) {}

  /** How old the state is now; none if the writer stores no timestamps. */
  std::optional<Duration> age() const noexcept { return detail::duration(tl_age_ns(this)); }
};

/** A whole state, as it was published, and what is known of it. */
template <typename T>
struct Snapshot {
  T value;
  Info info;

  /** Leaves the value as `T value;` does: a reader fills it. */
  Snapshot() noexcept {}

  const T &operator*() const noexcept { return value; }
  const T *operator->() const noexcept { return &value; }
  std::uint64_t publication() const noexcept { return info.publication; }
  std::optional<Duration> age() const noexcept { return info.age(); }
};

/** What the states of a channel are that has no struct. */
enum class Codec : std::int32_t {
  bytes = TL_BYTES,
  message_pack = TL_MESSAGE_PACK,
};

/** Which channels a reader accepts: see TL_SAME_TYPE and the others. */
enum class Accept : std::int32_t {
  /** same_type if the reader has a struct or a type_name, else any type of its codec. */
  standard = TL_ACCEPT_DEFAULT,
  any = TL_ANY,
  same_type = TL_SAME_TYPE,
  same_schema = TL_SAME_SCHEMA,
  matching_fields = TL_MATCHING_FIELDS,
};

/** The state of a writer's process, as TL_WRITER_ALIVE and the others. Later versions have more. */
enum class WriterState : std::int32_t {
  alive = TL_WRITER_ALIVE,
  stopped = TL_WRITER_STOPPED,
  dead = TL_WRITER_DEAD,
  exited = TL_WRITER_EXITED,
  closed = TL_WRITER_CLOSED,
  unknown = TL_WRITER_UNKNOWN,
  unreachable = TL_WRITER_UNREACHABLE,
};

/** The judgement of a writer: see TL_HEALTH_FRESH and the others. Later versions have more. */
enum class Health : std::int32_t {
  fresh = TL_HEALTH_FRESH,
  unchanged = TL_HEALTH_UNCHANGED,
  stalled = TL_HEALTH_STALLED,
  dead = TL_HEALTH_DEAD,
  exited = TL_HEALTH_EXITED,
  closed = TL_HEALTH_CLOSED,
  empty = TL_HEALTH_EMPTY,
  unknown = TL_HEALTH_UNKNOWN,
  unreachable = TL_HEALTH_UNREACHABLE,
};

/** How a channel's writer is. */
struct WriterStatus {
  WriterState state;
  Health health;
  /** The names of both in lower case. They stay valid. */
  const char *state_name;
  const char *health_name;
  /** The process id of the writer, in its own PID namespace. */
  std::uint64_t pid;
  /** How many writers the channel has had so far. */
  std::uint64_t incarnation;
  /** Time since the last heartbeat, and how often the writer promises one, if these are known. */
  std::optional<Duration> heartbeat_age;
  std::optional<Duration> heartbeat_interval;
};

/** What a channel is. In a list, type_name and host are empty. */
struct Channel {
  std::string name;
  /** "bytes", "pod" for plain structs, "message-pack", "postcard", or one of another program. */
  std::string codec;
  std::string type_name;
  /** The host that the channel is mirrored from; empty if it is of this host. */
  std::string host;
  std::uint64_t instance = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t writer_pid = 0;
};

/** Options of a namespace. What is 0 or empty has its default: see tl_namespace_options. */
struct NamespaceOptions {
  std::string directory = {};
  std::uint32_t permissions = 0;
  std::string group = {};
  std::uint64_t max_memory = 0;
  /** The id of another user whose objects are opened, too. */
  std::optional<std::uint32_t> trusted_owner = {};
};

/** Options of a writer. What is 0 or empty has its default: see tl_writer_options. */
struct WriterOptions {
  /** Of a Writer<void>. MessagePack needs a type_name. */
  Codec codec = Codec::bytes;
  /** The name of the states' type, which readers compare. */
  std::string type_name = {};
  std::size_t capacity = 0;
  std::size_t slots = 0;
  std::size_t max_state_length = 0;
  std::size_t pins = 0;
  std::uint64_t max_memory = 0;
  /** The promise to publish, or to call touch() or publish_if_changed(), at least so often. */
  Duration heartbeat_interval = Duration::zero();
  std::uint32_t permissions = 0;
  bool checksum = false;
  /** Leaves the last state readable after the writer is closed. */
  bool linger = false;
  bool timestamps = true;
};

/** Options of a reader. What is 0 or empty has its default: see tl_reader_options. */
struct ReaderOptions {
  /** Of a Reader<void>: other codecs are refused. Of bytes without a type_name: none is. */
  Codec codec = Codec::bytes;
  std::string type_name = {};
  Accept accept = Accept::standard;
  /** The promise that all processes which may write to the channel do so by tearless only. */
  bool views_in_place = false;
  /** How long to wait for the channel to exist. */
  Duration attach_timeout = Duration::zero();
};

namespace detail {

template <typename T, typename = void>
struct is_described : std::false_type {};
template <typename T>
struct is_described<T, std::void_t<decltype(tl_structure_by_type_(std::declval<const T *>()))>>
    : std::true_type {};

/** A description without members. */
template <typename T>
constexpr tl_structure without_fields(const char *name) {
  tl_structure structure = {};
  structure.struct_size = static_cast<std::uint32_t>(sizeof structure);
  structure.field_size = static_cast<std::uint32_t>(sizeof(tl_field));
  structure.name = name;
  structure.size = sizeof(T);
  structure.alignment = alignof(T);
  return structure;
}

/** The name of a number's type in Rust. */
template <typename T>
constexpr const char *number_name() {
  constexpr const char *names[] = {"u8",  "u16", "u32", "u64", "i8", "i16",
                                   "i32", "i64", "f32", "f64"};
  return names[tl_scalar_of_<T>::value - TL_U8];
}

}  // namespace detail

/**
 * How the type of a channel's states is found. Number types have the names of Rust, structs what
 * TL_DESCRIBE or TL_NAMED says. Specialise it for a type of another library:
 *
 *     template <>
 *     struct tearless::Description<Eigen::Vector3d> {
 *       static const tl_structure *get() { … }
 *     };
 */
template <typename T>
struct Description {
  static const tl_structure *get() {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      static constexpr tl_structure number = detail::without_fields<T>(detail::number_name<T>());
      return &number;
    } else {
      static_assert(detail::is_described<T>::value,
                    "tearless does not know this struct: put TL_DESCRIBE(type, TL_FIELD(type, "
                    "member), ...) after it, in its namespace, or TL_NAMED(type) for a channel "
                    "without a schema");
      return tl_structure_by_type_(static_cast<const T *>(nullptr));
    }
  }
};

template <>
struct Description<void> {
  static const tl_structure *get() { return nullptr; }
};

namespace detail {

/** What a type must be whose values are published as they lie in memory. */
template <typename T>
constexpr void check_type() {
  if constexpr (!std::is_void_v<T>) {
    static_assert(std::is_trivially_copyable_v<T>,
                  "tearless publishes the bytes of a state, so it must be trivially copyable: use "
                  "arrays of a fixed length instead of std::string, std::vector and pointers, or "
                  "publish MessagePack through a Writer<void>");
    static_assert(std::is_default_constructible_v<T>,
                  "a reader makes a value and fills it, so the type needs a default constructor");
    static_assert(!std::is_pointer_v<T>, "a pointer means nothing to another process");
  }
}

/** Closes a handle without a look at the result. */
template <auto close>
struct Close {
  template <typename Handle>
  void operator()(Handle *handle) const noexcept {
    close(handle);
  }
};
template <typename Handle, auto close>
using Owned = std::unique_ptr<Handle, Close<close>>;

inline Channel channel_of(const tl_channel &it) {
  return {text(it.name), text(it.codec), text(it.type_name), text(it.host),
          it.instance,   it.incarnation, it.writer_pid};
}

}  // namespace detail

template <typename T = void>
class Writer;
template <typename T = void>
class Reader;

/** The channels of a fleet, under one name. */
class Namespace {
 public:
  /** Without a handle, as after a move. */
  Namespace() noexcept = default;

  /** Opens a namespace, which creates nothing. Throws. */
  explicit Namespace(const std::string &name, const NamespaceOptions &options = {}) {
    detail::check(open(name, options));
  }

  static Result<Namespace> try_open(const std::string &name, const NamespaceOptions &options = {}) {
    return Result<Namespace>::filled([&](Namespace &it) { return it.open(name, options); });
  }

  /** The channels as they are now, sorted by name, also those whose writer is dead. Throws. */
  std::vector<Channel> channels() const { return try_channels().value(); }

  Result<std::vector<Channel>> try_channels() const {
    return Result<std::vector<Channel>>::filled([&](std::vector<Channel> &into) {
      tl_channels *list = nullptr;
      tl_status status = tl_channels_open(handle(), &list);
      detail::Owned<tl_channels, tl_channels_close> owned(list);
      const tl_channel *next = nullptr;
      while (status == TL_OK && (status = tl_channels_next(list, &next)) == TL_OK) {
        into.push_back(detail::channel_of(*next));
      }
      return status == TL_END ? TL_OK : status;
    });
  }

  /** Removes a channel whose writer has ended without closing it, or with linger. Throws. */
  void remove(const std::string &channel) const { try_remove(channel).value(); }
  Result<void> try_remove(const std::string &channel) const {
    if (!detail::are_texts_of_c(channel)) return Result<void>(detail::zero_byte_in_channel);
    return Result<void>(tl_namespace_remove(handle(), channel.c_str()));
  }

  /** Opens a writer or a reader: auto writer = fleet.writer<robot>("robot-1"); Throws. */
  template <typename T = void>
  Writer<T> writer(const std::string &channel, const WriterOptions &options = {}) const {
    return Writer<T>(*this, channel, options);
  }
  template <typename T = void>
  Reader<T> reader(const std::string &channel, const ReaderOptions &options = {}) const {
    return Reader<T>(*this, channel, options);
  }
  template <typename T = void>
  Result<Writer<T>> try_writer(const std::string &channel,
                               const WriterOptions &options = {}) const {
    return Writer<T>::try_open(*this, channel, options);
  }
  template <typename T = void>
  Result<Reader<T>> try_reader(const std::string &channel,
                               const ReaderOptions &options = {}) const {
    return Reader<T>::try_open(*this, channel, options);
  }

  /** The handle, for calls of tearless.h. It stays this object's. */
  tl_namespace *handle() const noexcept { return handle_.get(); }

 private:
  detail::Status open(const std::string &name, const NamespaceOptions &options) {
    if (!detail::are_texts_of_c(name, options.directory, options.group)) {
      return {TL_INVALID, "the namespace's name, directory or group has a zero byte: remove it"};
    }
    tl_namespace_options it = tl_namespace_defaults();
    it.directory = detail::optional(options.directory);
    it.permissions = options.permissions;
    it.group = detail::optional(options.group);
    it.max_memory = options.max_memory;
    it.trusts_owner = options.trusted_owner.has_value();
    it.trusted_owner = options.trusted_owner.value_or(0);
    tl_namespace *opened = nullptr;
    tl_status status = tl_namespace_open(name.c_str(), &it, &opened);
    handle_.reset(opened);
    return status;
  }

  detail::Owned<tl_namespace, tl_namespace_close> handle_;
};

namespace detail {

/** What a writer publishes and a loan lends: a value, or bytes. */
template <typename T>
using State = std::conditional_t<std::is_void_v<T>, Bytes, T>;

/** What a reader returns: a value, or bytes of the caller's own. */
template <typename T>
using Copy = std::conditional_t<std::is_void_v<T>, std::vector<std::uint8_t>, T>;

/** For what is used in shared memory. */
template <typename T>
constexpr void check_alignment() {
  if constexpr (!std::is_void_v<T>) {
    static_assert(alignof(T) <= 8,
                  "loans and views are aligned to 8 bytes: use publish() and read()");
  }
}

}  // namespace detail

/**
 * The memory of the next state, to be filled in place: loan->speed = 1; loan.commit(); It holds an
 * older state, or zeros. A loan that is not committed is given back. It must end before its writer.
 */
template <typename T>
class Loan {
 public:
  /** Lends nothing. */
  Loan() noexcept = default;
  Loan(Loan &&other) noexcept { *this = std::move(other); }
  Loan &operator=(Loan &&other) noexcept {
    if (this != &other) {
      discard();
      writer_ = std::exchange(other.writer_, nullptr);
      memory_ = std::exchange(other.memory_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Loan() { discard(); }

  /** The state; not of a Loan<void>. */
  template <typename U = T>
  U &operator*() const noexcept {
    return *static_cast<U *>(memory_);
  }
  template <typename U = T>
  U *operator->() const noexcept {
    return static_cast<U *>(memory_);
  }

  /** The bytes of the state. */
  std::uint8_t *data() const noexcept { return static_cast<std::uint8_t *>(memory_); }
  std::size_t size() const noexcept { return size_; }

  /** Publishes the state, and returns the number of the publication. The loan has then ended. */
  std::uint64_t commit() { return commit(size_); }
  Result<std::uint64_t> try_commit() { return try_commit(size_); }

  /** Publishes the first bytes, of a Loan<void>. */
  std::uint64_t commit(std::size_t length) {
    std::uint64_t publication = 0;
    detail::check(end(length, publication));
    return publication;
  }
  Result<std::uint64_t> try_commit(std::size_t length) {
    return Result<std::uint64_t>::filled([&](std::uint64_t &into) { return end(length, into); });
  }

  /** Gives the memory back. */
  void discard() noexcept {
    if (writer_) tl_writer_discard(writer_);
    forget();
  }

 private:
  friend class Writer<T>;

  tl_status begin(tl_writer *writer, std::size_t size) {
    tl_status status = tl_writer_loan(writer, size, &memory_);
    if (status == TL_OK) {
      writer_ = writer;
      size_ = size;
    }
    return status;
  }
  tl_status end(std::size_t length, std::uint64_t &publication) {
    tl_status status = tl_writer_commit(writer_, length, &publication);
    forget();
    return status;
  }
  void forget() noexcept {
    writer_ = nullptr;
    memory_ = nullptr;
    size_ = 0;
  }

  tl_writer *writer_ = nullptr;
  void *memory_ = nullptr;
  std::size_t size_ = 0;
};

/**
 * The writer of a channel whose states are values of T; without a T, bytes or MessagePack. It
 * belongs to the process that opened it.
 */
template <typename T>
class Writer {
 public:
  /** What is published: T, or Bytes. */
  using State = detail::State<T>;

  /** Without a handle, as after a move. */
  Writer() noexcept = default;

  /** Creates a channel, or resumes that of a writer which died or left it. Throws. */
  Writer(const Namespace &fleet, const std::string &channel, const WriterOptions &options = {}) {
    detail::check(open(fleet, channel, options));
  }
  static Result<Writer> try_open(const Namespace &fleet, const std::string &channel,
                                 const WriterOptions &options = {}) {
    return Result<Writer>::filled([&](Writer &it) { return it.open(fleet, channel, options); });
  }

  /** Publishes a state, and returns the number of the publication. Throws. */
  std::uint64_t publish(const State &state) {
    std::uint64_t publication = 0;
    detail::check(publish(state, publication, tl_writer_publish));
    return publication;
  }
  Result<std::uint64_t> try_publish(const State &state) {
    return Result<std::uint64_t>::filled(
        [&](std::uint64_t &into) { return publish(state, into, tl_writer_publish); });
  }

  /**
   * Publishes a state if its bytes, padding included, are others than those of the last call; else
   * it stores a heartbeat, and the result is empty. Throws.
   */
  std::optional<std::uint64_t> publish_if_changed(const State &state) {
    std::uint64_t publication = 0;
    bool is_new = detail::check(publish(state, publication, tl_writer_publish_if_changed));
    return is_new ? std::optional(publication) : std::nullopt;
  }
  /** The status is TL_UNCHANGED if the bytes are the same. */
  Result<std::uint64_t> try_publish_if_changed(const State &state) {
    return Result<std::uint64_t>::filled(
        [&](std::uint64_t &into) { return publish(state, into, tl_writer_publish_if_changed); });
  }

  /** Lends the memory of the next state. Throws. A Writer<void> needs the length. */
  template <typename U = T, typename = std::enable_if_t<!std::is_void_v<U>>>
  Loan<T> loan() {
    return try_loan().value();
  }
  template <typename U = T, typename = std::enable_if_t<!std::is_void_v<U>>>
  Result<Loan<T>> try_loan() {
    return lend(sizeof(U));
  }
  template <typename U = T, typename = std::enable_if_t<std::is_void_v<U>>>
  Loan<T> loan(std::size_t length) {
    return try_loan(length).value();
  }
  template <typename U = T, typename = std::enable_if_t<std::is_void_v<U>>>
  Result<Loan<T>> try_loan(std::size_t length) {
    return lend(length);
  }

  /** Stores a heartbeat: the state is as it was, and this process works. Throws. */
  void touch() { detail::check(tl_writer_touch(handle())); }
  Result<void> try_touch() { return Result<void>(tl_writer_touch(handle())); }

  /** Closes the writer, as the destructor does, which can't say what went wrong. Throws. */
  void close() { detail::check(tl_writer_close(handle_.release())); }
  Result<void> try_close() { return Result<void>(tl_writer_close(handle_.release())); }

  /** The handle, for calls of tearless.h. It stays this object's. */
  tl_writer *handle() const noexcept { return handle_.get(); }

 private:
  detail::Status open(const Namespace &fleet, const std::string &channel,
                      const WriterOptions &options) {
    detail::check_type<T>();
    if (!detail::are_texts_of_c(channel, options.type_name)) return detail::zero_byte_in_channel;
    tl_writer_options it = tl_writer_defaults();
    it.structure = Description<T>::get();
    it.codec = std::is_void_v<T> ? static_cast<std::int32_t>(options.codec) : TL_PLAIN;
    it.type_name = detail::optional(options.type_name);
    it.capacity = options.capacity;
    it.slots = options.slots;
    it.max_state_length = options.max_state_length;
    it.pins = options.pins;
    it.max_memory = options.max_memory;
    it.heartbeat_interval_ns = options.heartbeat_interval.count();
    it.permissions = options.permissions;
    it.checksum = options.checksum;
    it.linger = options.linger;
    it.no_timestamps = !options.timestamps;
    tl_writer *opened = nullptr;
    tl_status status = tl_writer_open(fleet.handle(), channel.c_str(), &it, &opened);
    handle_.reset(opened);
    return status;
  }

  template <typename Call>
  tl_status publish(const State &state, std::uint64_t &publication, Call call) {
    if constexpr (std::is_void_v<T>) {
      return call(handle(), state.data(), state.size(), &publication);
    } else {
      return call(handle(), &state, sizeof state, &publication);
    }
  }

  Result<Loan<T>> lend(std::size_t length) {
    detail::check_alignment<T>();
    return Result<Loan<T>>::filled([&](Loan<T> &it) { return it.begin(handle(), length); });
  }

  detail::Owned<tl_writer, tl_writer_close> handle_;
};

/**
 * A state in place, which does not change as long as this object lives, whatever the writer does.
 * It outlives its reader. Any thread may use and end it.
 */
template <typename T>
class View {
 public:
  /** Of nothing. */
  View() noexcept = default;
  View(View &&other) noexcept : view_(std::exchange(other.view_, tl_view{})) {}
  View &operator=(View &&other) noexcept {
    if (this != &other) {
      release();
      view_ = std::exchange(other.view_, tl_view{});
    }
    return *this;
  }
  ~View() { release(); }

  /** The state; not of a View<void>. */
  template <typename U = T>
  const U &operator*() const noexcept {
    return *static_cast<const U *>(view_.data);
  }
  template <typename U = T>
  const U *operator->() const noexcept {
    return static_cast<const U *>(view_.data);
  }

  /** The bytes of the state. */
  Bytes bytes() const noexcept { return {view_.data, view_.data ? view_.info.length : 0}; }

  /** What else is known of the state. */
  Info info() const noexcept { return Info(view_.info); }
  std::optional<Duration> age() const noexcept { return info().age(); }

  /** Whether these are the writer's own bytes; otherwise they are a copy. */
  bool is_in_place() const noexcept { return view_.is_in_place == 1; }

  /** Ends the view, as the destructor does. */
  void release() noexcept { tl_view_release(&view_); }

 private:
  friend class Reader<T>;

  tl_view view_ = {};
};

/**
 * The reader of a channel whose states are values of T; without a T, bytes of any kind. Each
 * thread has its own.
 */
template <typename T>
class Reader {
 public:
  /** What is read: T, or a vector of bytes. */
  using State = detail::Copy<T>;

  /** Without a handle, as after a move. */
  Reader() noexcept = default;

  /** Opens a reader. Throws: TL_NOT_FOUND without the channel, TL_MISMATCH for another type. */
  Reader(const Namespace &fleet, const std::string &channel, const ReaderOptions &options = {}) {
    detail::check(open(fleet, channel, options));
  }
  static Result<Reader> try_open(const Namespace &fleet, const std::string &channel,
                                 const ReaderOptions &options = {}) {
    return Result<Reader>::filled([&](Reader &it) { return it.open(fleet, channel, options); });
  }

  /** The latest state; none before the first publication. Throws. */
  std::optional<Snapshot<State>> read() {
    std::optional<Snapshot<State>> snapshot(std::in_place);
    if (!detail::check(copy(snapshot->value, &snapshot->info))) snapshot.reset();
    return snapshot;
  }
  /** The status is TL_EMPTY before the first publication. */
  Result<Snapshot<State>> try_read() {
    return Result<Snapshot<State>>::filled(
        [&](Snapshot<State> &into) { return copy(into.value, &into.info); });
  }

  /** Reads into a value that is there; false before the first publication. Throws. */
  bool read(State &into, Info *info = nullptr) { return detail::check(copy(into, info)); }
  Result<void> try_read(State &into, Info *info = nullptr) {
    return Result<void>(copy(into, info));
  }

  /** A part of the latest state: reader.read_at<double>(offsetof(robot, speed)). Throws. */
  template <typename Part>
  std::optional<Snapshot<Part>> read_at(std::size_t offset) {
    std::optional<Snapshot<Part>> snapshot(std::in_place);
    if (!detail::check(part(offset, *snapshot))) snapshot.reset();
    return snapshot;
  }
  template <typename Part>
  Result<Snapshot<Part>> try_read_at(std::size_t offset) {
    return Result<Snapshot<Part>>::filled(
        [&](Snapshot<Part> &into) { return part(offset, into); });
  }

  /** What is known of the latest state, without the state. Throws. */
  std::optional<Info> latest() {
    std::optional<Info> info(std::in_place);
    if (!detail::check(tl_reader_latest(handle(), &*info))) info.reset();
    return info;
  }
  Result<Info> try_latest() {
    return Result<Info>::filled([&](Info &into) { return tl_reader_latest(handle(), &into); });
  }

  /** The latest state without a copy, if it can be: see ReaderOptions::views_in_place. Throws. */
  std::optional<View<T>> view() {
    std::optional<View<T>> view(std::in_place);
    if (!detail::check(look(*view))) view.reset();
    return view;
  }
  Result<View<T>> try_view() {
    return Result<View<T>>::filled([&](View<T> &into) { return look(into); });
  }

  /**
   * Waits for a publication after the last one that this reader returned or waited for: false if
   * there is none within the timeout. A timeout of zero or less only looks. Throws, with TL_CLOSED
   * if the channel has ended.
   */
  bool wait(Duration timeout) { return detail::check(wait_for(timeout)); }
  /** The status is TL_TIMED_OUT if there is none. */
  Result<void> try_wait(Duration timeout) { return Result<void>(wait_for(timeout)); }

  /** Waits without end. */
  void wait() { detail::check(tl_reader_wait(handle(), -1)); }
  Result<void> try_wait() { return Result<void>(tl_reader_wait(handle(), -1)); }

  /** The states that the channel still holds: see history(). */
  class History;

  /** The states that the channel still holds, from the latest backwards: a range. Throws. */
  History history() { return History(*this); }

  /** The newest state before a publication, or the latest before 0. The status may be TL_END. */
  Result<Snapshot<State>> try_history(std::uint64_t before) {
    return Result<Snapshot<State>>::filled(
        [&](Snapshot<State> &into) { return older(before, into); });
  }

  /** The latest state as JSON, whatever it is; none before the first publication. Throws. */
  std::optional<std::string> json() {
    std::optional<std::string> text(std::in_place);
    if (!detail::check(json_into(*text))) text.reset();
    return text;
  }
  Result<std::string> try_json() {
    return Result<std::string>::filled([&](std::string &into) { return json_into(into); });
  }

  /** What the channel is. Throws. */
  Channel channel() { return try_channel().value(); }
  Result<Channel> try_channel() {
    return Result<Channel>::filled([&](Channel &into) {
      const tl_channel *it = nullptr;
      tl_status status = tl_reader_channel(handle(), &it);
      if (status == TL_OK) into = detail::channel_of(*it);
      return status;
    });
  }

  /** How the writer is: alive, dead, since when. Throws. */
  WriterStatus writer_state() { return try_writer_state().value(); }
  Result<WriterStatus> try_writer_state() {
    return Result<WriterStatus>::filled([&](WriterStatus &into) {
      const tl_writer_state *it = nullptr;
      tl_status status = tl_reader_writer_state(handle(), &it);
      if (status == TL_OK) {
        into = {static_cast<WriterState>(it->state),
                static_cast<Health>(it->health),
                it->state_name,
                it->health_name,
                it->pid,
                it->incarnation,
                detail::duration(it->heartbeat_age_ns),
                detail::duration(it->heartbeat_interval_ns)};
      }
      return status;
    });
  }

  /** Closes the reader, as the destructor does. Its views stay. */
  void close() noexcept { handle_.reset(); }

  /** The handle, for calls of tearless.h. It stays this object's. */
  tl_reader *handle() const noexcept { return handle_.get(); }

 private:
  detail::Status open(const Namespace &fleet, const std::string &channel,
                      const ReaderOptions &options) {
    detail::check_type<T>();
    if (!detail::are_texts_of_c(channel, options.type_name)) return detail::zero_byte_in_channel;
    tl_reader_options it = tl_reader_defaults();
    it.structure = Description<T>::get();
    it.codec = std::is_void_v<T> ? static_cast<std::int32_t>(options.codec) : TL_PLAIN;
    it.type_name = detail::optional(options.type_name);
    it.accept = static_cast<std::int32_t>(options.accept);
    it.views_in_place = options.views_in_place;
    it.attach_timeout_ns = options.attach_timeout.count();
    tl_reader *opened = nullptr;
    tl_status status = tl_reader_open(fleet.handle(), channel.c_str(), &it, &opened);
    handle_.reset(opened);
    return status;
  }

  tl_status copy(State &into, tl_info *info) {
    if constexpr (std::is_void_v<T>) {
      return copy_bytes(into, info, [&](void *buffer, std::size_t size, tl_info *known) {
        return tl_reader_read(handle(), buffer, size, known);
      });
    } else {
      return tl_reader_read(handle(), &into, sizeof into, info);
    }
  }

  tl_status older(std::uint64_t before, Snapshot<State> &into) {
    auto call = [&](void *buffer, std::size_t size, tl_info *known) {
      return tl_reader_history(handle(), before, buffer, size, known);
    };
    if constexpr (std::is_void_v<T>) {
      return copy_bytes(into.value, &into.info, call);
    } else {
      return call(&into.value, sizeof into.value, &into.info);
    }
  }

  /** Calls with a vector that is as large as it was, and with a larger one for larger states. */
  template <typename Call>
  tl_status copy_bytes(std::vector<std::uint8_t> &into, tl_info *info, Call call) {
    tl_info known = {};
    if (into.empty()) into.resize(room_);
    tl_status status;
    while ((status = call(into.data(), into.size(), &known)) == TL_TOO_SMALL) {
      into.resize(known.length);
    }
    into.resize(status == TL_OK ? known.length : 0);
    if (status == TL_OK) room_ = known.length;
    if (info) *info = known;
    return status;
  }

  template <typename Part>
  tl_status part(std::size_t offset, Snapshot<Part> &into) {
    detail::check_type<Part>();
    return tl_reader_read_at(handle(), offset, &into.value, sizeof into.value, &into.info);
  }

  tl_status look(View<T> &into) {
    detail::check_alignment<T>();
    return tl_reader_view(handle(), &into.view_);
  }

  tl_status wait_for(Duration timeout) {
    return tl_reader_wait(handle(), timeout.count() < 0 ? 0 : timeout.count());
  }

  tl_status json_into(std::string &into) {
    std::size_t length = 1000;
    tl_status status;
    do {
      into.resize(length + 1);
      status = tl_reader_json(handle(), into.data(), into.size(), &length, nullptr);
    } while (status == TL_TOO_SMALL);
    into.resize(status == TL_OK ? length : 0);
    return status;
  }

  detail::Owned<tl_reader, tl_reader_close> handle_;
  /** Bytes of the last state, for the next one. */
  std::size_t room_ = 0;
};

/** A range of snapshots: for (const auto &old : reader.history()) … It ends before its reader. */
template <typename T>
class Reader<T>::History {
 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Snapshot<State>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type *;
    using reference = const value_type &;

    iterator() = default;
    explicit iterator(Reader &reader) : reader_(&reader) { ++*this; }

    reference operator*() const noexcept { return snapshot_; }
    pointer operator->() const noexcept { return &snapshot_; }
    iterator &operator++() {
      if (!detail::check(reader_->older(snapshot_.publication(), snapshot_))) reader_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator &left, const iterator &right) noexcept {
      return left.reader_ == right.reader_;
    }
    friend bool operator!=(const iterator &left, const iterator &right) noexcept {
      return !(left == right);
    }

   private:
    Reader *reader_ = nullptr;
    value_type snapshot_;
  };

  explicit History(Reader &reader) : reader_(&reader) {}
  iterator begin() const { return iterator(*reader_); }
  iterator end() const { return iterator(); }

 private:
  Reader *reader_;
};

}  // namespace tearless

#if __cplusplus >= 202002L
/** So that a std::span and the algorithms of ranges take Bytes. */
template <>
inline constexpr bool std::ranges::enable_borrowed_range<tearless::Bytes> = true;
template <>
inline constexpr bool std::ranges::enable_view<tearless::Bytes> = true;
#endif

#endif /* TEARLESS_HPP */
