/* Every mistake that can be caught is an error that says so in words of C, and changes nothing. */
#include <pthread.h>

#include "check.h"

static tl_namespace *space;
static tl_writer *writer;
static tl_reader *reader;
static tl_channels *channels;

static void open_all(void) {
  space = space_open();
  writer = writer_open(space, "channel");
  OK(tl_writer_publish(writer, "state", 5, NULL));
  reader = reader_open(space, "channel");
  OK(tl_channels_open(space, &channels));
}

static void close_all(void) {
  OK(tl_channels_close(channels));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

/* --- NULL for each argument, and what is called so in the error. */

static void null_for_each_argument(void) {
  open_all();
  char buffer[8];
  uint64_t number;
  void *memory;
  tl_info info;
  tl_namespace *other_space;
  tl_writer *other_writer;
  tl_reader *other_reader;
  tl_channels *other_channels;
  const tl_channel *channel;
  const tl_writer_state *state;
  tl_view view;
#define NULL_IS(status, part, call)                                                                \
  do {                                                                                             \
    RETURNS(status, call);                                                                         \
    if ((status) < 0) SAYS(part);                                                                  \
  } while (0)
#define INVALID(part, call) NULL_IS(TL_INVALID, part, call)
  INVALID("namespace is NULL", tl_namespace_open(NULL, NULL, &other_space));
  INVALID("is NULL", tl_namespace_open("x", NULL, NULL));
  OK(tl_namespace_close(NULL));
  INVALID("namespace is NULL", tl_channels_open(NULL, &other_channels));
  CHECK(other_channels == NULL);
  INVALID("is NULL", tl_channels_open(space, NULL));
  INVALID("list of channels is NULL", tl_channels_next(NULL, &channel));
  CHECK(channel == NULL);
  INVALID("is NULL", tl_channels_next(channels, NULL));
  OK(tl_channels_close(NULL));

  INVALID("namespace is NULL", tl_writer_open(NULL, "other", NULL, &other_writer));
  CHECK(other_writer == NULL);
  INVALID("channel is NULL", tl_writer_open(space, NULL, NULL, &other_writer));
  INVALID("is NULL", tl_writer_open(space, "other", NULL, NULL));
  INVALID("writer is NULL", tl_writer_publish(NULL, "x", 1, &number));
  INVALID("state is NULL", tl_writer_publish(writer, NULL, 1, &number));
  INVALID("writer is NULL", tl_writer_publish_if_changed(NULL, "x", 1, &number));
  INVALID("state is NULL", tl_writer_publish_if_changed(writer, NULL, 1, &number));
  INVALID("writer is NULL", tl_writer_loan(NULL, 1, &memory));
  CHECK(memory == NULL);
  INVALID("is NULL", tl_writer_loan(writer, 1, NULL));
  INVALID("writer is NULL", tl_writer_commit(NULL, 1, &number));
  INVALID("writer is NULL", tl_writer_discard(NULL));
  INVALID("writer is NULL", tl_writer_touch(NULL));
  OK(tl_writer_close(NULL));

  INVALID("namespace is NULL", tl_reader_open(NULL, "channel", NULL, &other_reader));
  CHECK(other_reader == NULL);
  INVALID("channel is NULL", tl_reader_open(space, NULL, NULL, &other_reader));
  INVALID("is NULL", tl_reader_open(space, "channel", NULL, NULL));
  INVALID("reader is NULL", tl_reader_latest(NULL, &info));
  INVALID("is NULL", tl_reader_latest(reader, NULL));
  INVALID("reader is NULL", tl_reader_read(NULL, buffer, 8, &info));
  INVALID("buffer is NULL", tl_reader_read(reader, NULL, 8, &info));
  NULL_IS(TL_OK, "", tl_reader_read(reader, buffer, 8, NULL));
  INVALID("reader is NULL", tl_reader_read_at(NULL, 0, buffer, 8, &info));
  INVALID("buffer is NULL", tl_reader_read_at(reader, 0, NULL, 8, &info));
  NULL_IS(TL_OK, "", tl_reader_read_at(reader, 0, buffer, 5, NULL));
  INVALID("reader is NULL", tl_reader_history(NULL, 0, buffer, 8, &info));
  INVALID("buffer is NULL", tl_reader_history(reader, 0, NULL, 8, &info));
  INVALID("is NULL", tl_reader_history(reader, 0, buffer, 8, NULL));
  INVALID("reader is NULL", tl_reader_view(NULL, &view));
  CHECK(view.hold == NULL && view.data == NULL);
  INVALID("is NULL", tl_reader_view(reader, NULL));
  OK(tl_view_release(NULL));
  OK(tl_view_release(&view));
  INVALID("reader is NULL", tl_reader_wait(NULL, 0));
  INVALID("reader is NULL", tl_reader_json(NULL, buffer, 8, NULL, NULL));
  INVALID("buffer is NULL", tl_reader_json(reader, NULL, 8, NULL, NULL));
  INVALID("reader is NULL", tl_reader_channel(NULL, &channel));
  INVALID("is NULL", tl_reader_channel(reader, NULL));
  INVALID("reader is NULL", tl_reader_writer_state(NULL, &state));
  INVALID("is NULL", tl_reader_writer_state(reader, NULL));
  OK(tl_reader_close(NULL));
  close_all();
}

/* --- Sizes */

static void wrong_sizes(void) {
  open_all();
  char buffer[8] = "before";
  tl_info info;
  void *memory;
  RETURNS(TL_TOO_SMALL, tl_reader_read(reader, buffer, 4, &info));
  CHECK(info.length == 5 && info.publication == 1);
  SAYS("5");
  OK(tl_reader_read(reader, buffer, info.length, &info));
  RETURNS(TL_TOO_SMALL, tl_reader_history(reader, 0, buffer, 0, &info));
  CHECK(info.length == 5);
  RETURNS(TL_INVALID, tl_reader_read(reader, buffer, SIZE_MAX, &info));
  SAYS("negative");
  RETURNS(TL_INVALID, tl_writer_publish(writer, buffer, SIZE_MAX, NULL));
  RETURNS(TL_INVALID, tl_reader_read(reader, buffer, 8, (tl_info *)(uintptr_t)((char *)&info + 1)));
  SAYS("aligned");
  RETURNS(TL_LIMIT, tl_writer_loan(writer, (size_t)65 << 20, &memory));
  CHECK(memory == NULL);
  RETURNS(TL_LIMIT, tl_writer_loan(writer, SIZE_MAX, &memory));
  OK(tl_writer_loan(writer, 8, &memory));
  RETURNS(TL_INVALID, tl_writer_commit(writer, 9, NULL));
  SAYS("8 bytes, not 9");
  RETURNS(TL_INVALID, tl_writer_commit(writer, 8, NULL));
  SAYS("tl_writer_loan()");
  OK(tl_reader_read(reader, buffer, 8, &info));
  CHECK(info.publication == 1 && memcmp(buffer, "state", 5) == 0);

  typedef struct {
    uint64_t jobs;
  } robot;
  TL_DESCRIBE(robot, TL_FIELD(robot, jobs));
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(robot);
  tl_writer *plain, *packed;
  OK(tl_writer_open(space, "plain", &options, &plain));
  RETURNS(TL_INVALID, tl_writer_publish(plain, buffer, 7, NULL));
  SAYS("sizeof");
  RETURNS(TL_INVALID, tl_writer_publish_if_changed(plain, buffer, 0, NULL));
  RETURNS(TL_INVALID, tl_writer_loan(plain, 9, &memory));
  OK(tl_writer_loan(plain, 8, &memory));
  RETURNS(TL_INVALID, tl_writer_commit(plain, 4, NULL));
  OK(tl_writer_close(plain));

  options = tl_writer_defaults();
  options.codec = TL_MESSAGE_PACK;
  options.type_name = "Worker";
  OK(tl_writer_open(space, "packed", &options, &packed));
  RETURNS(TL_ENCODE, tl_writer_publish(packed, "\xc1", 1, NULL));
  RETURNS(TL_ENCODE, tl_writer_publish(packed, "", 0, NULL));
  RETURNS(TL_ENCODE, tl_writer_publish(packed, "\x01\x02", 2, NULL));
  RETURNS(TL_ENCODE, tl_writer_publish(packed, "\xdf\xff\xff\xff\xff", 5, NULL));
  OK(tl_writer_loan(packed, 4, &memory));
  memset(memory, 0xc1, 4);
  RETURNS(TL_ENCODE, tl_writer_commit(packed, 4, NULL));
  OK(tl_writer_publish(packed, "\x01", 1, NULL));
  OK(tl_writer_close(packed));
  close_all();
}

/* --- Handles */

static void loans_are_exclusive(void) {
  open_all();
  void *memory, *other;
  uint64_t number;
  RETURNS(TL_INVALID, tl_writer_discard(writer));
  OK(tl_writer_loan(writer, 8, &memory));
  CHECK((uintptr_t)memory % 8 == 0);
  RETURNS(TL_IN_USE, tl_writer_loan(writer, 8, &other));
  CHECK(other == NULL);
  SAYS("tl_writer_commit()");
  RETURNS(TL_IN_USE, tl_writer_publish(writer, "x", 1, NULL));
  RETURNS(TL_IN_USE, tl_writer_publish_if_changed(writer, "x", 1, NULL));
  OK(tl_writer_touch(writer));
  OK(tl_writer_discard(writer));
  OK(tl_writer_loan(writer, 8, &memory));
  memcpy(memory, "lent", 4);
  OK(tl_writer_commit(writer, 4, &number));
  CHECK(number == 2);
  char buffer[8];
  tl_info info;
  OK(tl_reader_read(reader, buffer, sizeof buffer, &info));
  CHECK(info.length == 4 && memcmp(buffer, "lent", 4) == 0);
  OK(tl_writer_loan(writer, 8, &memory));
  close_all();
}

/* `handle` in place of one of each kind. */
static void refused(tl_status status, void *handle, const void *own, const char *part) {
  char buffer[8];
  const void *place;
  tl_view view;
  void *memory;
#define TRY(call)                                                                                  \
  RETURNS(status, call);                                                                           \
  SAYS(part)
  if (own != space) {
    tl_writer *other_writer;
    tl_reader *other_reader;
    tl_channels *other_channels;
    TRY(tl_writer_open(handle, "other", NULL, &other_writer));
    TRY(tl_reader_open(handle, "channel", NULL, &other_reader));
    TRY(tl_channels_open(handle, &other_channels));
    TRY(tl_namespace_close(handle));
  }
  if (own != writer) {
    TRY(tl_writer_publish(handle, "x", 1, NULL));
    TRY(tl_writer_publish_if_changed(handle, "x", 1, NULL));
    TRY(tl_writer_loan(handle, 1, &memory));
    TRY(tl_writer_commit(handle, 1, NULL));
    TRY(tl_writer_discard(handle));
    TRY(tl_writer_touch(handle));
    TRY(tl_writer_close(handle));
  }
  if (own != reader) {
    TRY(tl_reader_latest(handle, &(tl_info){0}));
    TRY(tl_reader_read(handle, buffer, 8, NULL));
    TRY(tl_reader_read_at(handle, 0, buffer, 1, NULL));
    TRY(tl_reader_history(handle, 0, buffer, 8, &(tl_info){0}));
    TRY(tl_reader_view(handle, &view));
    TRY(tl_reader_wait(handle, 0));
    TRY(tl_reader_json(handle, buffer, 8, NULL, NULL));
    TRY(tl_reader_channel(handle, (const tl_channel **)&place));
    TRY(tl_reader_writer_state(handle, (const tl_writer_state **)&place));
    TRY(tl_reader_close(handle));
  }
  if (own != channels) {
    TRY(tl_channels_next(handle, (const tl_channel **)&place));
    TRY(tl_channels_close(handle));
  }
#undef TRY
}

static void handles_of_another_kind(void) {
  open_all();
  refused(TL_INVALID, space, space, "this is no");
  refused(TL_INVALID, writer, writer, "this is no");
  refused(TL_INVALID, reader, reader, "this is no");
  refused(TL_INVALID, channels, channels, "this is no");
  /* A view is none of them, and they are no views. */
  tl_view view;
  OK(tl_reader_view(reader, &view));
  refused(TL_INVALID, view.hold, NULL, "this is no");
  tl_view no_view = {.hold = (tl_hold *)(void *)reader};
  RETURNS(TL_INVALID, tl_view_release(&no_view));
  SAYS("this is no view");
  OK(tl_view_release(&view));
  /* Bytes that are no handle at all, and an address that none can have. */
  static uint64_t zeros[64];
  refused(TL_INVALID, zeros, NULL, "this is no");
  refused(TL_INVALID, (char *)zeros + 1, NULL, "no address of a handle");
  close_all();
}

static void closed_twice_and_used_after(void) {
  open_all();
  tl_namespace *other_space;
  OK(tl_namespace_open(space_name, NULL, &other_space));
  tl_view view, copy;
  OK(tl_reader_view(reader, &view));
  copy = view;
  OK(tl_view_release(&view));
  CHECK(view.hold == NULL && view.data == NULL);
  OK(tl_view_release(&view));
  RETURNS(TL_CLOSED, tl_view_release(&copy));
  SAYS("the view was closed");
  close_all();
  RETURNS(TL_CLOSED, tl_channels_close(channels));
  SAYS("list of channels was closed");
  RETURNS(TL_CLOSED, tl_reader_close(reader));
  RETURNS(TL_CLOSED, tl_writer_close(writer));
  RETURNS(TL_CLOSED, tl_namespace_close(space));
  char buffer[8];
  tl_writer *other;
  RETURNS(TL_CLOSED, tl_writer_publish(writer, "x", 1, NULL));
  SAYS("the writer was closed: open another one");
  RETURNS(TL_CLOSED, tl_reader_read(reader, buffer, 8, NULL));
  RETURNS(TL_CLOSED, tl_writer_open(space, "channel", NULL, &other));
  /* Handles that were closed before 120 others are still known. */
  for (int number = 0; number < 120; number++) {
    tl_channels *list;
    OK(tl_channels_open(other_space, &list));
    OK(tl_channels_close(list));
  }
  RETURNS(TL_CLOSED, tl_writer_close(writer));
  OK(tl_namespace_close(other_space));
}

enum { REMEMBERED = 128 };

/* The last of these views, which were released before, are known to be closed. */
static void are_known(const tl_view *released, int count) {
  for (int back = 1; back <= REMEMBERED && back <= count; back++) {
    tl_view copy = released[count - back];
    RETURNS(TL_CLOSED, tl_view_release(&copy));
  }
}

/* New handles take the memory of closed ones, but of none of the last 128. */
static void the_last_closed_handles_are_known(void) {
  enum { ROUNDS = 3 * REMEMBERED };
  static tl_view copies[2 * ROUNDS];
  open_all();
  for (int round = 0; round < ROUNDS; round++) {
    tl_view views[2];
    for (int which = 0; which < 2; which++) {
      OK(tl_reader_view(reader, &views[which]));
      copies[2 * round + which] = views[which];
      are_known(copies, 2 * round);
    }
    for (int which = 0; which < 2; which++) {
      OK(tl_view_release(&views[which]));
      are_known(copies, 2 * round + which + 1);
    }
  }
  /* Each of those that are open is another one. */
  static tl_view open[2 * REMEMBERED];
  for (int number = 0; number < 2 * REMEMBERED; number++) {
    OK(tl_reader_view(reader, &open[number]));
    for (int other = 0; other < number; other++) CHECK(open[other].hold != open[number].hold);
  }
  for (int number = 0; number < 2 * REMEMBERED; number++) OK(tl_view_release(&open[number]));
  close_all();
}

/* A namespace may be closed before what was opened by it. */
static void closed_in_any_order(void) {
  open_all();
  OK(tl_namespace_close(space));
  OK(tl_writer_publish(writer, "later", 5, NULL));
  char buffer[8];
  OK(tl_reader_read(reader, buffer, sizeof buffer, NULL));
  CHECK(memcmp(buffer, "later", 5) == 0);
  const tl_channel *channel;
  OK(tl_channels_next(channels, &channel));
  OK(tl_writer_close(writer));
  OK(tl_channels_close(channels));
  OK(tl_reader_close(reader));
}

/* --- Threads */

static volatile int is_about_to_wait;

static void *waits(void *status) {
  is_about_to_wait = 1;
  *(tl_status *)status = tl_reader_wait(reader, -1);
  return NULL;
}

static void two_threads_at_one_reader(void) {
  open_all();
  pthread_t thread;
  tl_status waited = TL_PANIC, status;
  OK(tl_reader_wait(reader, 0));
  CHECK(pthread_create(&thread, NULL, waits, &waited) == 0);
  /* The reader is in use once the other thread waits, and it is not looked at before. */
  while (!is_about_to_wait) sched_yield();
  sleep(1);
  status = tl_reader_wait(reader, 0);
  CHECK(status == TL_IN_USE);
  SAYS("use it in one, or behind a lock");
  char buffer[8];
  RETURNS(TL_IN_USE, tl_reader_read(reader, buffer, 8, NULL));
  RETURNS(TL_IN_USE, tl_reader_close(reader));
  OK(tl_writer_publish(writer, "x", 1, NULL));
  pthread_join(thread, NULL);
  CHECK(waited == TL_OK);
  OK(tl_reader_read(reader, buffer, 8, NULL));
  close_all();
}

static void *opens_and_closes(void *unused) {
  (void)unused;
  for (int round = 0; round < 200; round++) {
    tl_reader *own;
    tl_channels *list;
    char buffer[8];
    OK(tl_reader_open(space, "channel", NULL, &own));
    OK(tl_reader_read(own, buffer, 8, NULL));
    OK(tl_channels_open(space, &list));
    OK(tl_channels_close(list));
    OK(tl_reader_close(own));
  }
  /* Each thread has a text of its own. */
  SAME(tl_error_message(), "");
  return NULL;
}

static void threads_at_one_namespace(void) {
  open_all();
  pthread_t threads[4];
  for (int at = 0; at < 4; at++)
    CHECK(pthread_create(&threads[at], NULL, opens_and_closes, NULL) == 0);
  for (int at = 0; at < 4; at++) pthread_join(threads[at], NULL);
  close_all();
}

/* --- Structs of options that begin with their size */

static void sizes_of_options(void) {
  open_all();
  /* As a later version of the header may have it. */
  struct {
    tl_reader_options options;
    uint64_t later[4];
  } longer;
  tl_reader *other;
  memset(&longer, 0, sizeof longer);
  longer.options.struct_size = sizeof longer;
  OK(tl_reader_open(space, "channel", &longer.options, &other));
  OK(tl_reader_close(other));
  longer.later[2] = 1;
  RETURNS(TL_INVALID, tl_reader_open(space, "channel", &longer.options, &other));
  SAYS("not 0");
  longer.later[2] = 0;
  /* Beyond the size, nothing is looked at. */
  longer.options.struct_size = sizeof(tl_reader_options);
  longer.later[0] = 1;
  OK(tl_reader_open(space, "channel", &longer.options, &other));
  OK(tl_reader_close(other));
  /* An older version knows fewer members, and what follows is not of the struct. */
  for (uint32_t size = 4; size <= sizeof(tl_reader_options); size++) {
    longer.options = tl_reader_defaults();
    longer.options.struct_size = size;
    if (size <= offsetof(tl_reader_options, attach_timeout_ns))
      longer.options.attach_timeout_ns = -1;
    OK(tl_reader_open(space, "channel", &longer.options, &other));
    OK(tl_reader_close(other));
  }
  const uint32_t wrong[] = {0, 1, 3, 4097, 0x80000000, UINT32_MAX};
  for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
    tl_writer_options options = tl_writer_defaults();
    tl_namespace_options of_space = tl_namespace_defaults();
    options.struct_size = of_space.struct_size = longer.options.struct_size = wrong[at];
    tl_writer *other_writer;
    tl_namespace *other_space;
    RETURNS(TL_INVALID, tl_reader_open(space, "channel", &longer.options, &other));
    SAYS("tl_reader_defaults()");
    RETURNS(TL_INVALID, tl_writer_open(space, "other", &options, &other_writer));
    SAYS("tl_writer_defaults()");
    RETURNS(TL_INVALID, tl_namespace_open("x", &of_space, &other_space));
    SAYS("tl_namespace_defaults()");
  }
  close_all();
}

