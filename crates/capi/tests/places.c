/* Where objects are, who may use them, how large they may become, and what stays. */
#include <grp.h>

#include "check.h"

static void *filled(size_t length) {
  char *state = malloc(length);
  CHECK(state != NULL);
  memset(state, (int)(length % 251), length);
  return state;
}

static void states_that_grow(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "channel");
  tl_reader *reader = reader_open(space, "channel");
  const size_t lengths[] = {0, 1, 928, 929, 4096, 1 << 20, 10, 20 << 20, 3};
  for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++) {
    size_t length = lengths[at];
    char *state = filled(length), *read = malloc(length + 1);
    tl_info info;
    OK(tl_writer_publish(writer, state, length, NULL));
    if (length > 0) {
      RETURNS(TL_TOO_SMALL, tl_reader_read(reader, read, length - 1, &info));
      CHECK(info.length == length);
    }
    OK(tl_reader_read(reader, read, length, &info));
    CHECK(info.length == length && memcmp(read, state, length) == 0);
    free(state);
    free(read);
  }
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void limits_and_budgets(void) {
  tl_namespace *space = space_open();
  tl_writer_options options = tl_writer_defaults();
  options.max_state_length = 1000;
  tl_writer *writer;
  OK(tl_writer_open(space, "channel", &options, &writer));
  char *state = filled(8 << 20);
  OK(tl_writer_publish(writer, state, 1000, NULL));
  RETURNS(TL_LIMIT, tl_writer_publish(writer, state, 1001, NULL));
  SAYS("max_state_length");
  OK(tl_writer_close(writer));
  options = tl_writer_defaults();
  options.max_memory = 1 << 20;
  OK(tl_writer_open(space, "channel", &options, &writer));
  RETURNS(TL_LIMIT, tl_writer_publish(writer, state, 8 << 20, NULL));
  SAYS("max_memory");
  OK(tl_writer_publish(writer, "x", 1, NULL));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));

  tl_namespace_options of_space = tl_namespace_defaults();
  of_space.max_memory = 1 << 20;
  OK(tl_namespace_open(space_name, &of_space, &space));
  writer = writer_open(space, "channel");
  RETURNS(TL_LIMIT, tl_writer_publish(writer, state, 8 << 20, NULL));
  OK(tl_writer_close(writer));
  options = tl_writer_defaults();
  options.capacity = 8 << 20;
  RETURNS(TL_LIMIT, tl_writer_open(space, "channel", &options, &writer));
  CHECK(writer == NULL);
  OK(tl_namespace_close(space));
  free(state);
}

static void a_directory(void) {
  char directory[] = "/dev/shm/c-directory-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  tl_namespace_options options = tl_namespace_defaults();
  options.directory = directory;
  tl_namespace *space, *elsewhere = space_open();
  OK(tl_namespace_open(space_name, &options, &space));
  tl_writer *writer = writer_open(space, "channel");
  OK(tl_writer_publish(writer, "x", 1, NULL));
  tl_reader *reader = reader_open(space, "channel"), *other;
  char state;
  OK(tl_reader_read(reader, &state, 1, NULL));
  RETURNS(TL_NOT_FOUND, tl_reader_open(elsewhere, "channel", NULL, &other));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
  OK(tl_namespace_close(elsewhere));
  CHECK(rmdir(directory) == 0);
  RETURNS(TL_INVALID, tl_namespace_open(space_name, &options, &space));
  CHECK(space == NULL);
  SAYS(directory);
}

/* The end of this process's rights to be another user. */
static void become(uid_t user, gid_t group) {
  CHECK(setgroups(0, NULL) == 0 && setresgid(group, group, group) == 0 &&
        setresuid(user, user, user) == 0);
}

enum { USER = 65534, GROUP = 65533 };
static uid_t owner;

static void reads_as_another_user(process *parent) {
  become(USER, GROUP);
  tl_namespace_options options = tl_namespace_defaults();
  options.trusts_owner = 1;
  options.trusted_owner = owner;
  tl_namespace *space;
  tl_reader *reader;
  tl_writer *writer;
  OK(tl_namespace_open(space_name, NULL, &space));
  RETURNS(TL_ACCESS, tl_reader_open(space, "shared", NULL, &reader));
  OK(tl_namespace_close(space));
  OK(tl_namespace_open(space_name, &options, &space));
  char state;
  OK(tl_reader_open(space, "shared", NULL, &reader));
  OK(tl_reader_read(reader, &state, 1, NULL));
  CHECK(state == 'x');
  OK(tl_reader_close(reader));
  RETURNS(TL_ACCESS, tl_reader_open(space, "private", NULL, &reader));
  RETURNS(TL_ACCESS, tl_writer_open(space, "shared", NULL, &writer));
  CHECK(reader == NULL && writer == NULL);
  OK(tl_namespace_close(space));
  say(parent);
}

static void permissions(void) {
  if (geteuid() != 0) {
    fprintf(stderr, "  SKIPPED: only root can become another user\n");
    return;
  }
  owner = geteuid();
  tl_namespace_options options = tl_namespace_defaults();
  options.permissions = 0644;
  tl_namespace *space;
  OK(tl_namespace_open(space_name, &options, &space));
  tl_writer_options of_writer = tl_writer_defaults();
  of_writer.permissions = 0600;
  tl_writer *shared = writer_open(space, "shared"), *private_one;
  OK(tl_writer_open(space, "private", &of_writer, &private_one));
  OK(tl_writer_publish(shared, "x", 1, NULL));
  OK(tl_writer_publish(private_one, "y", 1, NULL));
  process child = process_start(reads_as_another_user);
  hear(&child);
  process_join(&child);
  OK(tl_writer_close(shared));
  OK(tl_writer_close(private_one));
  OK(tl_namespace_close(space));
  options.trusts_owner = 2;
  RETURNS(TL_INVALID, tl_namespace_open(space_name, &options, &space));
  SAYS("trusts_owner is 2");
  options = tl_namespace_defaults();
  options.permissions = 07777;
  OK(tl_namespace_open(space_name, &options, &space));
  RETURNS(TL_INVALID, tl_writer_open(space, "channel", NULL, &shared));
  OK(tl_namespace_close(space));
  options = tl_namespace_defaults();
  options.group = "no-such-group-here";
  RETURNS(TL_INVALID, tl_namespace_open(space_name, &options, &space));
  SAYS("no-such-group-here");
}

static void names_removed_by_hand(void) {
  if (!memory_is_own) return;
  tl_namespace *space = space_open();
  tl_writer *writer = writer_open(space, "channel");
  OK(tl_writer_publish(writer, "x", 1, NULL));
  CHECK(system("rm /dev/shm/tl_*") == 0);
  /* The writer looks once a second at most. */
  tl_status status;
  int64_t begun = now_ns();
  while ((status = tl_writer_touch(writer)) == TL_OK && now_ns() - begun < 30 * SECOND)
    sleep_ms(50);
  CHECK(status == TL_SYSTEM);
  tl_writer_close(writer);
  writer = writer_open(space, "channel");
  OK(tl_writer_publish(writer, "x", 1, NULL));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("places: growth, limits, directories, permissions");
  RUN(states_that_grow);
  RUN(limits_and_budgets);
  RUN(a_directory);
  RUN(permissions);
  RUN(names_removed_by_hand);
  return 0;
}
