// A stream that passes everything on to another: what a test changes, it overrides.
#pragma once

#include <utility>

#include "winze/io/stream.h"

namespace winze::test {

class StreamAround : public Stream {
 public:
  explicit StreamAround(StreamPtr below) : below_(std::move(below)) {}

  void read(ReadHandler handler) override { below_->read(std::move(handler)); }
  void write(Buffer data, WriteHandler handler) override { below_->write(std::move(data), std::move(handler)); }
  void shutdown_write(WriteHandler handler) override { below_->shutdown_write(std::move(handler)); }
  void close() override { below_->close(); }
  void abort() override { below_->abort(); }
  Overhead overhead() const override { return below_->overhead(); }
  void reserve(Overhead room) override { below_->reserve(room); }
  void limit_unsent(std::size_t bytes) override { below_->limit_unsent(bytes); }
  const Executor& executor() const override { return below_->executor(); }
  Endpoint local() const override { return below_->local(); }
  Endpoint remote() const override { return below_->remote(); }

 protected:
  StreamPtr below_;
};

}  // namespace winze::test
