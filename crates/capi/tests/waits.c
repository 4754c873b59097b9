/* Waiting: timeouts, publications of another process, ends, and the order of reads and waits. */
#include "check.h"

static void publishes_when_told(process *parent) {
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "channel");
  OK(tl_namespace_close(space));
  say(parent);
  for (;;) {
    char order;
    if (read(parent->from, &order, 1) != 1) return;
    /* Time for the other process to begin to wait: if it has not, the test shows less. */
    sleep_ms(20);
    if (order == 'e') {
      OK(tl_writer_close(writer));
      return;
    }
    OK(tl_writer_publish(writer, &order, 1, NULL));
  }
}

static void order(process *child, char what) { CHECK(write(child->to, &what, 1) == 1); }

static void waked_by_another_process(void) {
  process child = process_start(publishes_when_told);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel");
  char state;
  tl_info info;
  int64_t begun = now_ns();
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 20 * 1000 * 1000));
  CHECK(now_ns() - begun >= 20 * 1000 * 1000);
  RETURNS(TL_EMPTY, tl_reader_read(reader, &state, 1, &info));
  RETURNS(TL_EMPTY, tl_reader_latest(reader, &info));
  const int64_t timeouts[] = {-1, INT64_MIN, INT64_MAX, 30 * SECOND};
  for (size_t at = 0; at < 4; at++) {
    order(&child, (char)('a' + at));
    OK(tl_reader_wait(reader, timeouts[at]));
    OK(tl_reader_read(reader, &state, 1, &info));
    CHECK(state == (char)('a' + at) && info.publication == at + 1);
    RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  }
  /* What was read needs no wait, and what was published before does. */
  order(&child, 'x');
  OK(tl_reader_wait(reader, -1));
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  OK(tl_reader_read(reader, &state, 1, NULL));
  CHECK(state == 'x');
  order(&child, 'e');
  RETURNS(TL_CLOSED, tl_reader_wait(reader, -1));
  RETURNS(TL_CLOSED, tl_reader_wait(reader, 0));
  RETURNS(TL_CLOSED, tl_reader_read(reader, &state, 1, NULL));
  RETURNS(TL_CLOSED, tl_reader_latest(reader, &info));
  process_join(&child);
  OK(tl_reader_close(reader));
  OK(tl_namespace_close(space));
}

static void waits_for_the_channel(void) {
  tl_namespace *space = space_open();
  tl_reader_options options = tl_reader_defaults();
  tl_reader *reader;
  options.attach_timeout_ns = 20 * 1000 * 1000;
  int64_t begun = now_ns();
  RETURNS(TL_NOT_FOUND, tl_reader_open(space, "channel", &options, &reader));
  CHECK(now_ns() - begun >= 20 * 1000 * 1000 && reader == NULL);
  process child = process_start(publishes_when_told);
  options.attach_timeout_ns = INT64_MAX;
  OK(tl_reader_open(space, "channel", &options, &reader));
  hear(&child);
  order(&child, 'e');
  RETURNS(TL_CLOSED, tl_reader_wait(reader, -1));
  process_join(&child);
  OK(tl_reader_close(reader));
  OK(tl_namespace_close(space));
}

static void unchanged_states_wake_nobody(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "channel");
  tl_reader *reader = reader_open(space, "channel");
  uint64_t number = 0;
  OK(tl_writer_publish_if_changed(writer, "a", 1, &number));
  CHECK(number == 1);
  OK(tl_reader_wait(reader, 0));
  number = 9;
  RETURNS(TL_UNCHANGED, tl_writer_publish_if_changed(writer, "a", 1, &number));
  CHECK(number == 9);
  OK(tl_writer_touch(writer));
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  const tl_writer_state *state;
  OK(tl_reader_writer_state(reader, &state));
  CHECK(state->heartbeat_age_ns >= 0);
  OK(tl_writer_publish_if_changed(writer, "ab", 2, &number));
  CHECK(number == 2);
  OK(tl_writer_publish(writer, "ab", 2, &number));
  OK(tl_writer_publish_if_changed(writer, "ab", 2, &number));
  CHECK(number == 4);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("waits: timeouts, publications of another process, ends");
  RUN(waked_by_another_process);
  RUN(waits_for_the_channel);
  RUN(unchanged_states_wake_nobody);
  return 0;
}
