/* What the tests in C share: checks, other processes, and a namespace for each case. */
#ifndef CHECK_H
#define CHECK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tearless.h"

/* --- Checks: the first that fails ends the process. */

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) check_failed(__FILE__, __LINE__, #condition);                                \
  } while (0)

/* `call` returns `status`. */
#define RETURNS(status, call) check_status(__FILE__, __LINE__, #call, (status), (call))
#define OK(call) RETURNS(TL_OK, call)
#define SAME(left, right) check_same(__FILE__, __LINE__, (left), (right))
/* The last error's text has `part`. */
#define SAYS(part) check_text(__FILE__, __LINE__, (part))

static const char *check_case = "";
/* The namespace of the case. */
static char space_name[64];
static const int64_t SECOND = 1000 * 1000 * 1000;

static inline void check_failed(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: in %s: not so: %s\n", file, line, check_case, what);
  fprintf(stderr, "  the last error: %s\n", tl_error_message());
  _exit(1);
}

/* The last error's text has the names of C, not those of Rust. */
static inline void check_words(const char *file, int line) {
  static const char *const of_rust[] = {
      "::",    "Builder", "0o",   "max_state_len ", "max_state_len`",
      "Some(", "None",    "&str", "with_schema",    "unwrap"};
  for (size_t at = 0; at < sizeof of_rust / sizeof *of_rust; at++) {
    if (strstr(tl_error_message(), of_rust[at]) == NULL) continue;
    fprintf(stderr, "%s:%d: in %s: \"%s\" is no word of C: %s\n", file, line, check_case,
            of_rust[at], tl_error_message());
    _exit(1);
  }
  CHECK(tl_error_message()[0] != 0);
}

static inline void check_status(const char *file, int line, const char *call, tl_status expected,
                                tl_status status) {
  if (status == expected) {
    if (status < 0) check_words(file, line);
    return;
  }
  fprintf(stderr, "%s:%d: in %s: %s is %s, not %s\n", file, line, check_case, call,
          tl_status_name(status), tl_status_name(expected));
  if (status < 0) fprintf(stderr, "  %s\n", tl_error_message());
  _exit(1);
}

static inline void check_same(const char *file, int line, const char *left, const char *right) {
  if (left != NULL && strcmp(left, right) == 0) return;
  fprintf(stderr, "%s:%d: in %s: \"%s\" is not \"%s\"\n", file, line, check_case,
          left == NULL ? "NULL" : left, right);
  _exit(1);
}

static inline void check_text(const char *file, int line, const char *part) {
  if (strstr(tl_error_message(), part) != NULL) return;
  fprintf(stderr, "%s:%d: in %s: the text lacks \"%s\": %s\n", file, line, check_case, part,
          tl_error_message());
  _exit(1);
}

/* --- Handles with their defaults */

static inline tl_namespace *space_open(void) {
  tl_namespace *space = NULL;
  OK(tl_namespace_open(space_name, NULL, &space));
  return space;
}

static inline tl_writer *writer_open(tl_namespace *space, const char *channel) {
  tl_writer *writer = NULL;
  OK(tl_writer_open(space, channel, NULL, &writer));
  return writer;
}

static inline tl_reader *reader_open(tl_namespace *space, const char *channel) {
  tl_reader *reader = NULL;
  tl_reader_options options = tl_reader_defaults();
  options.attach_timeout_ns = 30 * SECOND;
  OK(tl_reader_open(space, channel, &options, &reader));
  return reader;
}

/* The state of the writer's process. */
static inline int writer_of(tl_reader *reader) {
  const tl_writer_state *state = NULL;
  OK(tl_reader_writer_state(reader, &state));
  return state->state;
}

/* --- Other processes */

/* A process, or the one that started this one. */
typedef struct process {
  pid_t pid;
  int to;
  int from;
} process;

/* A fork may end without closing what it has opened, or has of its parent: AddressSanitizer, which
   asks by this function, looks for leaks in the first process alone. */
static bool is_fork;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return is_fork; }

/* Starts `body` in a fork, which ends as a program does. It dies with this process. */
static inline process process_start(void (*body)(process *parent)) {
  int down[2], up[2];
  CHECK(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0);
  fflush(NULL);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    is_fork = true;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(down[1]);
    close(up[0]);
    process parent = {getppid(), up[1], down[0]};
    body(&parent);
    exit(0);
  }
  close(down[0]);
  close(up[1]);
  process started = {pid, down[1], up[0]};
  return started;
}

/* Starts a program; its input and output are pipes to this process. */
static inline process program_start(const char *const *arguments) {
  int down[2], up[2];
  CHECK(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0);
  fflush(NULL);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(down[0], 0);
    dup2(up[1], 1);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    fprintf(stderr, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
  }
  close(down[0]);
  close(up[1]);
  process started = {pid, down[1], up[0]};
  return started;
}

/* Lets the other process go on from `hear`. */
static inline void say(const process *other) { CHECK(write(other->to, "x", 1) == 1); }
static inline void hear(const process *other) {
  char byte;
  CHECK(read(other->from, &byte, 1) == 1);
}

static inline int process_end(process *other) {
  int status = 0;
  close(other->to);
  CHECK(waitpid(other->pid, &status, 0) == other->pid);
  close(other->from);
  return status;
}

/* The other process ends by itself, and well. */
static inline void process_join(process *other) { CHECK(process_end(other) == 0); }
static inline void process_kill(process *other) {
  kill(other->pid, SIGKILL);
  CHECK(WIFSIGNALED(process_end(other)));
}

/* The output of a program that ends well, as a text to be freed. */
static inline char *output_of(const char *const *arguments) {
  process program = program_start(arguments);
  size_t length = 0, room = 1 << 20;
  char *text = malloc(room);
  ssize_t got;
  CHECK(text != NULL);
  while ((got = read(program.from, text + length, room - length - 1)) > 0) length += (size_t)got;
  text[length] = 0;
  process_join(&program);
  return text;
}

/* --- Time */

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static inline void sleep_ms(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000 * 1000};
  nanosleep(&time, NULL);
}

/* --- What is left */

/* Whether /dev/shm belongs to this program alone. */
static bool memory_is_own;

/* Gives this program a /dev/shm of its own, if the system permits it. */
static inline void own_memory(void) {
  memory_is_own = unshare(CLONE_NEWNS) == 0 &&
                  mount("none", "/", "", MS_REC | MS_PRIVATE, "") == 0 &&
                  mount("tearless", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
  if (!memory_is_own)
    fprintf(stderr, "  no mount namespace here: what is left in /dev/shm is not checked\n");
}

static inline void check_leftovers(void) {
  if (!memory_is_own) return;
  DIR *directory = opendir("/dev/shm");
  CHECK(directory != NULL);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    fprintf(stderr, "in %s: /dev/shm/%s is left\n", check_case, entry->d_name);
    _exit(1);
  }
  closedir(directory);
}

/* Runs a case in a namespace of its own. */
#define RUN(run_case)                                                                              \
  do {                                                                                             \
    check_case = #run_case;                                                                        \
    snprintf(space_name, sizeof space_name, "c-%d-%s", (int)getpid(), check_case);                 \
    run_case();                                                                                    \
    check_leftovers();                                                                             \
  } while (0)

#define BEGIN(what)                                                                                \
  do {                                                                                             \
    printf("%s\n", what);                                                                          \
    fflush(stdout);                                                                                \
    own_memory();                                                                                  \
  } while (0)

#endif