/* --- Texts */

static void names_and_texts(void) {
  const char *address = tl_error_message();
  open_all();
  static const struct {
    tl_status status;
    const char *name;
  } expected[] = {{TL_OK, "TL_OK"},
                  {TL_EMPTY, "TL_EMPTY"},
                  {TL_TIMED_OUT, "TL_TIMED_OUT"},
                  {TL_END, "TL_END"},
                  {TL_UNCHANGED, "TL_UNCHANGED"},
                  {TL_INVALID, "TL_INVALID"},
                  {TL_NOT_FOUND, "TL_NOT_FOUND"},
                  {TL_IN_USE, "TL_IN_USE"},
                  {TL_CLOSED, "TL_CLOSED"},
                  {TL_FORKED, "TL_FORKED"},
                  {TL_MISMATCH, "TL_MISMATCH"},
                  {TL_TOO_SMALL, "TL_TOO_SMALL"},
                  {TL_LIMIT, "TL_LIMIT"},
                  {TL_ACCESS, "TL_ACCESS"},
                  {TL_CORRUPT, "TL_CORRUPT"},
                  {TL_ENCODE, "TL_ENCODE"},
                  {TL_CONTENDED, "TL_CONTENDED"},
                  {TL_SYSTEM, "TL_SYSTEM"},
                  {TL_PANIC, "TL_PANIC"},
                  {5, "unknown status"},
                  {-15, "unknown status"},
                  {INT32_MIN, "unknown status"}};
  for (size_t at = 0; at < sizeof expected / sizeof *expected; at++)
    SAME(tl_status_name(expected[at].status), expected[at].name);
  CHECK(strchr(tl_version(), '.') != NULL);

  RETURNS(TL_INVALID, tl_reader_wait(NULL, 0));
  char kept[256];
  snprintf(kept, sizeof kept, "%s", tl_error_message());
  RETURNS(TL_TIMED_OUT, (tl_reader_wait(reader, 0), tl_reader_wait(reader, 0)));
  SAME(tl_error_message(), kept);
  CHECK(tl_error_message() == address);

  /* Names that can't be used, of which long ones are cut, and zeros and line feeds shown. */
  static char name[6000];
  memset(name, 'n', sizeof name - 1);
  tl_writer *other;
  RETURNS(TL_INVALID, tl_writer_open(space, name, NULL, &other));
  CHECK(strlen(tl_error_message()) < 4096);
  RETURNS(TL_INVALID, tl_writer_open(space, "a\nb", NULL, &other));
  CHECK(strchr(tl_error_message(), '\n') == NULL);
  RETURNS(TL_INVALID, tl_writer_open(space, "", NULL, &other));
  RETURNS(TL_INVALID, tl_writer_open(space, "\xc3\x28", NULL, &other));
  SAYS("UTF-8");
  tl_namespace *other_space;
  RETURNS(TL_INVALID, tl_namespace_open("", NULL, &other_space));
  RETURNS(TL_INVALID, tl_namespace_open(name, NULL, &other_space));
  CHECK(other_space == NULL && tl_error_message() == address);
  close_all();
}

int main(void) {
  BEGIN("misuse: NULL, sizes, handles, threads, options, texts");
  RUN(names_and_texts);
  RUN(null_for_each_argument);
  RUN(wrong_sizes);
  RUN(loans_are_exclusive);
  RUN(handles_of_another_kind);
  RUN(closed_twice_and_used_after);
  RUN(the_last_closed_handles_are_known);
  RUN(closed_in_any_order);
  RUN(two_threads_at_one_reader);
  RUN(threads_at_one_namespace);
  RUN(sizes_of_options);
  return 0;
}
