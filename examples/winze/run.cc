// `winze run`: one thread, event loop and Instance per core, all from one configuration; signals go to the first.
#include <malloc.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "commands.h"
#include "footprint.h"
#include "load.h"
#include "winze/base/status.h"
#include "winze/io/system.h"
#include "winze/node/instance.h"
#include "winze/node/ipsec.h"

namespace winze::tool {
namespace {

struct Worker {
  asio::io_context context{1};
  // One that listens nowhere, because it is not the first, waits to be stopped all the same.
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  SystemEnvironment system{context.get_executor()};
  std::unique_ptr<node::Instance> instance;
  std::thread thread;  // none for the first
};

int fail(const absl::Status& status) {
  std::fprintf(stderr, "winze: %s\n", std::string(message_of(status)).c_str());
  return 1;
}

node::LogOptions::Level to_level(const std::string& name) {
  using Level = node::LogOptions::Level;
  if (name == "debug") return Level::kDebug;
  if (name == "info") return Level::kInfo;
  if (name == "warning") return Level::kWarning;
  return name == "error" ? Level::kError : Level::kNone;
}

// Who reads the file sees the old text or the new one, whole. "-" is standard output.
std::error_code replace_file(const std::string& name, const std::string& text) {
  const std::string fresh = name + ".new";
  std::FILE* file = name == "-" ? stdout : std::fopen(fresh.c_str(), "w");
  if (file == nullptr) return {errno, std::system_category()};
  bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
  if (file == stdout) return written ? std::error_code() : std::error_code(errno, std::system_category());
  written = std::fclose(file) == 0 && written && std::rename(fresh.c_str(), name.c_str()) == 0;
  return written ? std::error_code() : std::error_code(errno, std::system_category());
}

class Runner {
 public:
  Runner(node::NodeOptions options, const RunOptions& run) : options_(std::move(options)), run_(run) {}

  int run() {
    if (absl::Status status = start(); !status.ok()) return fail(status);
    log_->message(Severity::kInfo, "running");
    watch_signals();
    for (std::size_t i = 1; i < workers_.size(); ++i) {
      workers_[i]->thread = std::thread([worker = workers_[i].get()] { worker->context.run(); });
    }
    drop_startup_memory();
    workers_[0]->context.run();
    for (auto& worker : workers_) {
      if (worker->thread.joinable()) worker->thread.join();
    }
    log_->message(Severity::kInfo, "stopped");
    return 0;
  }

 private:
  absl::Status start() {
    const auto format = run_.log_format == "json" ? node::LogFormat::kJson : node::LogFormat::kText;
    if (!run_.log_level.empty()) options_.log.level = to_level(run_.log_level);
    if (absl::Status status = node::Log::create(options_.log, format, log_); !status.ok()) return status;
    auto contexts = node::TlsContexts::create(options_);
    if (!contexts.ok()) return contexts.status();
    contexts_ = std::move(*contexts);
    auto ledger = node::Ledger::create(options_);
    if (!ledger.ok()) return ledger.status();
    ledger_ = std::move(*ledger);
    auto commons = node::Commons::create(options_, std::time(nullptr));
    if (!commons.ok()) return commons.status();
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    const unsigned threads = run_.threads != 0 ? run_.threads : cores;
    for (unsigned i = 0; i < threads; ++i) {
      auto worker = std::make_unique<Worker>();
      worker->system.environment().observer = log_.get();
      auto instance = node::Instance::create(worker->system, options_, contexts_, *log_, ledger_, *commons);
      if (!instance.ok()) return instance.status();
      worker->instance = std::move(*instance);
      if (absl::Status status = worker->instance->listen({.index = i, .count = threads}); !status.ok()) return status;
      workers_.push_back(std::move(worker));
    }
    return start_ipsec();
  }

