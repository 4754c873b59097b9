/* Readers go on reading the members that they know while the struct of the writer changes. */
#include "check.h"

/* What the reader was compiled with. Both structs have bytes at their end that belong to no member. */
typedef struct {
  double speed;
  int32_t code;
} motor;
typedef struct {
  uint64_t jobs;
  motor motors[2];
  int32_t mode;
} robot;
TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code));
TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_NESTED(robot, motors, motor), TL_FIELD(robot, mode));

/* What the writer was compiled with later: more members, in other places, also where there was
   padding. */
typedef struct {
  int32_t temperature;
  int32_t code;
  double speed;
} later_motor;
typedef struct {
  char name[24];
  int32_t mode;
  int32_t battery;
  later_motor motors[2];
  uint64_t jobs;
} later_robot;
TL_DESCRIBE_AS(later_motor, "motor", TL_FIELD(later_motor, temperature),
               TL_FIELD(later_motor, code), TL_FIELD(later_motor, speed));
TL_DESCRIBE_AS(later_robot, "robot", TL_FIELD(later_robot, name), TL_FIELD(later_robot, mode),
               TL_FIELD(later_robot, battery), TL_NESTED(later_robot, motors, later_motor),
               TL_FIELD(later_robot, jobs));

static tl_writer *open_writer(tl_namespace *space, const tl_structure *structure) {
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.structure = structure;
  options.pins = 2;
  OK(tl_writer_open(space, "robot", &options, &writer));
  return writer;
}

static tl_reader *open_matching(tl_namespace *space) {
  tl_reader *reader;
  tl_reader_options options = tl_reader_defaults();
  options.structure = TL_STRUCTURE(robot);
  options.accept = TL_MATCHING_FIELDS;
  OK(tl_reader_open(space, "robot", &options, &reader));
  return reader;
}

static void publish_later(tl_writer *writer, uint64_t jobs) {
  later_robot state;
  memset(&state, 7, sizeof state);
  state.jobs = jobs;
  state.mode = 3;
  state.motors[1].speed = 0.5;
  state.motors[1].code = -4;
  OK(tl_writer_publish(writer, &state, sizeof state, NULL));
}

static void members_are_put_in_their_places(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(later_robot));
  tl_reader *reader = open_matching(space);
  publish_later(writer, 12);
  publish_later(writer, 13);
  robot state;
  tl_info info;
  OK(tl_reader_read(reader, &state, sizeof state, &info));
  CHECK(state.jobs == 13 && state.mode == 3 && state.motors[1].speed == 0.5);
  CHECK(state.motors[1].code == -4 && info.length == sizeof state && info.publication == 2);
  OK(tl_reader_latest(reader, &info));
  CHECK(info.length == sizeof state);
  OK(tl_reader_history(reader, 2, &state, sizeof state, &info));
  CHECK(state.jobs == 12 && info.publication == 1 && info.length == sizeof state);

  for (size_t capacity = 0; capacity < sizeof state; capacity += 8) {
    memset(&info, 0, sizeof info);
    RETURNS(TL_TOO_SMALL, tl_reader_read(reader, &state, capacity, &info));
    CHECK(info.length == sizeof state && info.publication == 2);
    RETURNS(TL_TOO_SMALL, tl_reader_history(reader, 2, &state, capacity, &info));
    CHECK(info.length == sizeof state && info.publication == 1);
  }

  /* These return bytes of the channel as they are. */
  tl_view view;
  RETURNS(TL_INVALID, tl_reader_view(reader, &view));
  SAYS("other places");
  RETURNS(TL_INVALID, tl_reader_read_at(reader, offsetof(robot, mode), &state.mode, 4, &info));
  SAYS("other places");
  char json[512];
  OK(tl_reader_json(reader, json, sizeof json, NULL, NULL));
  CHECK(strstr(json, "\"battery\":117901063") != NULL);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void the_same_struct_is_read_as_it_is(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(robot));
  tl_reader *reader = open_matching(space);
  robot state;
  memset(&state, 0, sizeof state);
  state.mode = 9;
  OK(tl_writer_publish(writer, &state, sizeof state, NULL));
  int32_t mode = 0;
  OK(tl_reader_read_at(reader, offsetof(robot, mode), &mode, sizeof mode, NULL));
  CHECK(mode == 9);
  tl_view view;
  OK(tl_reader_view(reader, &view));
  CHECK(view.info.length == sizeof state && memcmp(view.data, &state, sizeof state) == 0);
  OK(tl_view_release(&view));
  RETURNS(TL_INVALID, tl_reader_read_at(reader, sizeof state, &mode, 1, NULL));
  RETURNS(TL_INVALID, tl_reader_read_at(reader, SIZE_MAX, &mode, 4, NULL));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* A description of a later version of the interface has longer members. */
