/* Parcels in C, for tests/classes.cpp. */
#include "parcels.h"

tl_writer *parcel_publish(tl_namespace *space, const char *channel, const uint32_t *words) {
  tl_writer *writer = NULL;
  tl_writer_options options = tl_writer_defaults();
  options.structure = TL_STRUCTURE(parcel);
  parcel it = {7, {0}};
  memcpy(it.words, words, sizeof it.words);
  if (tl_writer_open(space, channel, &options, &writer) == TL_OK)
    tl_writer_publish(writer, &it, sizeof it, NULL);
  return writer;
}

bool parcel_has(tl_namespace *space, const char *channel, const uint32_t *words) {
  tl_reader *reader = NULL;
  tl_reader_options options = tl_reader_defaults();
  options.structure = TL_STRUCTURE(parcel);
  parcel it = {0, {0}};
  tl_status status = tl_reader_open(space, channel, &options, &reader);
  if (status == TL_OK) status = tl_reader_read(reader, &it, sizeof it, NULL);
  tl_reader_close(reader);
  return status == TL_OK && it.kind == 7 && memcmp(it.words, words, sizeof it.words) == 0;
}
