/* What is published here can be read there, with all that is known of it. */
#include "check.h"

typedef struct {
  double speed;
  int32_t code;
} motor;
typedef enum { IDLE, BUSY = 7 } phase;
typedef struct {
  uint64_t jobs;
  double position[3];
  float grid[2][3];
  char name[16];
  phase phase;
  bool is_up;
  int8_t small;
  motor motors[2];
} robot;
TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code));
TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_FIELD(robot, position), TL_MATRIX(robot, grid),
            TL_FIELD(robot, name), TL_FIELD(robot, phase), TL_FIELD(robot, is_up),
            TL_FIELD(robot, small), TL_NESTED(robot, motors, motor));

static robot some_robot(void) {
  robot it;
  memset(&it, 0, sizeof it);
  it.jobs = 12;
  it.position[1] = 0.5;
  it.grid[1][2] = -2;
  strcpy(it.name, "ann");
  it.phase = BUSY;
  it.is_up = true;
  it.small = -3;
  it.motors[1].speed = 9;
  it.motors[1].code = -1;
  return it;
}

static tl_writer *robot_writer(tl_namespace *space, const char *channel) {
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(robot);
  OK(tl_writer_open(space, channel, &options, &writer));
  return writer;
}

/* {"name":"ann","jobs":7} */
static const unsigned char PACKED[] =
    "\x82\xa4name\xa3"
    "ann\xa4jobs\x07";
#define PACKED_LENGTH (sizeof PACKED - 1)

static tl_writer *packed_writer(tl_namespace *space) {
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.codec = TL_MESSAGE_PACK;
  options.type_name = "Worker";
  OK(tl_writer_open(space, "packed", &options, &writer));
  return writer;
}

static void publishes_all(process *parent) {
  tl_namespace *space = space_open();
  tl_writer *bytes = writer_open(space, "bytes"), *plain = robot_writer(space, "plain");
  tl_writer *packed = packed_writer(space);
  robot it = some_robot();
  uint64_t number = 0;
  OK(tl_writer_publish(bytes, "\0hello", 6, &number));
  CHECK(number == 1);
  OK(tl_writer_publish(plain, &it, sizeof it, NULL));
  OK(tl_writer_publish(packed, PACKED, PACKED_LENGTH, NULL));
  say(parent);
  hear(parent);
  OK(tl_writer_publish(bytes, NULL, 0, &number));
  CHECK(number == 2);
  say(parent);
  hear(parent);
  OK(tl_writer_close(bytes));
  OK(tl_writer_close(plain));
  OK(tl_writer_close(packed));
  OK(tl_namespace_close(space));
}

static void published_here_and_read_there(void) {
  process child = process_start(publishes_all);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *bytes = reader_open(space, "bytes"), *plain, *packed = reader_open(space, "packed");
  char buffer[64];
  tl_info info, latest;
  OK(tl_reader_read(bytes, buffer, sizeof buffer, &info));
  CHECK(info.publication == 1 && info.length == 6 && memcmp(buffer, "\0hello", 6) == 0);
  CHECK(info.boot_ns > 0 && info.origin_publication == 0);
  CHECK(tl_age_ns(&info) >= 0 && tl_age_ns(&info) < 3600 * SECOND && tl_age_ns(NULL) == -1);
  OK(tl_reader_latest(bytes, &latest));
  CHECK(latest.publication == 1 && latest.length == 6 && latest.boot_ns == info.boot_ns);
  OK(tl_reader_read(bytes, buffer, 6, NULL));

  tl_reader_options options = tl_reader_defaults();
  options.structure = TL_STRUCTURE(robot);
  OK(tl_reader_open(space, "plain", &options, &plain));
  robot it, expected = some_robot();
  OK(tl_reader_read(plain, &it, sizeof it, &info));
  CHECK(info.length == sizeof it && memcmp(&it, &expected, sizeof it) == 0);
  double position[3];
  OK(tl_reader_read_at(plain, offsetof(robot, position), position, sizeof position, &info));
  CHECK(memcmp(position, expected.position, sizeof position) == 0 && info.length == sizeof it);
  RETURNS(TL_INVALID, tl_reader_read_at(plain, sizeof it, position, 1, NULL));
  RETURNS(TL_INVALID, tl_reader_read_at(plain, SIZE_MAX, position, 8, NULL));

  OK(tl_reader_read(packed, buffer, sizeof buffer, &info));
  CHECK(info.length == PACKED_LENGTH && memcmp(buffer, PACKED, PACKED_LENGTH) == 0);

  say(&child);
  hear(&child);
  OK(tl_reader_read(bytes, NULL, 0, &info));
  CHECK(info.publication == 2 && info.length == 0);
  say(&child);
  process_join(&child);
  OK(tl_reader_close(bytes));
  OK(tl_reader_close(plain));
  OK(tl_reader_close(packed));
  OK(tl_namespace_close(space));
}