typedef struct {
  tl_field known;
  size_t unknown;
} later_field;

static void descriptions_may_grow(void) {
  tl_namespace *space = space_open();
  later_field fields[3];
  memset(fields, 0, sizeof fields);
  for (size_t at = 0; at < 3; at++) fields[at].known = TL_STRUCTURE(robot)->fields[at];
  tl_structure structure = *TL_STRUCTURE(robot);
  structure.fields = &fields[0].known;
  structure.field_size = sizeof(later_field);
  tl_writer *writer = open_writer(space, &structure);
  tl_reader *reader = open_matching(space);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  tl_writer_options options = tl_writer_defaults();
  options.structure = &structure;
  fields[2].unknown = 1;
  RETURNS(TL_INVALID, tl_writer_open(space, "robot", &options, &writer));
  SAYS("as new as the header");
  fields[2].unknown = 0;
  fields[1].known = fields[0].known;
  RETURNS(TL_INVALID, tl_writer_open(space, "robot", &options, &writer));
  SAYS("two members of the name \"jobs\"");
  const uint32_t wrong[] = {0, 8, 56, 4097};
  for (size_t at = 0; at < 4; at++) {
    structure.field_size = wrong[at];
    RETURNS(TL_INVALID, tl_writer_open(space, "robot", &options, &writer));
    SAYS("sizeof(tl_field)");
  }
  OK(tl_namespace_close(space));
}

static void json_is_of_the_reader_s_own_channel(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(later_robot));
  tl_reader *reader = open_matching(space);
  char json[512];
  size_t length = 99;
  RETURNS(TL_EMPTY, tl_reader_json(reader, json, sizeof json, &length, NULL));
  SAYS("wait with tl_reader_wait()");
  publish_later(writer, 1);
  OK(tl_reader_json(reader, json, sizeof json, &length, NULL));
  CHECK(length == strlen(json));
  /* It was a read. */
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  OK(tl_writer_close(writer));
  writer = open_writer(space, TL_STRUCTURE(later_robot));
  publish_later(writer, 77);
  RETURNS(TL_CLOSED, tl_reader_json(reader, json, sizeof json, &length, NULL));
  robot state;
  RETURNS(TL_CLOSED, tl_reader_read(reader, &state, sizeof state, NULL));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void a_channel_without_a_writer_can_be_removed(void) {
  tl_namespace *space = space_open();
  RETURNS(TL_NOT_FOUND, tl_namespace_remove(space, "robot"));
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.linger = 1;
  OK(tl_writer_open(space, "robot", &options, &writer));
  OK(tl_writer_publish(writer, "x", 1, NULL));
  RETURNS(TL_IN_USE, tl_namespace_remove(space, "robot"));
  OK(tl_writer_close(writer));
  tl_reader *reader = reader_open(space, "robot");
  OK(tl_namespace_remove(space, "robot"));
  char byte;
  RETURNS(TL_CLOSED, tl_reader_read(reader, &byte, 1, NULL));
  OK(tl_reader_close(reader));
  RETURNS(TL_INVALID, tl_namespace_remove(space, NULL));
  OK(tl_namespace_close(space));
}

