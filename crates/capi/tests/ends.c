/* What becomes of a channel when its writer is killed, stopped, exits, forks or closes it. */
#include "check.h"

/* All words of a state are the number of its publication. */
typedef struct {
  uint64_t words[1024];
} state;
static state scratch;

static const state *state_of(uint64_t number) {
  for (size_t at = 0; at < sizeof scratch.words / 8; at++) scratch.words[at] = number;
  return &scratch;
}

/* The number of the latest state, which is whole. */
static uint64_t latest(tl_reader *reader) {
  static state read;
  tl_info info;
  OK(tl_reader_read(reader, &read, sizeof read, &info));
  for (size_t at = 0; at < sizeof read.words / 8; at++) CHECK(read.words[at] == info.publication);
  return info.publication;
}

static void publish(tl_writer *writer, uint64_t number) {
  uint64_t given = 0;
  OK(tl_writer_publish(writer, state_of(number), sizeof(state), &given));
  CHECK(given == number);
}

static void publishes_until_killed(process *parent) {
  tl_writer *writer = writer_open(space_open(), "channel");
  for (uint64_t number = 1;; number++) {
    publish(writer, number);
    if (number == 100) say(parent);
  }
}

static void resume_and_end(tl_namespace *space, tl_reader *reader, uint64_t last) {
  tl_writer *writer = writer_open(space, "channel");
  CHECK(latest(reader) == last);
  publish(writer, last + 1);
  CHECK(latest(reader) == last + 1 && writer_of(reader) == TL_WRITER_ALIVE);
  const tl_writer_state *state;
  OK(tl_reader_writer_state(reader, &state));
  CHECK(state->incarnation == 2 && state->pid == (uint64_t)getpid());
  SAME(state->state_name, "alive");
  OK(tl_writer_close(writer));
  CHECK(writer_of(reader) == TL_WRITER_CLOSED);
  RETURNS(TL_CLOSED, tl_reader_read(reader, &scratch, sizeof scratch, NULL));
  OK(tl_reader_close(reader));
  OK(tl_namespace_close(space));
}

static void killed_between_publications(void) {
  process child = process_start(publishes_until_killed);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel");
  CHECK(writer_of(reader) == TL_WRITER_ALIVE);
  process_kill(&child);
  const tl_writer_state *state;
  OK(tl_reader_writer_state(reader, &state));
  CHECK(state->state == TL_WRITER_DEAD && state->health == TL_HEALTH_DEAD);
  CHECK(state->pid == (uint64_t)child.pid);
  CHECK(state->heartbeat_age_ns == -1);
  SAME(state->state_name, "dead");
  SAME(state->health_name, "dead");
  RETURNS(TL_OK, tl_reader_wait(reader, 0));
  RETURNS(TL_TIMED_OUT, tl_reader_wait(reader, 0));
  resume_and_end(space, reader, latest(reader));
}

static void lends_and_waits(process *parent) {
  tl_writer *writer = writer_open(space_open(), "channel");
  publish(writer, 1);
  void *memory;
  OK(tl_writer_loan(writer, sizeof(state), &memory));
  memset(memory, 0xff, sizeof(state));
  say(parent);
  hear(parent);
}

static void killed_while_it_fills_a_loan(void) {
  process child = process_start(lends_and_waits);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel");
  CHECK(latest(reader) == 1);
  process_kill(&child);
  CHECK(writer_of(reader) == TL_WRITER_DEAD);
  resume_and_end(space, reader, 1);
}

static void exits_without_a_close(process *parent) {
  publish(writer_open(space_open(), "channel"), 1);
  say(parent);
  hear(parent);
}

static void exited(void) {
  process child = process_start(exits_without_a_close);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel");
  say(&child);
  process_join(&child);
  const tl_writer_state *state;
  OK(tl_reader_writer_state(reader, &state));
  CHECK(state->state == TL_WRITER_EXITED && state->health == TL_HEALTH_EXITED);
  resume_and_end(space, reader, 1);
}

static void stopped(void) {
  process child = process_start(exits_without_a_close);
  hear(&child);
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel");
  kill(child.pid, SIGSTOP);
  int status;
  CHECK(waitpid(child.pid, &status, WUNTRACED) == child.pid && WIFSTOPPED(status));
  CHECK(writer_of(reader) == TL_WRITER_STOPPED);
  tl_writer *writer;
  RETURNS(TL_IN_USE, tl_writer_open(space, "channel", NULL, &writer));
  CHECK(writer == NULL);
  kill(child.pid, SIGCONT);
  CHECK(waitpid(child.pid, &status, WCONTINUED) == child.pid && WIFCONTINUED(status));
  CHECK(writer_of(reader) == TL_WRITER_ALIVE);
  say(&child);
  process_join(&child);
  resume_and_end(space, reader, 1);
}

