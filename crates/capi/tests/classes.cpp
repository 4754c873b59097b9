// The classes of tearless.hpp: both styles of errors, types with and without members, moved and
// closed objects, threads, processes that die.
#include "parts/parcels.h"
#include "tearless.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <functional>
#if __cplusplus >= 202002L
#include <span>
#endif
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using tearless::Namespace;
using tearless::Reader;
using tearless::Writer;

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
      std::_Exit(1);                                                                \
    }                                                                               \
  } while (0)

namespace robots {

enum class Mode : std::uint8_t { idle, busy };
struct motor {
  double speed;
  std::int32_t code;
  std::int32_t spare;
};
TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code), TL_FIELD(motor, spare));

struct robot {
  std::uint64_t jobs;
  double position[3];
  float matrix[2][2];
  motor motors[2];
  Mode mode;
  bool is_on;
};
TL_DESCRIBE_AS(robot, "Robot", TL_FIELD(robot, jobs), TL_FIELD(robot, position),
               TL_MATRIX(robot, matrix), TL_NESTED(robot, motors, motor), TL_FIELD(robot, mode),
               TL_FIELD(robot, is_on));

// An older version of it.
struct old_robot {
  double position[3];
  std::uint64_t jobs;
};
TL_DESCRIBE_AS(old_robot, "Robot", TL_FIELD(old_robot, position), TL_FIELD(old_robot, jobs));

struct secret {
  std::uint32_t words[16];
};
TL_NAMED(secret);

}  // namespace robots

using robots::motor;
using robots::robot;

template <>
struct tearless::Description<std::array<double, 2>> {
  static const tl_structure *get() {
    static constexpr tl_structure pair = {sizeof(tl_structure), sizeof(tl_field), "Pair", 16, 8,
                                          nullptr, 0};
    return &pair;
  }
};

static robot sample(std::uint64_t jobs) {
  robot it;
  std::memset(&it, 0, sizeof it);
  it.jobs = jobs;
  it.position[1] = 0.5;
  it.matrix[1][0] = 2;
  it.motors[1] = {1.5, 7, 0};
  it.mode = robots::Mode::busy;
  it.is_on = true;
  return it;
}

static std::string space(const char *name) {
  return std::string(name) + "-" + std::to_string(getpid());
}

// The error that a function throws.
static tearless::Error thrown(const std::function<void()> &function) {
  try {
    function();
  } catch (const tearless::Error &error) {
    return error;
  }
  return {TL_OK, "nothing was thrown"};
}

