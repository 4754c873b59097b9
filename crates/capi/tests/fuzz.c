/* No options, descriptions or arguments crash the library, as long as addresses lead to memory.
 * What fails is repeated by TEARLESS_SEED=… TEARLESS_ITERATIONS=1. */
#include <sys/mman.h>

#include "check.h"

static uint64_t state_of_random;

static uint64_t random_number(void) {
  state_of_random ^= state_of_random << 13;
  state_of_random ^= state_of_random >> 7;
  state_of_random ^= state_of_random << 17;
  return state_of_random * 0x2545F4914F6CDD1D;
}
static uint64_t below(uint64_t end) { return (random_number() >> 11) % end; }
static bool one_of(uint64_t count) { return below(count) == 0; }

/* How seldom this round does something odd: many odd options together are all refused. */
static uint64_t calm = 1;
static bool rare(uint64_t count) { return one_of(count * calm); }

/* Numbers at which arithmetic fails, and small ones. */
static uint64_t any_number(void) {
  static const uint64_t edges[] = {0,      1,       7,         8,          64,        65,
                                   0xffff, 1 << 20, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
  uint64_t edge = edges[below(sizeof edges / sizeof *edges)];
  return one_of(2) ? below(100) : edge + below(3) - 1;
}

/* --- Memory that is freed after each round */

static void *kept[4096];
static size_t kept_count;

/* `length` bytes and no more, so that a sanitizer or valgrind sees an access beyond. */
static void *memory_of(size_t length) {
  void *memory = calloc(1, length == 0 ? 1 : length);
  CHECK(memory != NULL && kept_count < sizeof kept / sizeof *kept);
  return kept[kept_count++] = memory;
}
static void free_all(void) {
  while (kept_count > 0) free(kept[--kept_count]);
}

static const char *any_text(void) {
  static const char *const texts[] = {"x",    "robot",     "bytes",    "",   "\n",
                                      "\xff", "a\xcc\x81", "_padding", "x y"};
  if (rare(8)) return NULL;
  if (!rare(2)) return texts[below(3)];
  if (!one_of(8)) return texts[below(sizeof texts / sizeof *texts)];
  size_t length = below(70000);
  char *text = memory_of(length + 1);
  memset(text, 'n', length);
  return text;
}

/* --- Structs that begin with their size */

/* A struct of options of any size that holds `length` bytes of `known`, and any bytes after them.
 */
static void *any_size(const void *known, size_t length) {
  size_t size = length;
  if (rare(6)) size = one_of(2) ? below(length + 64) : below(5000);
  /* No half of an address. */
  if (size < length) size &= ~(size_t)7;
  unsigned char *options = memory_of(size < length ? (size < 4 ? 4 : size) : size);
  size_t copied = size < length ? (size < 4 ? 4 : size) : length;
  memcpy(options, known, copied);
  uint32_t stated = (uint32_t)size;
  if (size > 4096 && one_of(2)) stated = (uint32_t)(any_number() | 4097);
  memcpy(options, &stated, 4);
  if (size > length && one_of(2))
    options[length + below(size - length)] = (unsigned char)below(256);
  return options;
}

static const tl_structure *any_structure(unsigned depth);

static void fill_field(tl_field *field, unsigned depth, size_t *end) {
  static const size_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8};
  field->name = rare(4) ? any_text() : "member";
  field->scalar = (int32_t)(1 + below(TL_F64));
  size_t size = sizes[field->scalar];
  for (size_t at = 0; at < 3 && one_of(3); at++) size *= field->lengths[at] = 1 + below(9);
  if (depth < 4 && one_of(4)) {
    field->scalar = TL_STRUCT;
    field->structure = any_structure(depth + 1);
    if (field->structure != NULL && !rare(8)) size = field->structure->size;
    memset(field->lengths, 0, sizeof field->lengths);
  }
  field->size = size;
  field->offset = (*end + 7) & ~(size_t)7;
  *end = field->offset + size;
  if (rare(20)) field->offset = any_number();
  if (rare(20)) field->size = any_number();
  if (rare(20)) field->lengths[below(3)] = any_number();
  if (rare(20)) field->scalar = (int32_t)any_number();
}

