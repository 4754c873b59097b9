/* Prints what a robot publishes, until it has ended: read NAMESPACE CHANNEL [TIMES] */
#include "robot.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t SECOND = 1000 * 1000 * 1000;

static tl_status check(tl_status status) {
  if (status >= 0) return status;
  fprintf(stderr, "%s: %s\n", tl_status_name(status), tl_error_message());
  exit(1);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: read NAMESPACE CHANNEL [TIMES]\n");
    return 2;
  }
  long times = argc > 3 ? atol(argv[3]) : -1;

  tl_namespace *fleet;
  tl_reader *reader;
  tl_reader_options options = tl_reader_defaults();
  options.structure = TL_STRUCTURE(robot);
  options.attach_timeout_ns = 10 * SECOND; /* The robot may start after this program. */
  check(tl_namespace_open(argv[1], NULL, &fleet));
  check(tl_reader_open(fleet, argv[2], &options, &reader));

  while (times != 0) {
    robot state;
    tl_info info;
    tl_status status = tl_reader_wait(reader, SECOND);
    if (status == TL_CLOSED) {
      printf("the robot has closed its channel\n");
      break;
    }
    if (check(status) == TL_OK && check(tl_reader_read(reader, &state, sizeof state, &info)) == TL_OK) {
      printf("jobs=%llu x=%.1f battery=%d publication=%llu\n", (unsigned long long)state.jobs,
             state.position[0], state.battery, (unsigned long long)info.publication);
      fflush(stdout);
      times--;
    }
    /* The death of a writer ends no wait, for another may resume the channel. */
    const tl_writer_state *writer;
    check(tl_reader_writer_state(reader, &writer));
    if (writer->state == TL_WRITER_DEAD || writer->state == TL_WRITER_EXITED) {
      printf("the robot is %s; its last state stays\n", writer->state_name);
      break;
    }
  }

  check(tl_reader_close(reader));
  check(tl_namespace_close(fleet));
  return 0;
}