static bool has(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

static void what_is_published_is_read() {
  Namespace fleet(space("values"));
  auto writer = fleet.writer<robot>("a");
  auto reader = fleet.reader<robot>("a");
  CHECK(!reader.read() && !reader.latest() && !reader.json() && !reader.view());
  CHECK(reader.try_read().status() == TL_EMPTY && reader.try_view().status() == TL_EMPTY);
  CHECK(reader.try_read().message() == "nothing has been published yet");

  CHECK(writer.publish(sample(3)) == 1);
  auto snapshot = reader.read();
  CHECK(snapshot && snapshot->value.jobs == 3 && (*snapshot)->motors[1].speed == 1.5);
  CHECK(snapshot->publication() == 1 && snapshot->info.length == sizeof(robot));
  CHECK(snapshot->age() && *snapshot->age() >= 0ns && *snapshot->age() < 1h);
  CHECK(reader.latest()->publication == 1);

  auto result = writer.try_publish(sample(4));
  CHECK(result && *result == 2 && result.status() == TL_OK && result.message().empty());
  robot into;
  tearless::Info info;
  CHECK(reader.read(into, &info) && into.jobs == 4 && info.publication == 2);
  CHECK(reader.try_read(into) && reader.try_read()->value.jobs == 4);
  CHECK(reader.read_at<double>(offsetof(robot, position) + 8)->value == 0.5);
  CHECK(reader.try_read_at<motor>(offsetof(robot, motors) + sizeof(motor))->value.code == 7);

  CHECK(writer.publish_if_changed(sample(4)) == 3u && !writer.publish_if_changed(sample(4)));
  CHECK(writer.try_publish_if_changed(sample(4)).status() == TL_UNCHANGED);
  writer.touch();
  CHECK(writer.try_touch());
}

static void members_have_names_for_other_languages() {
  Namespace fleet(space("members"));
  Writer<robot> writer(fleet, "a");
  writer.publish(sample(3));
  Reader<> any(fleet, "a");
  std::string json = *any.json();
  CHECK(has(json, "\"jobs\":3") && has(json, "\"position\":[0.0,0.5,0.0]"));
  CHECK(has(json, "\"matrix\":[[0.0,0.0],[2.0,0.0]]") && has(json, "\"speed\":1.5,\"code\":7"));
  CHECK(has(json, "\"mode\":1") && has(json, "\"is_on\":true"));
  CHECK(*any.try_json() == json);
  CHECK(any.channel().name == "a" && any.channel().codec == "pod" && any.channel().host.empty());
  CHECK(has(any.channel().type_name, "Robot of "));

  // Padding is a member of the schema, so an older version of the struct has other fields.
  tearless::ReaderOptions options;
  CHECK(thrown([&] { Reader<robots::old_robot>(fleet, "a"); }).status() == TL_MISMATCH);
  options.accept = tearless::Accept::matching_fields;
  Reader<robots::old_robot> older(fleet, "a", options);
  auto old = older.read();
  CHECK(old && old->value.position[1] == 0.5 && old->value.jobs == 3);
}

static void types_without_members_have_names() {
  Namespace fleet(space("names"));
  auto secrets = fleet.writer<robots::secret>("secret");
  secrets.publish({{1, 2, 3}});
  CHECK(fleet.reader<robots::secret>("secret").read()->value.words[2] == 3);
  CHECK(fleet.reader("secret").try_json().status() == TL_MISMATCH);

  const std::uint32_t of_c[] = {1, 2, 3, 4, 5}, of_cpp[] = {5, 4, 3, 2, 1};
  tl_writer *from_c = parcel_publish(fleet.handle(), "from-c", of_c);
  auto parcels = fleet.reader<parcel>("from-c");
  parcel parcel_of_c = parcels.read()->value;
  CHECK(parcel_of_c.kind == 7 && std::equal(of_c, of_c + 5, parcel_of_c.words));
  CHECK(has(parcels.channel().type_name, "parcel of 24 bytes"));
  CHECK(tl_writer_close(from_c) == TL_OK);
  auto to_c = fleet.writer<parcel>("to-c");
  to_c.publish({7, {5, 4, 3, 2, 1}});
  CHECK(parcel_has(fleet.handle(), "to-c", of_cpp) && !parcel_has(fleet.handle(), "to-c", of_c));

  auto numbers = fleet.writer<double>("number");
  numbers.publish(2.5);
  auto reader = fleet.reader<double>("number");
  CHECK(reader.read()->value == 2.5);
  CHECK(reader.channel().type_name == "f64 of 8 bytes aligned to 8");

  auto pairs = fleet.writer<std::array<double, 2>>("pair");
  pairs.publish({1, 2});
  CHECK((fleet.reader<std::array<double, 2>>("pair").read()->value[1] == 2));
}

static void errors_say_what_is_wrong() {
  Namespace fleet(space("errors"));
  auto missing = thrown([&] { fleet.reader<robot>("missing"); });
  CHECK(missing.status() == TL_NOT_FOUND && has(missing.what(), "missing"));
  CHECK(std::string(missing.status_name()) == "TL_NOT_FOUND");
  auto result = fleet.try_reader<robot>("missing");
  CHECK(!result && !result.has_value() && result.status() == TL_NOT_FOUND);
  CHECK(result.message() == missing.what());
  CHECK(thrown([&] { result.value(); }).what() == std::string(missing.what()));

  auto writer = fleet.writer<motor>("a");
  auto other = thrown([&] { fleet.reader<robot>("a"); });
  CHECK(other.status() == TL_MISMATCH && has(other.what(), "Robot") && has(other.what(), "motor"));
  CHECK(fleet.try_writer<motor>("a").status() == TL_IN_USE);
  CHECK(thrown([&] { Namespace("\n"); }).status() == TL_INVALID);
  CHECK(Namespace::try_open("").status() == TL_INVALID);
  CHECK(!fleet.try_reader<motor>("a").value().try_history(0));
  CHECK(fleet.try_reader<motor>("a").value().try_history(0).status() == TL_END);
  double number = 0.5;
  CHECK(std::move(fleet.try_writer<double>("b").value().try_publish(number)).value_or(9) == 1);

  tearless::WriterOptions options;
  options.heartbeat_interval = -1ns;
  CHECK(has(fleet.try_writer<motor>("c", options).message(), "negative"));
}

// For C, "a" and a zero byte and "b" would be "a".
static void texts_are_not_cut() {
  const std::string cut("a\0b", 3);
  Namespace fleet(space("cut"));
  auto writer = fleet.writer("a");
  CHECK(thrown([&] { Namespace{cut}; }).status() == TL_INVALID);
  CHECK(has(Namespace::try_open(cut).message(), "zero byte"));
  for (auto text : {&tearless::NamespaceOptions::directory, &tearless::NamespaceOptions::group}) {
    tearless::NamespaceOptions options;
    options.*text = cut;
    CHECK(Namespace::try_open("a", options).status() == TL_INVALID);
  }
  auto reader = thrown([&] { fleet.reader(cut); });
  CHECK(reader.status() == TL_INVALID && has(reader.what(), "zero byte"));
  CHECK(has(fleet.try_writer(cut).message(), "zero byte"));
  tearless::ReaderOptions of_reader;
  of_reader.type_name = cut;
  CHECK(has(fleet.try_reader("a", of_reader).message(), "zero byte"));
  tearless::WriterOptions of_writer;
  of_writer.type_name = cut;
  CHECK(has(fleet.try_writer("b", of_writer).message(), "zero byte"));
  CHECK(has(fleet.try_remove(cut).message(), "zero byte"));
  CHECK(fleet.channels().size() == 1 && !fleet.reader("a").read());
}

static void moved_and_closed_objects_say_so() {
  Namespace first(space("moved"));
  Namespace fleet(std::move(first));
  CHECK(has(first.try_channels().message(), "NULL"));  // NOLINT: used after the move on purpose
  auto writer = fleet.writer<double>("a");
  auto reader = fleet.reader<double>("a");
  Writer<double> new_writer;
  new_writer = std::move(writer);
  Reader<double> new_reader(std::move(reader));
  new_writer.publish(1);
  CHECK(new_reader.read()->value == 1);
  CHECK(writer.try_publish(2).status() == TL_INVALID && reader.try_read().status() == TL_INVALID);
  CHECK(thrown([&] { writer.publish(2); }).status() == TL_INVALID);
  CHECK(thrown([&] { writer.loan(); }).status() == TL_INVALID);
  CHECK(thrown([&] { reader.view(); }).status() == TL_INVALID);

  new_writer.close();
  CHECK(new_writer.try_publish(2).status() == TL_INVALID && new_writer.try_close());
  CHECK(thrown([&] { new_reader.wait(1s); }).status() == TL_CLOSED);
  CHECK(new_reader.writer_state().state == tearless::WriterState::closed);
  new_reader.close();
  CHECK(new_reader.try_writer_state().status() == TL_INVALID);
  CHECK(fleet.channels().empty());
}

static void loans_are_filled_in_place() {
  Namespace fleet(space("loans"));
  auto writer = fleet.writer<robot>("a");
  auto reader = fleet.reader<robot>("a");
  auto loan = writer.loan();
  *loan = sample(1);
  loan->jobs = 9;
  CHECK(!reader.read() && writer.try_publish(sample(2)).status() == TL_IN_USE);
  auto moved = std::move(loan);
  CHECK(loan.data() == nullptr && moved.size() == sizeof(robot) && moved.commit() == 1);
  CHECK(reader.read()->value.jobs == 9);
  CHECK(thrown([&] { moved.commit(); }).status() == TL_INVALID);
  { auto dropped = writer.loan(); }
  CHECK(writer.publish(sample(2)) == 2);

  auto bytes = fleet.writer("b");
  auto lent = bytes.loan(100);
  std::fill_n(lent.data(), 100, std::uint8_t{7});
  CHECK(lent.try_commit(5).value() == 1 && fleet.reader("b").read()->value.size() == 5);
}

static void views_stay_as_they_are() {
  struct Frame {
    std::uint64_t words[1024];
  };
  Namespace fleet(space("views"));
  tearless::WriterOptions with_pins;
  with_pins.pins = 2;
  with_pins.type_name = "Frame";
  auto writer = fleet.writer("a", with_pins);
  tearless::ReaderOptions in_place;
  in_place.views_in_place = true;
  std::optional<tearless::View<void>> view;
  Frame frame = {};
  {
    auto reader = fleet.reader("a", in_place);
    frame.words[1023] = 5;
    writer.publish({&frame, sizeof frame});
    view = reader.view();
    frame.words[1023] = 6;
    for (int times = 0; times < 20; times++) writer.publish({&frame, sizeof frame});
  }
  CHECK(view->is_in_place() && view->info().publication == 1 && view->age() >= 0ns);
  Frame seen;
  std::memcpy(&seen, view->bytes().data(), sizeof seen);
  CHECK(seen.words[1023] == 5);
  tearless::View<void> moved = std::move(*view);
  CHECK(view->bytes().empty() && moved.bytes().size() == sizeof frame);
  moved.release();
  CHECK(moved.bytes().empty());

  auto robots = fleet.writer<robot>("b");
  robots.publish(sample(4));
  auto small = fleet.reader<robot>("b", in_place).view();
  CHECK(!small->is_in_place() && (*small)->jobs == 4 && (**small).is_on);
}

static void bytes_of_any_length() {
  Namespace fleet(space("bytes"));
  tearless::WriterOptions options;
  options.codec = tearless::Codec::message_pack;
  options.type_name = "State";
  auto writer = fleet.writer("a", options);
  auto reader = fleet.reader("a");
  writer.publish(std::string("\x81\xa4jobs\x03"));
  CHECK(*reader.json() == "{\"jobs\":3}");
  CHECK(writer.try_publish("\x81").status() == TL_ENCODE);

  auto texts = fleet.writer("b");
  auto text_reader = fleet.reader("b");
  std::vector<std::uint8_t> large(100000, 'x'), into;
  for (tearless::Bytes bytes : {tearless::Bytes("text"), tearless::Bytes(large), tearless::Bytes()}) {
    texts.publish(bytes);
    CHECK(tearless::Bytes(text_reader.read()->value) == bytes);
    CHECK(text_reader.read(into) && into.size() == bytes.size());
  }
  std::size_t count = 0;
  for (std::uint8_t byte : tearless::Bytes(large)) count += byte == 'x';
  CHECK(count == large.size());
#if __cplusplus >= 202002L
  std::span<const std::uint8_t> span = tearless::Bytes(large);
  CHECK(span.size() == large.size() && std::ranges::find(tearless::Bytes("abc"), 'c')[0] == 'c');
#endif
}

static void history_is_a_range() {
  Namespace fleet(space("history"));
  tearless::WriterOptions options;
  options.slots = 4;
  auto writer = fleet.writer<std::uint64_t>("a", options);
  auto reader = fleet.reader<std::uint64_t>("a");
  CHECK(reader.history().begin() == reader.history().end());
  for (std::uint64_t number = 1; number <= 10; number++) writer.publish(number);
  std::uint64_t expected = 10;
  for (const auto &old : reader.history()) {
    CHECK(old.value == expected && old.publication() == expected);
    expected--;
  }
  CHECK(expected <= 7);
  CHECK(reader.try_history(10)->value == 9);
  auto range = reader.history();
  CHECK(std::any_of(range.begin(), range.end(), [](const auto &old) { return old.value == 9; }));

  auto texts = fleet.writer("b");
  for (const char *text : {"one", "second", "third one"}) texts.publish(text);
  auto text_reader = fleet.reader("b");
  std::string all;
  for (const auto &old : text_reader.history()) all += tearless::Bytes(old.value).text();
  CHECK(all == "third onesecondone");
}

static void readers_wait() {
  Namespace fleet(space("waiting"));
  auto writer = fleet.writer<int>("a");
  auto reader = fleet.reader<int>("a");
  CHECK(!reader.wait(1ms) && reader.try_wait(0s).status() == TL_TIMED_OUT && !reader.wait(-1s));
  std::thread publisher([&] { writer.publish(5); });
  reader.wait();
  CHECK(reader.read()->value == 5);
  publisher.join();
  writer.publish(6);
  CHECK(reader.try_wait() && !reader.try_wait(1us));
}

static void threads_share_a_namespace() {
  Namespace fleet(space("threads"));
  auto writer = fleet.writer<robots::secret>("a");
  robots::secret state = {};
  writer.publish(state);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  std::atomic<int> ready{0};
  for (int thread = 0; thread < 3; thread++) {
    threads.emplace_back([&] {
      auto reader = fleet.reader<robots::secret>("a");
      ready++;
      while (!is_over) {
        auto snapshot = reader.read();
        for (std::uint32_t word : snapshot->value.words) CHECK(word == snapshot->value.words[0]);
      }
    });
  }
  for (std::uint32_t number = 0; number < 200000 || ready < 3; number++) {
    std::fill(std::begin(state.words), std::end(state.words), number);
    writer.publish(state);
  }
  is_over = true;
  for (auto &thread : threads) thread.join();
}

static void a_killed_writer_leaves_its_state() {
  Namespace fleet(space("killed"));
  pid_t child = fork();
  if (child == 0) {
    tearless::WriterOptions promise;
    promise.heartbeat_interval = 10min;
    auto other = fleet.writer<robot>("kept");
    auto writer = fleet.writer<robot>("a", promise);
    writer.publish_if_changed(sample(3));
    pause();
    std::_Exit(0);
  }
  tearless::ReaderOptions options;
  options.attach_timeout = 30s;
  auto reader = fleet.reader<robot>("a", options);
  reader.wait();
  CHECK(reader.writer_state().state == tearless::WriterState::alive);
  CHECK(reader.writer_state().pid == static_cast<std::uint64_t>(child));
  Reader<> kept = fleet.reader("kept");
  kill(child, SIGKILL);
  CHECK(waitpid(child, nullptr, 0) == child);
  fleet.remove("kept");
  CHECK(kept.try_read().status() == TL_CLOSED);
  tearless::WriterStatus of_writer = reader.writer_state();
  CHECK(of_writer.state == tearless::WriterState::dead && of_writer.health == tearless::Health::dead);
  CHECK(std::string(of_writer.state_name) == "dead" && std::string(of_writer.health_name) == "dead");
  CHECK(of_writer.heartbeat_age >= 0ns && of_writer.heartbeat_interval == 10min);
  CHECK(reader.read()->value.jobs == 3);

  auto next = fleet.writer<robot>("a");
  CHECK(next.publish(sample(4)) == 2 && reader.read()->value.jobs == 4);
  CHECK(reader.writer_state().incarnation == 2 && !reader.writer_state().heartbeat_interval);
  child = fork();
  if (child == 0) {
    // The writer belongs to the parent; the reader works.
    bool is_right = next.try_publish(sample(5)).status() == TL_FORKED && reader.read()->value.jobs == 4;
    std::_Exit(is_right ? 0 : 1);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(fleet.try_remove("a").status() == TL_IN_USE);
  CHECK(thrown([&] { fleet.remove("b"); }).status() == TL_NOT_FOUND);
}

static void a_namespace_lists_its_channels() {
  Namespace fleet(space("list"));
  CHECK(fleet.channels().empty());
  auto second = fleet.writer<double>("b");
  auto first = fleet.writer("a");
  auto channels = fleet.channels();
  CHECK(channels.size() == 2 && channels[0].name == "a" && channels[1].name == "b");
  CHECK(channels[0].codec == "bytes" && channels[1].codec == "pod");
  CHECK(channels[0].writer_pid == static_cast<std::uint64_t>(getpid()));
  CHECK(fleet.try_channels()->size() == 2);
}

int main() {
  what_is_published_is_read();
  members_have_names_for_other_languages();
  types_without_members_have_names();
  errors_say_what_is_wrong();
  texts_are_not_cut();
  moved_and_closed_objects_say_so();
  loans_are_filled_in_place();
  views_stay_as_they_are();
  bytes_of_any_length();
  history_is_a_range();
  readers_wait();
  threads_share_a_namespace();
  a_killed_writer_leaves_its_state();
  a_namespace_lists_its_channels();
}
