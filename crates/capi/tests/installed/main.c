/* What a user builds with the installed files, in C or C++: a robot that reads itself. */
#include <stdio.h>
#include <tearless.h>

typedef enum { IDLE, BUSY } phase;
typedef struct {
  double speed;
  int32_t code;
} motor;
typedef struct {
  uint64_t jobs;
  float grid[2][3];
  phase now;
  motor motors[2];
} robot;
TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code));
TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_MATRIX(robot, grid), TL_FIELD(robot, now),
            TL_NESTED(robot, motors, motor));

static int failed(const char *what) {
  fprintf(stderr, "%s: %s\n", what, tl_error_message());
  return 1;
}

int main(void) {
  tl_namespace *fleet;
  tl_writer *writer;
  tl_reader *reader;
  tl_writer_options options = tl_writer_defaults();
  robot it;
  char text[512];
  if (tl_abi_version() != TL_ABI_VERSION) return failed("another library");
  if (tl_namespace_open("installed", NULL, &fleet) != TL_OK) return failed("namespace");
  options.structure = TL_STRUCTURE(robot);
  if (tl_writer_open(fleet, "robot", &options, &writer) != TL_OK) return failed("writer");
  memset(&it, 0, sizeof it);
  it.jobs = 42;
  it.now = BUSY;
  if (tl_writer_publish(writer, &it, sizeof it, NULL) != TL_OK) return failed("publish");
  if (tl_reader_open(fleet, "robot", NULL, &reader) != TL_OK) return failed("reader");
  if (tl_reader_json(reader, text, sizeof text, NULL, NULL) != TL_OK) return failed("json");
  printf("%s\n", text);
  tl_reader_close(reader);
  if (tl_writer_close(writer) != TL_OK) return failed("close");
  tl_namespace_close(fleet);
  return 0;
}