static void json_of(tl_reader *reader, char *text, size_t room) {
  tl_info info;
  size_t length = 0;
  OK(tl_reader_json(reader, text, room, &length, &info));
  CHECK(strlen(text) == length && info.publication == 1);
}

static void states_as_json(void) {
  tl_namespace *space = space_open();
  tl_writer *plain = robot_writer(space, "plain"), *packed = packed_writer(space);
  tl_writer *bytes = writer_open(space, "bytes");
  tl_reader *reader = reader_open(space, "plain");
  char text[1024];
  size_t length = 0;
  RETURNS(TL_EMPTY, tl_reader_json(reader, text, sizeof text, &length, NULL));
  robot it = some_robot();
  OK(tl_writer_publish(plain, &it, sizeof it, NULL));
  json_of(reader, text, sizeof text);
  CHECK(strstr(text,
               "\"jobs\":12,\"position\":[0.0,0.5,0.0],\"grid\":[[0.0,0.0,0.0],[0.0,0.0,-2.0]]") !=
        NULL);
  CHECK(strstr(text, "\"phase\":7,\"is_up\":true,\"small\":-3") != NULL);
  CHECK(strstr(text, "{\"speed\":9.0,\"code\":-1") != NULL);

  /* The length is told, and the call works with that many bytes. */
  size_t needed = strlen(text);
  RETURNS(TL_TOO_SMALL, tl_reader_json(reader, NULL, 0, &length, NULL));
  CHECK(length == needed);
  RETURNS(TL_TOO_SMALL, tl_reader_json(reader, text, needed, &length, NULL));
  OK(tl_reader_json(reader, text, needed + 1, NULL, NULL));
  OK(tl_reader_close(reader));

  OK(tl_writer_publish(packed, PACKED, PACKED_LENGTH, NULL));
  reader = reader_open(space, "packed");
  json_of(reader, text, sizeof text);
  SAME(text, "{\"name\":\"ann\",\"jobs\":7}");
  OK(tl_reader_close(reader));

  OK(tl_writer_publish(bytes, "x", 1, NULL));
  reader = reader_open(space, "bytes");
  RETURNS(TL_MISMATCH, tl_reader_json(reader, text, sizeof text, &length, NULL));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(plain));
  OK(tl_writer_close(packed));
  OK(tl_writer_close(bytes));
  OK(tl_namespace_close(space));
}

/* Members with qualifiers have the schema of those without. */
typedef struct {
  const double limit;
  volatile int32_t codes[3];
  const float grid[2][2];
  const volatile uint8_t now;
  const motor motors[2];
} sealed_robot;
TL_DESCRIBE(sealed_robot, TL_FIELD(sealed_robot, limit), TL_FIELD(sealed_robot, codes),
            TL_MATRIX(sealed_robot, grid), TL_FIELD(sealed_robot, now),
            TL_NESTED(sealed_robot, motors, motor));

