/* A view does not change, in place or as a copy, and a history is of whole states. */
#include "check.h"

enum { LENGTH = 64 * 1024 };
static unsigned char scratch[LENGTH];

static const void *state_of(unsigned char byte) { return memset(scratch, byte, LENGTH); }

static bool is_of(const void *data, unsigned char byte) {
  const unsigned char *bytes = data;
  for (size_t at = 0; at < LENGTH; at++)
    if (bytes[at] != byte) return false;
  return true;
}

static tl_writer *pinned_writer(tl_namespace *space) {
  tl_writer *writer;
  tl_writer_options options = tl_writer_defaults();
  options.capacity = LENGTH;
  options.pins = 2;
  OK(tl_writer_open(space, "channel", &options, &writer));
  return writer;
}

static tl_reader *viewing_reader(tl_namespace *space, int32_t in_place) {
  tl_reader *reader;
  tl_reader_options options = tl_reader_defaults();
  options.views_in_place = in_place;
  OK(tl_reader_open(space, "channel", &options, &reader));
  return reader;
}

static void in_place_and_copied(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = pinned_writer(space);
  for (int32_t in_place = 0; in_place < 2; in_place++) {
    tl_reader *reader = viewing_reader(space, in_place);
    tl_view first, second, third;
    OK(tl_writer_publish(writer, state_of(1), LENGTH, NULL));
    OK(tl_reader_view(reader, &first));
    CHECK(first.is_in_place == in_place && first.info.length == LENGTH);
    CHECK((uintptr_t)first.data % 8 == 0);
    for (unsigned char number = 2; number < 50; number++)
      OK(tl_writer_publish(writer, state_of(number), LENGTH, NULL));
    OK(tl_reader_view(reader, &second));
    CHECK(is_of(first.data, 1) && is_of(second.data, 49));
    CHECK(second.info.publication == first.info.publication + 48);
    /* All pins are taken: a copy, which says so. */
    OK(tl_writer_publish(writer, state_of(50), LENGTH, NULL));
    OK(tl_reader_view(reader, &third));
    CHECK(third.is_in_place == 0 && is_of(third.data, 50));
    OK(tl_view_release(&third));
    OK(tl_view_release(&second));
    OK(tl_view_release(&first));
    OK(tl_reader_close(reader));
  }
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void short_states_are_copied(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = pinned_writer(space);
  tl_reader *reader = viewing_reader(space, 1);
  tl_view view;
  RETURNS(TL_EMPTY, tl_reader_view(reader, &view));
  CHECK(view.hold == NULL && view.data == NULL);
  OK(tl_view_release(&view));
  OK(tl_writer_publish(writer, state_of(1), 100, NULL));
  OK(tl_reader_view(reader, &view));
  CHECK(view.is_in_place == 0 && view.info.length == 100 && memcmp(view.data, scratch, 100) == 0);
  OK(tl_view_release(&view));
  OK(tl_writer_publish(writer, NULL, 0, NULL));
  OK(tl_reader_view(reader, &view));
  CHECK(view.info.length == 0 && view.hold != NULL);
  OK(tl_view_release(&view));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void views_outlive_reader_and_channel(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = pinned_writer(space);
  for (int32_t in_place = 0; in_place < 2; in_place++) {
    if (in_place == 1) writer = pinned_writer(space);
    OK(tl_writer_publish(writer, state_of(7), LENGTH, NULL));
    tl_reader *reader = viewing_reader(space, in_place);
    tl_view view;
    OK(tl_reader_view(reader, &view));
    CHECK(view.is_in_place == in_place);
    OK(tl_reader_close(reader));
    CHECK(is_of(view.data, 7));
    OK(tl_writer_close(writer));
    CHECK(is_of(view.data, 7));
    OK(tl_view_release(&view));
  }
  OK(tl_namespace_close(space));
}

static void views_until_killed(process *parent) {
  tl_namespace *space = space_open();
  tl_reader *reader = reader_open(space, "channel"), *viewing = viewing_reader(space, 1);
  tl_view view;
  OK(tl_reader_wait(reader, 30 * SECOND));
  OK(tl_reader_view(viewing, &view));
  CHECK(view.is_in_place == 1);
  say(parent);
  hear(parent);
}

static void a_reader_killed_with_a_view(void) {
  tl_namespace *space = space_open();
  tl_writer *writer = pinned_writer(space);
  OK(tl_writer_publish(writer, state_of(1), LENGTH, NULL));
  for (int round = 0; round < 10; round++) {
    process child = process_start(views_until_killed);
    hear(&child);
    process_kill(&child);
  }
  tl_reader *reader = viewing_reader(space, 1);
  tl_view view = {0};
  /* Of two pins, dead readers had all: a copy looks at one of them, which is then free. */
  for (int round = 0; round < 64 && view.is_in_place == 0; round++) {
    OK(tl_view_release(&view));
    OK(tl_writer_publish(writer, state_of((unsigned char)round), LENGTH, NULL));
    OK(tl_reader_view(reader, &view));
    CHECK(is_of(view.data, (unsigned char)round));
  }
  CHECK(view.is_in_place == 1);
  OK(tl_view_release(&view));
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

static void a_history(void) {
  tl_namespace *space = space_open();
  tl_writer_options options = tl_writer_defaults();
  options.slots = 8;
  tl_writer *writer;
  OK(tl_writer_open(space, "channel", &options, &writer));
  tl_reader *reader = reader_open(space, "channel");
  uint64_t state, before = 0, seen = 0;
  tl_info info;
  RETURNS(TL_END, tl_reader_history(reader, 0, &state, sizeof state, &info));
  for (uint64_t number = 1; number <= 20; number++)
    OK(tl_writer_publish(writer, &number, sizeof number, NULL));
  tl_status status;
  while ((status = tl_reader_history(reader, before, &state, sizeof state, &info)) == TL_OK) {
    CHECK(info.publication == 20 - seen && state == info.publication && info.length == 8);
    before = info.publication;
    seen++;
  }
  CHECK(status == TL_END && seen >= 7);
  RETURNS(TL_END, tl_reader_history(reader, 1, &state, sizeof state, &info));
  OK(tl_reader_history(reader, UINT64_MAX, &state, sizeof state, &info));
  CHECK(state == 20);
  OK(tl_reader_close(reader));
  OK(tl_writer_close(writer));
  OK(tl_namespace_close(space));
}

int main(void) {
  BEGIN("views: in place and copied; history");
  RUN(a_history);
  RUN(in_place_and_copied);
  RUN(short_states_are_copied);
  RUN(views_outlive_reader_and_channel);
  RUN(a_reader_killed_with_a_view);
  return 0;
}
