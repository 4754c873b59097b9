/* Readers in other processes never see a torn state, whatever becomes of the writer.
 * TEARLESS_SECONDS says how long. */
#include <sys/mman.h>

#include "check.h"

enum { READERS = 2, WORDS = 4096 };

/* What the readers have counted, in memory that all processes share. */
typedef struct {
  _Atomic uint64_t reads, views, torn, backwards;
} counts;
static counts *shared;

/* The words of a state: as many as it has bytes for, which differs, and all are its number. */
static bool is_whole(const void *data, const tl_info *info) {
  const uint64_t *words = data;
  for (size_t at = 0; at < info->length / 8; at++)
    if (words[at] != info->publication) return false;
  return info->length == 8 * (1 + info->publication * 37 % WORDS);
}

static void writes(process *parent) {
  static uint64_t state[WORDS];
  tl_writer_options options = tl_writer_defaults();
  options.pins = 4;
  tl_writer *writer;
  OK(tl_writer_open(space_open(), "channel", &options, &writer));
  uint64_t number = 0;
  /* The first publication, also of a successor, has a number that nothing tells before. */
  OK(tl_writer_publish(writer, NULL, 0, &number));
  say(parent);
  for (;;) {
    size_t words = 1 + ++number * 37 % WORDS;
    uint64_t given;
    if (number % 3 == 0) {
      void *memory;
      OK(tl_writer_loan(writer, 8 * words, &memory));
      for (size_t at = 0; at < words; at++) ((uint64_t *)memory)[at] = number;
      OK(tl_writer_commit(writer, 8 * words, &given));
    } else {
      for (size_t at = 0; at < words; at++) state[at] = number;
      OK(tl_writer_publish(writer, state, 8 * words, &given));
    }
    CHECK(given == number);
  }
}

static void look(const void *data, const tl_info *info, uint64_t *last) {
  if (info->length > 0 && !is_whole(data, info)) shared->torn++;
  if (info->publication < *last) shared->backwards++;
  *last = info->publication;
}

static void reads(process *parent) {
  (void)parent;
  static uint64_t state[WORDS];
  tl_namespace *space = space_open();
  tl_reader *reader, *waiting;
  tl_reader_options options = tl_reader_defaults();
  options.views_in_place = 1;
  options.attach_timeout_ns = 30 * SECOND;
  OK(tl_reader_open(space, "channel", &options, &reader));
  OK(tl_reader_open(space, "channel", &options, &waiting));
  uint64_t last = 0;
  tl_info info;
  tl_view view;
  for (uint64_t round = 0;; round++) {
    tl_status status = tl_reader_read(reader, state, sizeof state, &info);
    /* The first writer may not have published yet. */
    CHECK(status == TL_OK || status == TL_CONTENDED || (status == TL_EMPTY && last == 0));
    if (status == TL_OK) {
      look(state, &info, &last);
      shared->reads++;
    }
    if (round % 16 == 0 && tl_reader_view(reader, &view) == TL_OK) {
      look(view.data, &view.info, &last);
      sched_yield();
      look(view.data, &view.info, &last);
      OK(tl_view_release(&view));
      shared->views++;
    }
    if (round % 256 == 0) tl_reader_wait(waiting, 1000 * 1000);
  }
}

static void never_torn(void) {
  const char *seconds = getenv("TEARLESS_SECONDS");
  int64_t end = now_ns() + (seconds == NULL ? 5 : atoi(seconds)) * SECOND;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  process readers[READERS];
  for (int at = 0; at < READERS; at++) readers[at] = process_start(reads);
  int kills = 0;
  do {
    process writer = process_start(writes);
    hear(&writer);
    sleep_ms(5 + kills * 7 % 40);
    process_kill(&writer);
    kills++;
    /* A reader that a check has ended would let this wait without end. */
    for (int at = 0; at < READERS; at++) CHECK(waitpid(readers[at].pid, NULL, WNOHANG) == 0);
  } while (now_ns() < end || shared->reads < 1000 || shared->views < 100);
  for (int at = 0; at < READERS; at++) process_kill(&readers[at]);
  tl_namespace *space = space_open();
  OK(tl_writer_close(writer_open(space, "channel")));
  OK(tl_namespace_close(space));
  printf("  %llu reads, %llu views, %d kills, %llu torn\n", (unsigned long long)shared->reads,
         (unsigned long long)shared->views, kills, (unsigned long long)shared->torn);
  CHECK(shared->torn == 0 && shared->backwards == 0);
}

int main(void) {
  BEGIN("torture: writers that are killed, readers in other processes");
  RUN(never_torn);
  return 0;
}