  // On the first thread: a TUN interface and UDP ports are no matter of many.
  absl::Status start_ipsec() {
    if (options_.ipsec.empty()) return absl::OkStatus();
    Worker& first = *workers_[0];
    auto ipsec = node::Ipsec::create(
        first.system, options_.ipsec,
        {.outbound = [&first](std::string_view tag) { return first.instance->outbound(tag); }},
        {.on_message = [this](Severity severity, std::string_view text) { log_->message(severity, text); }});
    if (!ipsec.ok()) return ipsec.status();
    ipsec_ = std::move(*ipsec);
    return absl::OkStatus();
  }

  void watch_signals() {
    signals_ = std::make_unique<asio::signal_set>(workers_[0]->context, SIGINT, SIGTERM, SIGHUP);
    signals_->add(SIGUSR1);
    wait_for_signal();
    heap_timer_ = workers_[0]->system.environment().clock.make_timer();
    watch_heap();
    if (run_.stats_seconds != 0) {
      stats_timer_ = workers_[0]->system.environment().clock.make_timer();
      wait_for_statistics();
    }
  }

  void wait_for_signal() {
    signals_->async_wait([this](std::error_code error, int signal) {
      if (error) return;
      if (signal == SIGUSR1) {
        write_statistics();
      } else if (signal == SIGHUP) {
        absl::Status status = contexts_->reload();
        if (ipsec_) status.Update(ipsec_->reload());
        log_->message(status.ok() ? Severity::kInfo : Severity::kError,
                      status.ok() ? std::string_view("certificates read again") : message_of(status));
      } else if (!std::exchange(stopping_, true)) {
        log_->message(Severity::kInfo, "stopping");
        stop();
      } else {
        // Asked twice: no more waiting.
        for (auto& worker : workers_) worker->context.stop();
        return;
      }
      wait_for_signal();
    });
  }

  void watch_heap() {
    heap_timer_->arm(workers_[0]->system.environment().clock.now() + std::chrono::seconds(5), [this] {
      heap_.look();
      watch_heap();
    });
  }

  void wait_for_statistics() {
    const auto next = workers_[0]->system.environment().clock.now() + std::chrono::seconds(run_.stats_seconds);
    stats_timer_->arm(next, [this] {
      write_statistics();
      wait_for_statistics();
    });
  }

  void write_statistics() {
    const std::string text = ledger_->statistics().to_json() + "\n";
    const std::error_code error = replace_file(run_.stats_file, text);
    if (error) log_->message(Severity::kError, "statistics: " + run_.stats_file + ": " + error.message());
  }

  void stop() {
    if (!ipsec_) return drain();
    ipsec_->stop(std::chrono::seconds(run_.grace_seconds), [this] { drain(); });
  }

  void drain() {
    draining_ = workers_.size();
    for (auto& worker : workers_) {
      asio::post(worker->context, [this, &worker = *worker] {
        worker.instance->stop(std::chrono::seconds(run_.grace_seconds), [this, &worker] {
          worker.work.reset();
          if (--draining_ == 0) {
            asio::post(workers_[0]->context, [this] {
              ipsec_.reset();
              signals_->cancel();
              heap_timer_.reset();
              stats_timer_.reset();
            });
          }
        });
      });
    }
  }

  node::NodeOptions options_;
  RunOptions run_;
  std::unique_ptr<node::Log> log_;
  std::shared_ptr<node::TlsContexts> contexts_;
  std::shared_ptr<node::Ledger> ledger_;
  std::vector<std::unique_ptr<Worker>> workers_;
  HeapWatch heap_;
  TimerPtr heap_timer_;
  TimerPtr stats_timer_;
  std::unique_ptr<node::Ipsec> ipsec_;  // of the first worker's executor
  std::unique_ptr<asio::signal_set> signals_;
  bool stopping_ = false;
  std::atomic<std::size_t> draining_{0};
};

}  // namespace

int run(node::NodeOptions nodes, const RunOptions& options) {
  // One heap for all threads: with one per thread, what one frees another does not reuse.
  ::mallopt(M_ARENA_MAX, 1);
  return Runner(std::move(nodes), options).run();
}

int run(const ConfigFiles& files, const RunOptions& options) {
  auto loaded = load(files);
  return loaded ? run(std::move(*loaded), options) : 1;
}

}  // namespace winze::tool
