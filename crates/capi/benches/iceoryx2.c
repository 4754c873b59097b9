/* The blackboard of iceoryx2 by its own C interface, for benches/figures.rs. With the paths of a build
   of iceoryx2-ffi-c:

     cc -O2 -shared -fPIC -I INCLUDE benches/iceoryx2.c -o libpeer.so LIBICEORYX2_FFI_C.so
     TEARLESS_C_PEER=./libpeer.so cargo bench --bench figures
*/
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iox2/iceoryx2.h"

#define VALUE "Small"
#define KEY "u64"

typedef struct {
  uint64_t words[8];
} small;

static iox2_entry_handle_mut_h writing;
static iox2_entry_handle_h reading;

static bool same(const void *left, const void *right) {
  return *(const uint64_t *)left == *(const uint64_t *)right;
}

static void check(int result, const char *what) {
  if (result != IOX2_OK) {
    fprintf(stderr, "iceoryx2: %s failed with %d\n", what, result);
    exit(1);
  }
}

/* Creates a blackboard with one entry of 64 bytes, and a writer and a reader of it. */
void peer_open(const char *name) {
  iox2_set_log_level(iox2_log_level_e_ERROR);
  iox2_node_h node = NULL;
  check(iox2_node_builder_create(iox2_node_builder_new(NULL), NULL, iox2_service_type_e_IPC, &node),
        "the node");
  iox2_service_name_h service_name = NULL;
  check(iox2_service_name_new(NULL, name, strlen(name), &service_name), "the name");
  iox2_service_builder_blackboard_creator_h creator = iox2_service_builder_blackboard_creator(
      iox2_node_service_builder(&node, NULL, iox2_cast_service_name_ptr(service_name)));
  uint64_t key = 1;
  small value = {{0}};
  check(iox2_service_builder_blackboard_creator_set_key_type_details(&creator, KEY, strlen(KEY),
                                                                     sizeof key, 8),
        "the type of keys");
  iox2_service_builder_blackboard_creator_set_key_eq_comparison_function(&creator, same);
  iox2_service_builder_blackboard_creator_add(&creator, &key, &value, NULL, VALUE, strlen(VALUE),
                                              sizeof value, 8);
  iox2_port_factory_blackboard_h service = NULL;
  check(iox2_service_builder_blackboard_create(creator, NULL, &service), "the service");
  iox2_writer_h writer = NULL;
  check(iox2_port_factory_writer_builder_create(
            iox2_port_factory_blackboard_writer_builder(&service, NULL), NULL, &writer),
        "the writer");
  check(iox2_writer_entry(&writer, NULL, &writing, &key, VALUE, strlen(VALUE), sizeof value, 8),
        "the entry of the writer");
  iox2_reader_h reader = NULL;
  check(iox2_port_factory_reader_builder_create(
            iox2_port_factory_blackboard_reader_builder(&service, NULL), NULL, &reader),
        "the reader");
  check(iox2_reader_entry(&reader, NULL, &reading, &key, VALUE, strlen(VALUE), sizeof value, 8),
        "the entry of the reader");
}

/* Reads so many times. */
uint64_t peer_read(uint64_t count) {
  uint64_t sum = 0;
  small value;
  for (uint64_t read = 0; read < count; read++) {
    iox2_entry_handle_get(&reading, &value, sizeof value, 8, NULL);
    sum += value.words[7];
  }
  return sum;
}

/* Updates so many times, each with another value. */
void peer_publish(uint64_t count) {
  static small value;
  for (uint64_t update = 0; update < count; update++) {
    value.words[0]++;
    iox2_entry_handle_mut_update_with_copy(&writing, &value, sizeof value, 8);
  }
}
