/* States go from C to Rust, to the command and to Python, and come from them. */
#include "check.h"

typedef struct {
  double speed;
  int32_t code;
} motor;
typedef struct {
  uint64_t jobs;
  double position[3];
  motor motors[2];
} robot;
TL_DESCRIBE_AS(motor, "Motor", TL_FIELD(motor, speed), TL_FIELD(motor, code));
TL_DESCRIBE_AS(robot, "Robot", TL_FIELD(robot, jobs), TL_FIELD(robot, position),
               TL_NESTED(robot, motors, motor));

/* As in examples/peer.rs. */
static robot the_robot(void) {
  robot it;
  memset(&it, 0, sizeof it);
  it.jobs = 12;
  it.position[1] = 0.5;
  it.position[2] = -2;
  it.motors[0].speed = 9;
  it.motors[0].code = -1;
  it.motors[1].speed = 0.25;
  it.motors[1].code = 3;
  return it;
}

static const char JSON[] =
    "\"jobs\":12,\"position\":[0.0,0.5,-2.0],\"motors\":[{\"speed\":9.0,\"code\":-1";

static const char *program(const char *variable) {
  const char *path = getenv(variable);
  if (path == NULL) fprintf(stderr, "%s is not set: use make check\n", variable);
  CHECK(path != NULL);
  return path;
}

static void has_the_state(tl_namespace *space, const char *channel) {
  char text[1024];
  tl_reader *reader = reader_open(space, channel);
  OK(tl_reader_json(reader, text, sizeof text, NULL, NULL));
  if (strstr(text, JSON) == NULL) fprintf(stderr, "%s: %s\n", channel, text);
  CHECK(strstr(text, JSON) != NULL);
  OK(tl_reader_close(reader));
}

static void from_rust(void) {
  process rust =
      program_start((const char *[]){program("TEARLESS_PEER"), space_name, "write", NULL});
  char said[6];
  CHECK(read(rust.from, said, sizeof said) == (ssize_t)sizeof said);
  tl_namespace *space = space_open();
  has_the_state(space, "plain");
  has_the_state(space, "packed");
  has_the_state(space, "compact");
  const int32_t accepts[] = {TL_SAME_TYPE, TL_SAME_SCHEMA, TL_MATCHING_FIELDS, TL_ANY};
  for (size_t at = 0; at < 4; at++) {
    tl_reader_options options = tl_reader_defaults();
    options.structure = TL_STRUCTURE(robot);
    options.accept = accepts[at];
    tl_reader *reader;
    robot read, expected = the_robot();
    OK(tl_reader_open(space, "plain", &options, &reader));
    OK(tl_reader_read(reader, &read, sizeof read, NULL));
    CHECK(memcmp(&read, &expected, sizeof read) == 0);
    OK(tl_reader_close(reader));
  }
  char buffer[8];
  tl_info info;
  tl_reader *reader = reader_open(space, "bytes");
  OK(tl_reader_read(reader, buffer, sizeof buffer, &info));
  CHECK(info.length == 5 && memcmp(buffer, "\0rust", 5) == 0);
  OK(tl_reader_close(reader));
  OK(tl_namespace_close(space));
  process_join(&rust);
}

/* The bytes of MessagePack that a program in C makes. */
static size_t pack(unsigned char *out) {
  static const double position[] = {0, 0.5, -2}, speed[] = {9, 0.25};
  static const unsigned char code[] = {0xff, 3};
  unsigned char *at = out;
#define TEXT(text)                                                                                 \
  (*at++ = 0xa0 + sizeof text - 1, memcpy(at, text, sizeof text - 1), at += sizeof text - 1)
#define DOUBLE(value)                                                                              \
  do {                                                                                             \
    uint64_t bits;                                                                                 \
    memcpy(&bits, &(value), 8);                                                                    \
    *at++ = 0xcb;                                                                                  \
    for (int shift = 56; shift >= 0; shift -= 8) *at++ = (unsigned char)(bits >> shift);           \
  } while (0)
  *at++ = 0x83;
  TEXT("jobs");
  *at++ = 12;
  TEXT("position");
  *at++ = 0x93;
  for (int index = 0; index < 3; index++) DOUBLE(position[index]);
  TEXT("motors");
  *at++ = 0x92;
  for (int index = 0; index < 2; index++) {
    *at++ = 0x82;
    TEXT("speed");
    DOUBLE(speed[index]);
    TEXT("code");
    *at++ = code[index];
  }
  return (size_t)(at - out);
}

static const char *tearless_get(const char *channel) {
  static char *text;
  free(text);
  text = output_of((const char *[]){program("TEARLESS_COMMAND"), "--namespace", space_name, "get",
                                    channel, "--json", NULL});
  return text;
}

static void to_python(void) {
  if (system("python3 -c 'import tearless' 2>/dev/null") != 0) {
    fprintf(stderr, "  SKIPPED: the package tearless is not installed for python3\n");
    return;
  }
  static const char SCRIPT[] =
      "import sys, tearless\n"
      "fleet = tearless.Namespace(sys.argv[1])\n"
      "for channel in ('plain', 'packed'):\n"
      "    value = fleet.reader(channel).snapshot().value\n"
      "    assert int(value['jobs']) == 12, (channel, value)\n"
      "    assert list(value['position']) == [0, 0.5, -2], (channel, value)\n"
      "    assert int(value['motors'][1]['code']) == 3, (channel, value)\n";
  free(output_of((const char *[]){"python3", "-c", SCRIPT, space_name, NULL}));
}

static void to_rust_the_command_and_python(void) {
  tl_namespace *space = space_open();
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(robot);
  tl_writer *plain, *packed, *bytes = writer_open(space, "bytes");
  OK(tl_writer_open(space, "plain", &options, &plain));
  options = tl_writer_defaults();
  options.codec = TL_MESSAGE_PACK;
  options.type_name = "Robot";
  OK(tl_writer_open(space, "packed", &options, &packed));
  robot it = the_robot();
  unsigned char state[256];
  OK(tl_writer_publish(plain, &it, sizeof it, NULL));
  OK(tl_writer_publish(packed, state, pack(state), NULL));
  OK(tl_writer_publish(bytes, "\0c", 2, NULL));
  has_the_state(space, "plain");
  has_the_state(space, "packed");
  free(output_of((const char *[]){program("TEARLESS_PEER"), space_name, "read", NULL}));

  CHECK(strstr(tearless_get("plain"), "12") != NULL &&
        strstr(tearless_get("plain"), "-2.0") != NULL);
  CHECK(strstr(tearless_get("plain"), "\"codec\":\"pod\"") != NULL);
  CHECK(strstr(tearless_get("packed"), "\"speed\"") != NULL);
  CHECK(strstr(tearless_get("packed"), "\"writer\":\"alive\"") != NULL);
  char *listed = output_of(
      (const char *[]){program("TEARLESS_COMMAND"), "--namespace", space_name, "ls", NULL});
  CHECK(strstr(listed, "plain") != NULL && strstr(listed, "packed") != NULL);
  free(listed);
  to_python();
  OK(tl_writer_close(plain));
  OK(tl_writer_close(packed));
  OK(tl_writer_close(bytes));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("peers: Rust, the command, Python");
  RUN(from_rust);
  RUN(to_rust_the_command_and_python);
  return 0;
}