/* A description that is nearly right, or right. */
static const tl_structure *any_structure(unsigned depth) {
  static tl_structure *outer;
  if (rare(30)) return depth > 0 ? outer : NULL;
  tl_structure it = {0};
  size_t count = rare(10) ? 0 : 1 + below(5), end = 0, room = sizeof(tl_field);
  if (rare(8)) room += below(40);
  char *fields = memory_of(count * room);
  tl_structure *own = memory_of(sizeof it);
  if (depth == 0) outer = own;
  for (size_t at = 0; at < count; at++) {
    tl_field field;
    memset(&field, 0, sizeof field);
    fill_field(&field, depth, &end);
    memcpy(fields + at * room, &field, sizeof field);
  }
  it.struct_size = rare(20) ? (uint32_t)(8 * below(sizeof it / 8 + 1)) : sizeof it;
  it.field_size = rare(20) ? (uint32_t)below(sizeof(tl_field)) : (uint32_t)room;
  it.name = rare(6) ? any_text() : "robot";
  it.alignment = rare(10) ? any_number() : 8;
  it.size = rare(10) ? any_number() : ((end + 7) & ~(size_t)7) + 8 * below(2);
  it.fields = rare(30) ? NULL : (const void *)fields;
  it.field_count = rare(20) ? below(count + 1) : count;
  *own = it;
  return own;
}

static const tl_writer_options *any_writer_options(void) {
  tl_writer_options it = tl_writer_defaults();
  it.codec = rare(8) ? (int32_t)any_number() : (int32_t)below(3);
  it.type_name = one_of(2) ? NULL : any_text();
  it.structure = one_of(2) ? any_structure(0) : NULL;
  if (it.structure != NULL && !rare(4)) it.codec = TL_PLAIN;
  if (it.structure == NULL && it.codec == TL_PLAIN && !rare(4)) it.codec = TL_BYTES;
  if (it.codec == TL_MESSAGE_PACK && !rare(4)) it.type_name = "Worker";
  if (rare(4)) it.capacity = any_number();
  if (rare(4)) it.slots = any_number();
  if (rare(4)) it.max_state_length = any_number();
  if (one_of(3)) it.pins = below(66);
  if (rare(8)) it.max_memory = any_number();
  if (rare(8)) it.heartbeat_interval_ns = (int64_t)any_number();
  if (rare(8)) it.permissions = (uint32_t)any_number();
  if (rare(8)) it.permissions = 0600 | (uint32_t)below(0100);
  it.checksum = rare(20) ? (int32_t)any_number() : (int32_t)below(2);
  it.linger = rare(20) ? (int32_t)any_number() : (int32_t)below(2);
  it.no_timestamps = rare(20) ? (int32_t)any_number() : (int32_t)below(2);
  return rare(16) ? NULL : any_size(&it, sizeof it);
}

static const tl_reader_options *any_reader_options(const tl_structure *structure) {
  tl_reader_options it = tl_reader_defaults();
  it.codec = rare(8) ? (int32_t)any_number() : (int32_t)below(3);
  it.type_name = one_of(2) ? NULL : any_text();
  it.structure = one_of(3) ? any_structure(0) : one_of(2) ? structure : NULL;
  if (it.structure != NULL && !rare(4)) it.codec = TL_PLAIN;
  if (one_of(2) && !rare(4)) return NULL;
  it.accept = rare(10) ? (int32_t)any_number() : (int32_t)below(5);
  it.views_in_place = rare(20) ? (int32_t)any_number() : (int32_t)below(2);
  /* Not so long that a round takes long. */
  if (rare(8)) it.attach_timeout_ns = (int64_t)(any_number() | 1ull << 63);
  return rare(16) ? NULL : any_size(&it, sizeof it);
}

/* --- Calls */

static unsigned long long calls, writers, readers_opened;

static tl_status known(tl_status status) {
  calls++;
  if (status == TL_PANIC || status < TL_PANIC || status > TL_UNCHANGED) {
    fprintf(stderr, "status %d: %s\n", (int)status, tl_error_message());
    CHECK(!"a status of its own");
  }
  return status;
}

static unsigned char state[1 << 17], buffer[1 << 17];

static size_t any_length(size_t usual) {
  return one_of(2) ? usual : one_of(2) ? below(64) : below(sizeof state);
}

static void write_something(tl_writer *writer, size_t usual) {
  static const unsigned char packed[] =
      "\x82\xa4name\xa3"
      "ann\xa4jobs\x07";
  size_t length = any_length(usual);
  uint64_t number, *out = one_of(2) ? NULL : &number;
  void *memory;
  state[below(64)] = (unsigned char)random_number();
  switch (below(6)) {
    case 0: known(tl_writer_publish(writer, state, length, out)); break;
    case 1: known(tl_writer_publish(writer, packed, sizeof packed - 1, out)); break;
    case 2: known(tl_writer_publish_if_changed(writer, state, length, out)); break;
    case 3:
      if (known(tl_writer_loan(writer, length, &memory)) == TL_OK) memset(memory, 0x93, length);
      break;
    case 4:
      known(one_of(3) ? tl_writer_discard(writer)
                      : tl_writer_commit(writer, one_of(9) ? any_number() : length, out));
      break;
    case 5: known(tl_writer_touch(writer)); break;
  }
}