static void closed_and_lingering(void) {
  tl_namespace *space = space_open();
  tl_writer_options options = tl_writer_defaults();
  options.linger = 1;
  tl_writer *writer;
  OK(tl_writer_open(space, "channel", &options, &writer));
  publish(writer, 1);
  OK(tl_writer_close(writer));
  tl_reader *reader = reader_open(space, "channel");
  CHECK(latest(reader) == 1 && writer_of(reader) == TL_WRITER_CLOSED);
  RETURNS(TL_CLOSED, tl_reader_wait(reader, 0));
  resume_and_end(space, reader, 1);
}

static void a_channel_of_that_name_again(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "channel");
  publish(writer, 1);
  tl_reader *reader = reader_open(space, "channel"), *other;
  const tl_channel *channel;
  OK(tl_reader_channel(reader, &channel));
  uint64_t instance = channel->instance;
  OK(tl_writer_close(writer));
  RETURNS(TL_NOT_FOUND, tl_reader_open(space, "channel", NULL, &other));
  CHECK(other == NULL);
  writer = writer_open(space, "channel");
  publish(writer, 1);
  RETURNS(TL_CLOSED, tl_reader_read(reader, &scratch, sizeof scratch, NULL));
  OK(tl_reader_close(reader));
  reader = reader_open(space, "channel");
  OK(tl_reader_channel(reader, &channel));
  CHECK(channel->instance != instance && latest(reader) == 1);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* --- Forks: the handles of the parent, which the child has, too. */

static tl_namespace *parents_space;
static tl_writer *parents_writer;
static tl_reader *parents_reader;

static void uses_the_parents_handles(process *parent) {
  uint64_t number;
  void *memory = &number;
  RETURNS(TL_FORKED, tl_writer_publish(parents_writer, state_of(9), sizeof(state), &number));
  SAYS("fork");
  RETURNS(TL_FORKED, tl_writer_publish_if_changed(parents_writer, "x", 1, NULL));
  RETURNS(TL_FORKED, tl_writer_loan(parents_writer, 8, &memory));
  CHECK(memory == NULL);
  RETURNS(TL_FORKED, tl_writer_touch(parents_writer));
  CHECK(latest(parents_reader) == 1 && writer_of(parents_reader) == TL_WRITER_ALIVE);
  OK(tl_writer_close(parents_writer));
  OK(tl_reader_close(parents_reader));
  /* The namespace works: another channel is opened by it. */
  tl_writer *own = writer_open(parents_space, "own");
  OK(tl_writer_publish(own, "x", 1, NULL));
  OK(tl_writer_close(own));
  OK(tl_namespace_close(parents_space));
  say(parent);
  hear(parent);
}

static void a_fork_publishes_nothing(void) {
  parents_space = space_open();
  parents_writer = writer_open(parents_space, "channel");
  parents_reader = reader_open(parents_space, "channel");
  publish(parents_writer, 1);
  process child = process_start(uses_the_parents_handles);
  hear(&child);
  CHECK(latest(parents_reader) == 1 && writer_of(parents_reader) == TL_WRITER_ALIVE);
  publish(parents_writer, 2);
  CHECK(latest(parents_reader) == 2);
  say(&child);
  process_join(&child);
  publish(parents_writer, 3);
  CHECK(latest(parents_reader) == 3 && writer_of(parents_reader) == TL_WRITER_ALIVE);
  OK(tl_writer_close(parents_writer));
  OK(tl_reader_close(parents_reader));
  OK(tl_namespace_close(parents_space));
}

static void has_the_parents_loan(process *parent) {
  RETURNS(TL_FORKED, tl_writer_commit(parents_writer, sizeof(state), NULL));
  RETURNS(TL_INVALID, tl_writer_commit(parents_writer, sizeof(state), NULL));
  RETURNS(TL_INVALID, tl_writer_discard(parents_writer));
  OK(tl_writer_close(parents_writer));
  say(parent);
}

static void a_fork_with_a_loan(void) {
  parents_space = space_open();
  parents_writer = writer_open(parents_space, "channel");
  void *memory;
  OK(tl_writer_loan(parents_writer, sizeof(state), &memory));
  process child = process_start(has_the_parents_loan);
  hear(&child);
  process_join(&child);
  memcpy(memory, state_of(1), sizeof(state));
  OK(tl_writer_commit(parents_writer, sizeof(state), NULL));
  tl_reader *reader = reader_open(parents_space, "channel");
  CHECK(latest(reader) == 1);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(parents_writer));
  OK(tl_namespace_close(parents_space));
}

int main(void) {
  BEGIN("ends: writers that are killed, stopped, exit, close and fork");
  RUN(killed_between_publications);
  RUN(killed_while_it_fills_a_loan);
  RUN(exited);
  RUN(stopped);
  RUN(closed_and_lingering);
  RUN(a_channel_of_that_name_again);
  RUN(a_fork_publishes_nothing);
  RUN(a_fork_with_a_loan);
  return 0;
}
