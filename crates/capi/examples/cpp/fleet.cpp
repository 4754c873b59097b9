// Three workers, one of which is killed, and a main process that reads them: fleet
#include <tearless.hpp>

#include <cstring>
#include <iostream>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

struct worker_state {
  std::uint64_t jobs;
  double load;
  char task[16];
};
TL_DESCRIBE(worker_state, TL_FIELD(worker_state, jobs), TL_FIELD(worker_state, load),
            TL_FIELD(worker_state, task));

static const std::string space = "fleet-" + std::to_string(getpid());

static int work(int number) {
  // Opened after the fork: a writer belongs to the process that opened it.
  tearless::Namespace fleet(space);
  tearless::Writer<worker_state> writer(fleet, "worker-" + std::to_string(number));
  worker_state state = {};
  std::strcpy(state.task, "sort");
  for (;;) {
    state.jobs++;
    state.load = 0.25 * number;
    writer.publish(state);
    usleep(1000);
  }
}

int main() try {
  std::vector<pid_t> workers;
  for (int number = 1; number <= 3; number++) {
    pid_t pid = fork();
    if (pid == 0) return work(number);
    workers.push_back(pid);
  }

  tearless::Namespace fleet(space);
  tearless::ReaderOptions patient;
  patient.attach_timeout = 10s;
  std::vector<tearless::Reader<worker_state>> readers;
  for (int number = 1; number <= 3; number++) {
    readers.emplace_back(fleet, "worker-" + std::to_string(number), patient);
    readers.back().wait();
  }
  kill(workers[1], SIGKILL);
  waitpid(workers[1], nullptr, 0);

  for (auto &reader : readers) {
    auto snapshot = reader.read();
    std::cout << reader.channel().name << ": " << reader.writer_state().state_name << ", "
              << (*snapshot)->task << ", load " << (*snapshot)->load << '\n';
  }

  // The channel of a killed worker stays until it is removed, or the next writer of it is closed.
  for (pid_t pid : workers) kill(pid, SIGKILL);
  while (wait(nullptr) > 0) {}
  for (const auto &channel : fleet.channels()) fleet.remove(channel.name);
} catch (const tearless::Error &error) {
  std::cerr << error.status_name() << ": " << error.what() << '\n';
  return 1;
}
