/* A robot that publishes its state ten times a second: publish NAMESPACE CHANNEL [TIMES] */
#include "robot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A handler may not call tearless: it asks the loop to end. */
static volatile sig_atomic_t is_over;
static void end(int signal) {
  (void)signal;
  is_over = 1;
}

static void check(tl_status status) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s\n", tl_status_name(status), tl_error_message());
  exit(1);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: publish NAMESPACE CHANNEL [TIMES]\n");
    return 2;
  }
  long times = argc > 3 ? atol(argv[3]) : -1;
  signal(SIGTERM, end);
  signal(SIGINT, end);

  tl_namespace *fleet;
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(robot);
  check(tl_namespace_open(argv[1], NULL, &fleet));
  check(tl_writer_open(fleet, argv[2], &options, &writer));

  robot state = {0};
  state.battery = 100;
  while (!is_over && times-- != 0) {
    state.jobs++;
    state.position[0] = 0.5 * (double)state.jobs;
    check(tl_writer_publish(writer, &state, sizeof state, NULL));
    struct timespec pause = {0, 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }

  printf("%llu jobs\n", (unsigned long long)state.jobs);
  check(tl_writer_close(writer)); /* Removes the channel. */
  check(tl_namespace_close(fleet));
  return 0;
}