static void read_something(tl_reader *reader, size_t usual) {
  tl_info info, *out = one_of(2) ? NULL : &info;
  size_t length = any_length(usual);
  const tl_channel *channel;
  const tl_writer_state *state;
  tl_view view;
  switch (below(9)) {
    case 0: known(tl_reader_read(reader, buffer, length, out)); break;
    case 1: known(tl_reader_read_at(reader, any_number(), buffer, length, out)); break;
    case 2: known(tl_reader_history(reader, any_number(), buffer, length, &info)); break;
    case 3: known(tl_reader_latest(reader, &info)); break;
    case 4: known(tl_reader_json(reader, (char *)buffer, length, &length, out)); break;
    case 5: known(tl_reader_wait(reader, 0)); break;
    case 6: known(tl_reader_channel(reader, &channel)); break;
    case 7: known(tl_reader_writer_state(reader, &state)); break;
    case 8:
      if (known(tl_reader_view(reader, &view)) == TL_OK) {
        memcpy(buffer, view.data,
               view.info.length < sizeof buffer ? view.info.length : sizeof buffer);
        known(tl_view_release(&view));
      }
      break;
  }
}

static tl_namespace *space;

static void a_round(void) {
  static const uint64_t levels[] = {1, 8, 64};
  calm = levels[below(3)];
  tl_namespace_options of_space = tl_namespace_defaults();
  tl_namespace *other;
  of_space.permissions = (uint32_t)any_number();
  of_space.directory = one_of(2) ? NULL : any_text();
  of_space.group = one_of(2) ? NULL : any_text();
  of_space.max_memory = any_number();
  of_space.trusts_owner = (int32_t)below(3);
  of_space.trusted_owner = (uint32_t)any_number();
  if (rare(8) &&
      known(tl_namespace_open(any_text(), any_size(&of_space, sizeof of_space), &other)) == TL_OK)
    known(tl_namespace_close(other));

  const tl_writer_options *options = any_writer_options();
  bool is_whole = options != NULL && options->struct_size >= sizeof *options;
  const tl_structure *structure = is_whole ? options->structure : NULL;
  size_t usual = structure != NULL && structure->size < sizeof state ? structure->size : 40;
  tl_writer *writer;
  tl_reader *readers[2] = {NULL, NULL};
  const char *channel = rare(20) ? any_text() : "channel";
  known(tl_writer_open(space, channel, options, &writer));
  writers += writer != NULL;
  for (size_t at = 0; at < 2; at++) {
    /* At times, there is a state already. */
    if (writer != NULL && one_of(2)) write_something(writer, usual);
    known(tl_reader_open(space, rare(20) ? any_text() : channel, any_reader_options(structure),
                         &readers[at]));
    readers_opened += readers[at] != NULL;
  }
  for (uint64_t left = below(20); left > 0; left--) {
    if (one_of(2))
      write_something(writer, usual);
    else
      read_something(readers[below(2)], usual);
  }
  known(tl_reader_close(readers[0]));
  known(tl_writer_close(writer));
  if (readers[1] != NULL) read_something(readers[1], usual);
  known(tl_reader_close(readers[1]));
  /* What lingers is removed by another writer's end. */
  if (writer != NULL) OK(tl_writer_close(writer_open(space, channel)));
  free_all();
}

static uint64_t number_from(const char *variable, uint64_t otherwise) {
  const char *text = getenv(variable);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t *seed;
static uint64_t iterations;

static void runs(process *parent) {
  (void)parent;
  /* It closes all that it opens. */
  is_fork = false;
  tl_namespace_options options = tl_namespace_defaults();
  options.max_memory = 32 << 20;
  OK(tl_namespace_open(space_name, &options, &space));
  for (uint64_t left = iterations; left > 0; left--) {
    state_of_random = ++*seed * 0x9E3779B97F4A7C15 | 1;
    a_round();
  }
  OK(tl_namespace_close(space));
  printf("  %llu calls, %llu writers and %llu readers opened\n", calls, writers, readers_opened);
  fflush(stdout);
}

static void nothing_crashes(void) {
  iterations = number_from("TEARLESS_ITERATIONS", 5000);
  seed = mmap(NULL, sizeof *seed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(seed != MAP_FAILED);
  *seed = number_from("TEARLESS_SEED", (uint64_t)time(NULL) * 1000000) - 1;
  process child = process_start(runs);
  int status = process_end(&child);
  if (status == 0) return;
  fprintf(stderr, "again: TEARLESS_SEED=%llu TEARLESS_ITERATIONS=1\n", (unsigned long long)*seed);
  CHECK(status == 0);
}

int main(void) {
  BEGIN("fuzz: options, descriptions, arguments");
  RUN(nothing_crashes);
  return 0;
}