static void options_of_a_codec_alone_accept_its_channels(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(robot));
  tl_reader *reader;
  tl_reader_options options = tl_reader_defaults();
  options.codec = TL_PLAIN;
  OK(tl_reader_open(space, "robot", &options, &reader));
  OK(tl_reader_close(reader));
  options.type_name = "robot of 48 bytes aligned to 8";
  OK(tl_reader_open(space, "robot", &options, &reader));
  OK(tl_reader_close(reader));
  options.type_name = NULL;
  options.codec = TL_MESSAGE_PACK;
  RETURNS(TL_MISMATCH, tl_reader_open(space, "robot", &options, &reader));
  SAYS("pod");
  options.accept = TL_SAME_TYPE;
  RETURNS(TL_INVALID, tl_reader_open(space, "robot", &options, &reader));
  options.codec = TL_BYTES;
  options.accept = TL_MATCHING_FIELDS;
  RETURNS(TL_INVALID, tl_reader_open(space, "robot", &options, &reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* Whatever call it is: the state is not the reader's struct. */
static void a_state_of_another_length_is_a_mismatch(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(later_robot));
  publish_later(writer, 7);
  tl_reader *reader;
  tl_reader_options options = tl_reader_defaults();
  options.structure = TL_STRUCTURE(robot);
  options.accept = TL_ANY;
  OK(tl_reader_open(space, "robot", &options, &reader));
  later_robot buffer;
  tl_info info;
  RETURNS(TL_MISMATCH, tl_reader_read(reader, &buffer, sizeof buffer, &info));
  CHECK(info.publication == 1 && info.length == sizeof(later_robot));
  info = (tl_info){0};
  RETURNS(TL_MISMATCH, tl_reader_read_at(reader, offsetof(robot, jobs), &buffer, 8, &info));
  CHECK(info.publication == 1 && info.length == sizeof(later_robot));
  RETURNS(TL_MISMATCH, tl_reader_history(reader, 0, &buffer, sizeof buffer, &info));
  tl_view view;
  RETURNS(TL_MISMATCH, tl_reader_view(reader, &view));
  CHECK(view.hold == NULL);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* What is known of the latest state is not a read of it. */
static void the_latest_info_is_no_read(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = open_writer(space, TL_STRUCTURE(later_robot));
  tl_reader *reader = open_matching(space);
  tl_info info;
  RETURNS(TL_EMPTY, tl_reader_latest(reader, &info));
  publish_later(writer, 7);
  OK(tl_reader_latest(reader, &info));
  CHECK(info.publication == 1);
  OK(tl_reader_wait(reader, 0));
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  OK(tl_writer_close(writer));
  RETURNS(TL_CLOSED, tl_reader_latest(reader, &info));
  OK(tl_reader_close(reader));
  OK(tl_namespace_close(space));
}

/* An error of a commit ends the loan, too. */
static void a_commit_ends_the_loan(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "loans");
  void *memory;
  OK(tl_writer_loan(writer, 8, &memory));
  RETURNS(TL_INVALID, tl_writer_commit(writer, 8, (uint64_t *)((char *)&memory + 1)));
  OK(tl_writer_loan(writer, 8, &memory));
  RETURNS(TL_INVALID, tl_writer_commit(writer, 9, NULL));
  OK(tl_writer_publish(writer, "x", 1, NULL));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("versions: members by their names, wherever they are; descriptions that grow");
  RUN(members_are_put_in_their_places);
  RUN(the_same_struct_is_read_as_it_is);
  RUN(descriptions_may_grow);
  RUN(json_is_of_the_reader_s_own_channel);
  RUN(a_channel_without_a_writer_can_be_removed);
  RUN(options_of_a_codec_alone_accept_its_channels);
  RUN(a_state_of_another_length_is_a_mismatch);
  RUN(the_latest_info_is_no_read);
  RUN(a_commit_ends_the_loan);
  return 0;
}
