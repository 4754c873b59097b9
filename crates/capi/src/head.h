/**
 * tearless: the latest state of a process in shared memory, where other processes read it directly.
 *
 * A process opens a writer of a channel and publishes states. Any process opens a reader of it and
 * reads the latest state, without a system call and never torn. docs/c.md shows how, and
 * docs/choosing.md what for. In C++, tearless.hpp has the same as classes.
 *
 * Every call that can fail returns a tl_status: 0 for success, a positive number if nothing is wrong but there is
 * no result, a negative one for an error. After an error or TL_EMPTY, tl_error_message() says what
 * happened and what to do. Results are stored through the last arguments.
 *
 * A handle that a call opens is closed by its _close(), a view by tl_view_release(). Nothing is
 * passed to free(). The library keeps nothing that the caller passes: texts, options and
 * descriptions may be freed after the call.
 *
 * Threads: a namespace may be used by several threads at the same time, all other handles by one at
 * a time, and none while another thread closes it. Two threads in one handle mostly get TL_IN_USE,
 * but the program may also crash. A handle may move to another thread. Calls are not safe in signal
 * handlers.
 *
 * Fork: a reader and a namespace work in the child; a writer belongs to the process that opened it,
 * and returns TL_FORKED in the child.
 *
 * Exceptions: none comes out of a call, and no signal handler is installed.
 *
 * C++: the header has its own extern "C". An #include of it belongs outside of such a block.
 */
#ifndef TEARLESS_H
#define TEARLESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
#include <type_traits>
#endif

/** The version of the header. */
#define TL_VERSION "0.1.0"

