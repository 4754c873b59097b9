/* A struct without a schema, and what tests/classes.cpp does with it in C. */
#ifndef PARCELS_H
#define PARCELS_H

#include "tearless.h"

typedef struct {
  uint16_t kind;
  uint32_t words[5];
} parcel;
TL_NAMED(parcel);

#ifdef __cplusplus
extern "C" {
#endif

/* A writer that has published `words`, or NULL. */
tl_writer *parcel_publish(tl_namespace *space, const char *channel, const uint32_t *words);

/* Whether the channel has these `words`. */
bool parcel_has(tl_namespace *space, const char *channel, const uint32_t *words);

#ifdef __cplusplus
}
#endif

#endif
