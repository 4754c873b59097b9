/* All channels of a namespace, whatever language publishes them: dashboard NAMESPACE */
#include <tearless.h>

#include <stdio.h>
#include <stdlib.h>

static tl_status check(tl_status status) {
  if (status >= 0) return status;
  fprintf(stderr, "%s: %s\n", tl_status_name(status), tl_error_message());
  exit(1);
}

/* One line: how the worker is, how old its state is, and the state. */
static void show(tl_namespace *fleet, const char *name) {
  static char text[4096];
  tl_reader *reader;
  tl_info info = {0};
  const tl_writer_state *state;
  if (tl_reader_open(fleet, name, NULL, &reader) != TL_OK) {
    printf("%-12s %s\n", name, tl_error_message()); /* It ended just now, for example. */
    return;
  }
  check(tl_reader_writer_state(reader, &state));
  printf("%-12s %-10s pid %-8llu ", name, state->health_name, (unsigned long long)state->pid);
  tl_status status = tl_reader_json(reader, text, sizeof text, NULL, &info);
  if (status == TL_OK) {
    printf("%6.1f s  %s\n", (double)tl_age_ns(&info) / 1e9, text);
  } else if (status == TL_EMPTY) {
    printf("nothing published yet\n");
  } else {
    printf("%s\n", tl_error_message());
  }
  check(tl_reader_close(reader));
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: dashboard NAMESPACE\n");
    return 2;
  }
  tl_namespace *fleet;
  tl_channels *channels;
  const tl_channel *channel;
  check(tl_namespace_open(argv[1], NULL, &fleet));
  check(tl_channels_open(fleet, &channels));
  while (check(tl_channels_next(channels, &channel)) == TL_OK) show(fleet, channel->name);
  check(tl_channels_close(channels));
  check(tl_namespace_close(fleet));
  return 0;
}