static void members_that_are_const(void) {
  tl_namespace *space = space_open();
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(sealed_robot);
  OK(tl_writer_open(space, "sealed", &options, &writer));
  sealed_robot it = {0.5, {1, 2, 3}, {{1, 2}, {3, 4}}, 7, {{0, 0}, {1.5, 8}}};
  OK(tl_writer_publish(writer, &it, sizeof it, NULL));
  tl_reader *reader = reader_open(space, "sealed");
  char text[512];
  json_of(reader, text, sizeof text);
  CHECK(strstr(text, "{\"limit\":0.5,\"codes\":[1,2,3],\"grid\":[[1.0,2.0],[3.0,4.0]],\"now\":7,"));
  CHECK(strstr(text, "{\"speed\":1.5,\"code\":8,"));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* A later version of the struct: members moved, added and left out. */
typedef struct {
  bool is_up;
  motor motors[2];
  uint64_t jobs;
  float grid[2][3];
} later_robot;
TL_DESCRIBE_AS(later_robot, "robot", TL_FIELD(later_robot, is_up),
               TL_NESTED(later_robot, motors, motor), TL_FIELD(later_robot, jobs),
               TL_MATRIX(later_robot, grid));
typedef struct {
  uint64_t jobs;
  int32_t wheels;
} other_robot;
TL_DESCRIBE_AS(other_robot, "robot", TL_FIELD(other_robot, jobs), TL_FIELD(other_robot, wheels));

static tl_status open_as(tl_namespace *space, const tl_structure *structure, int32_t accept,
                         tl_reader **reader) {
  tl_reader_options options = tl_reader_defaults();
  options.structure = structure;
  options.accept = accept;
  return tl_reader_open(space, "plain", &options, reader);
}

static void versions_of_a_struct(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = robot_writer(space, "plain");
  robot it = some_robot();
  OK(tl_writer_publish(writer, &it, sizeof it, NULL));
  tl_reader *reader = NULL;
  RETURNS(TL_MISMATCH, open_as(space, TL_STRUCTURE(later_robot), TL_SAME_TYPE, &reader));
  CHECK(reader == NULL);
  RETURNS(TL_MISMATCH, open_as(space, TL_STRUCTURE(later_robot), TL_SAME_SCHEMA, &reader));
  RETURNS(TL_MISMATCH, open_as(space, TL_STRUCTURE(other_robot), TL_MATCHING_FIELDS, &reader));
  SAYS("wheels");

  OK(open_as(space, TL_STRUCTURE(later_robot), TL_MATCHING_FIELDS, &reader));
  later_robot later;
  tl_info info;
  OK(tl_reader_read(reader, &later, sizeof later, &info));
  CHECK(info.length == sizeof later && later.is_up && later.jobs == 12);
  CHECK(later.grid[1][2] == -2 && later.motors[1].speed == 9 && later.motors[1].code == -1);
  tl_view view;
  RETURNS(TL_INVALID, tl_reader_view(reader, &view));
  CHECK(view.hold == NULL && view.data == NULL);
  memset(&later, 0, sizeof later);
  OK(tl_reader_history(reader, 0, &later, sizeof later, &info));
  CHECK(later.jobs == 12);
  OK(tl_reader_close(reader));

  const int32_t accepts[] = {TL_ACCEPT_DEFAULT, TL_ANY, TL_SAME_TYPE, TL_SAME_SCHEMA,
                             TL_MATCHING_FIELDS};
  for (size_t at = 0; at < sizeof accepts / sizeof *accepts; at++) {
    robot read;
    OK(open_as(space, TL_STRUCTURE(robot), accepts[at], &reader));
    OK(tl_reader_read(reader, &read, sizeof read, &info));
    CHECK(memcmp(&read, &it, sizeof it) == 0);
    OK(tl_reader_view(reader, &view));
    CHECK(memcmp(view.data, &it, sizeof it) == 0);
    OK(tl_view_release(&view));
    OK(tl_reader_close(reader));
  }
  /* Any channel is accepted, but a state of another length is none of the struct. */
  OK(open_as(space, TL_STRUCTURE(later_robot), TL_ANY, &reader));
  char room[sizeof(robot)];
  RETURNS(TL_MISMATCH, tl_reader_read(reader, room, sizeof room, &info));
  RETURNS(TL_MISMATCH, tl_reader_view(reader, &view));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static tl_status open_by(tl_namespace *space, const char *channel, int32_t codec,
                         const char *type_name, int32_t accept) {
  tl_reader_options options = tl_reader_defaults();
  options.codec = codec;
  options.type_name = type_name;
  options.accept = accept;
  tl_reader *reader;
  tl_status status = tl_reader_open(space, channel, &options, &reader);
  CHECK((status == TL_OK) == (reader != NULL));
  OK(tl_reader_close(reader));
  return status;
}

static void channels_of_another_type_or_codec(void) {
  tl_namespace *space = space_open();
  tl_writer *packed = packed_writer(space), *bytes = writer_open(space, "bytes");
  OK(tl_writer_publish(packed, PACKED, PACKED_LENGTH, NULL));
  OK(open_by(space, "packed", TL_MESSAGE_PACK, "Worker", TL_ACCEPT_DEFAULT));
  OK(open_by(space, "packed", TL_MESSAGE_PACK, NULL, TL_MATCHING_FIELDS));
  OK(open_by(space, "packed", TL_MESSAGE_PACK, "Other", TL_ANY));
  OK(open_by(space, "packed", TL_BYTES, NULL, TL_ACCEPT_DEFAULT));
  RETURNS(TL_MISMATCH, open_by(space, "packed", TL_MESSAGE_PACK, "Other", TL_ACCEPT_DEFAULT));
  RETURNS(TL_MISMATCH, open_by(space, "packed", TL_BYTES, NULL, TL_SAME_TYPE));
  RETURNS(TL_MISMATCH, open_by(space, "bytes", TL_MESSAGE_PACK, "Worker", TL_SAME_TYPE));
  RETURNS(TL_MISMATCH, open_by(space, "bytes", TL_MESSAGE_PACK, NULL, TL_MATCHING_FIELDS));
  OK(open_by(space, "bytes", TL_BYTES, NULL, TL_SAME_TYPE));
  OK(open_by(space, "bytes", TL_BYTES, "bytes", TL_ACCEPT_DEFAULT));
  OK(tl_writer_close(packed));
  OK(tl_writer_close(bytes));
  OK(tl_namespace_close(space));
}

/* One bit of `choice` for each option. */
static tl_writer_options chosen(unsigned choice) {
  tl_writer_options options = tl_writer_defaults();
  if (choice & 1) options.capacity = 64;
  if (choice & 2) options.slots = 3;
  if (choice & 4) options.max_state_length = 1 << 20;
  if (choice & 8) options.pins = 2;
  if (choice & 16) options.max_memory = 4 << 20;
  if (choice & 32) options.heartbeat_interval_ns = 50 * 1000 * 1000;
  if (choice & 64) options.checksum = 1;
  if (choice & 128) options.linger = 1;
  if (choice & 256) options.no_timestamps = 1;
  if (choice & 512) options.permissions = 0640;
  return options;
}

static void all_options_of_a_writer(void) {
  tl_namespace *space = space_open();
  for (unsigned choice = 0; choice < 1024; choice++) {
    for (int32_t codec = TL_BYTES; codec <= TL_MESSAGE_PACK; codec++) {
      tl_writer_options options = chosen(choice);
      tl_reader_options accepted = tl_reader_defaults();
      options.codec = accepted.codec = codec;
      options.structure = accepted.structure = codec == TL_PLAIN ? TL_STRUCTURE(robot) : NULL;
      options.type_name = accepted.type_name = codec == TL_MESSAGE_PACK ? "Worker" : NULL;
      accepted.views_in_place = 1;
      robot it = some_robot(), read;
      const void *state = codec == TL_PLAIN ? (const void *)&it : PACKED;
      size_t length = codec == TL_PLAIN ? sizeof it : PACKED_LENGTH;
      tl_writer *writer;
      tl_reader *reader;
      tl_info info;
      OK(tl_writer_open(space, "channel", &options, &writer));
      OK(tl_reader_open(space, "channel", &accepted, &reader));
      OK(tl_writer_publish(writer, state, length, NULL));
      OK(tl_reader_read(reader, &read, sizeof read, &info));
      CHECK(info.length == length && memcmp(&read, state, length) == 0);
      CHECK(tl_age_ns(&info) >= 0 || options.no_timestamps == 1);
      const tl_writer_state *of_writer;
      OK(tl_reader_writer_state(reader, &of_writer));
      int64_t promised = options.heartbeat_interval_ns;
      CHECK(of_writer->heartbeat_interval_ns == (promised == 0 ? -1 : promised));
      CHECK(of_writer->state == TL_WRITER_ALIVE && of_writer->pid == (uint64_t)getpid());
      OK(tl_writer_close(writer));
      bool stays = options.linger == 1;
      RETURNS(stays ? TL_OK : TL_CLOSED, tl_reader_read(reader, &read, sizeof read, &info));
      CHECK(writer_of(reader) == TL_WRITER_CLOSED);
      OK(tl_reader_close(reader));
      /* Another writer's end removes what was left. */
      if (stays) {
        options.linger = 0;
        OK(tl_writer_open(space, "channel", &options, &writer));
        OK(tl_writer_close(writer));
      }
    }
  }
  OK(tl_namespace_close(space));
}

static void wrong_options(void) {
  tl_namespace *space = space_open();
  tl_writer *writer;
  tl_reader *reader;
  tl_writer_options options;
#define REFUSED(member, value, part)                                                               \
  options = tl_writer_defaults();                                                                  \
  options.member = (value);                                                                        \
  RETURNS(TL_INVALID, tl_writer_open(space, "channel", &options, &writer));                        \
  CHECK(writer == NULL);                                                                           \
  SAYS(part)
  REFUSED(codec, 3, "codec 3");
  REFUSED(codec, -1, "codec -1");
  REFUSED(checksum, 2, "checksum is 2");
  REFUSED(linger, -1, "linger is -1");
  REFUSED(no_timestamps, 7, "no_timestamps is 7");
  REFUSED(heartbeat_interval_ns, -1, "heartbeat_interval_ns is -1");
  REFUSED(pins, 65, "64");
  REFUSED(permissions, 0100000, "ermission");
  REFUSED(type_name, "\xff", "UTF-8");
#undef REFUSED
  writer = writer_open(space, "channel");
  tl_reader_options accepted;
#define REFUSED(member, value, part)                                                               \
  accepted = tl_reader_defaults();                                                                 \
  accepted.member = (value);                                                                       \
  RETURNS(TL_INVALID, tl_reader_open(space, "channel", &accepted, &reader));                       \
  CHECK(reader == NULL);                                                                           \
  SAYS(part)
  REFUSED(codec, 3, "codec 3");
  REFUSED(accept, 5, "accept 5");
  REFUSED(accept, TL_SAME_SCHEMA, "structure");
  REFUSED(views_in_place, 2, "views_in_place is 2");
  REFUSED(attach_timeout_ns, -5, "attach_timeout_ns is -5");
#undef REFUSED
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void names_of_what_it_is(void) {
  tl_namespace *space = space_open();
  tl_channels *channels;
  const tl_channel *channel;
  OK(tl_channels_open(space, &channels));
  RETURNS(TL_END, tl_channels_next(channels, &channel));
  CHECK(channel == NULL);
  RETURNS(TL_END, tl_channels_next(channels, &channel));
  OK(tl_channels_close(channels));

  tl_writer *plain = robot_writer(space, "plain"), *packed = packed_writer(space);
  tl_writer *bytes = writer_open(space, "bytes");
  OK(tl_channels_open(space, &channels));
  const char *const expected[][2] = {
      {"bytes", "bytes"}, {"packed", "message-pack"}, {"plain", "pod"}};
  for (size_t at = 0; at < 3; at++) {
    OK(tl_channels_next(channels, &channel));
    SAME(channel->name, expected[at][0]);
    SAME(channel->codec, expected[at][1]);
    CHECK(channel->type_name == NULL && channel->host == NULL);
    CHECK(channel->writer_pid == (uint64_t)getpid() && channel->incarnation == 1);
  }
  uint64_t instance = channel->instance;
  RETURNS(TL_END, tl_channels_next(channels, &channel));
  OK(tl_channels_close(channels));

  tl_reader *reader = reader_open(space, "plain");
  OK(tl_reader_channel(reader, &channel));
  CHECK(channel->instance == instance && channel->host == NULL);
  char type_name[64];
  snprintf(type_name, sizeof type_name, "robot of %zu bytes aligned to 8", sizeof(robot));
  SAME(channel->type_name, type_name);
  OK(tl_reader_close(reader));
  reader = reader_open(space, "packed");
  OK(tl_reader_channel(reader, &channel));
  SAME(channel->type_name, "Worker");
  OK(tl_reader_close(reader));
  OK(tl_writer_close(plain));
  OK(tl_writer_close(packed));
  OK(tl_writer_close(bytes));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("values: bytes, structs and MessagePack; options; JSON; lists");
  CHECK(tl_abi_version() == TL_ABI_VERSION);
  RUN(published_here_and_read_there);
  RUN(states_as_json);
  RUN(members_that_are_const);
  RUN(versions_of_a_struct);
  RUN(channels_of_another_type_or_codec);
  RUN(all_options_of_a_writer);
  RUN(wrong_options);
  RUN(names_of_what_it_is);
  return 0;
}
