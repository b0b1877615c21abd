// For hosts that live on Asio: a winze Stream as an AsyncReadStream and AsyncWriteStream, and dialing with any
// completion token (a callback, asio::use_awaitable, asio::use_future).
//
//   winze::AsioStream stream(co_await winze::async_dial(*dialer, {"example.org", 80}, asio::use_awaitable));
//   co_await asio::async_write(stream, asio::buffer(request), asio::use_awaitable);
//
// Everything belongs to the stream's executor, as with the Stream itself. Cancellation of any type ends the operation:
// that of a dial cancels the dial; that of a read or write closes the stream, because a Stream has no other way to take
// one back. An AsioStream may be moved while no operation is pending.
#pragma once

#include <algorithm>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/dialer.h"
#include "winze/io/stream.h"

namespace winze {

namespace detail {

// Errc::kEof under the name that Asio's composed operations look for.
inline std::error_code to_asio(std::error_code error) {
  return error == Errc::kEof ? std::error_code(asio::error::eof) : error;
}

template <typename Handler, typename... Results>
void complete(Handler handler, const Executor& executor, Results... results) {
  const auto run_on = asio::get_associated_executor(handler, executor);
  asio::dispatch(run_on, [handler = std::move(handler), ... results = std::move(results)]() mutable {
    std::move(handler)(std::move(results)...);
  });
}

}  // namespace detail

class AsioStream {
 public:
  using executor_type = Executor;

  explicit AsioStream(StreamPtr stream) : stream_(std::move(stream)) {}

  // Const, as Asio's own get_executor() is.
  executor_type get_executor() const { return stream_->executor(); }
  // The stream beneath, and the way out of the adapter. Bytes that were read ahead stay behind: see buffered().
  Stream& next_layer() { return *stream_; }
  StreamPtr release() { return std::move(stream_); }
  std::size_t buffered() const { return unread_.size(); }

  // Signature: void(std::error_code, std::size_t). At the end: asio::error::eof.
  // One read is pending at most; so is one write.
  template <typename MutableBuffers, typename Token>
  auto async_read_some(const MutableBuffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(std::error_code, std::size_t)>(
        [this](auto handler, const MutableBuffers& into) {
          if (!unread_.empty() || asio::buffer_size(into) == 0) {
            const Executor executor = get_executor();
            asio::post(executor, [this, executor, into, handler = std::move(handler)]() mutable {
              const std::size_t n = take(into);
              detail::complete(std::move(handler), executor, std::error_code(), n);
            });
            return;
          }
          close_when_cancelled(handler);
          stream_->read([this, executor = get_executor(), into, handler = std::move(handler)](std::error_code error,
                                                                                              Buffer data) mutable {
            std::size_t n = 0;
            if (!error) {
              unread_ = std::move(data);
              n = take(into);
            }
            detail::complete(std::move(handler), executor, detail::to_asio(error), n);
          });
        },
        token, buffers);
  }

  template <typename ConstBuffers, typename Token>
  auto async_write_some(const ConstBuffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(std::error_code, std::size_t)>(
        [this](auto handler, const ConstBuffers& from) {
          // A copy, because the layers below work in place and the caller's bytes are constant.
          const std::size_t size = std::min(asio::buffer_size(from), kLargestWrite);
          const Overhead room = stream_->overhead();
          Buffer data(room.front + size + room.back, room.front);
          asio::buffer_copy(asio::buffer(data.append(size), size), from);
          close_when_cancelled(handler);
          stream_->write(std::move(data), [executor = get_executor(), size,
                                           handler = std::move(handler)](std::error_code error) mutable {
            detail::complete(std::move(handler), executor, detail::to_asio(error), error ? 0 : size);
          });
        },
        token, buffers);
  }

  // Half-close. Signature: void(std::error_code).
  template <typename Token>
  auto async_shutdown_write(Token&& token) {
    return asio::async_initiate<Token, void(std::error_code)>(
        [this](auto handler) {
          stream_->shutdown_write(
              [executor = get_executor(), handler = std::move(handler)](std::error_code error) mutable {
                detail::complete(std::move(handler), executor, detail::to_asio(error));
              });
        },
        token);
  }

  void close() { stream_->close(); }

 private:
  static constexpr std::size_t kLargestWrite = 256 << 10;

  template <typename MutableBuffers>
  std::size_t take(const MutableBuffers& into) {
    const std::size_t n = asio::buffer_copy(into, asio::buffer(unread_.data(), unread_.size()));
    unread_.trim_front(n);
    if (unread_.empty()) unread_.release();
    return n;
  }

  template <typename Handler>
  void close_when_cancelled(const Handler& handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) slot.assign([this](asio::cancellation_type) { stream_->close(); });
  }

  StreamPtr stream_;
  Buffer unread_;  // read, but not yet asked for
};

// Signature: void(std::error_code, StreamPtr). The dialer must outlive the operation.
template <typename Token>
auto async_dial(Dialer& dialer, const Destination& destination, Token&& token) {
  return asio::async_initiate<Token, void(std::error_code, StreamPtr)>(
      [&dialer](auto handler, const Destination& to) {
        auto pending = std::make_shared<Pending>();
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) slot.assign([pending](asio::cancellation_type) { pending->cancel(); });
        *pending = dialer.dial(to, [pending, executor = dialer.executor(), handler = std::move(handler)](
                                       std::error_code error, StreamPtr stream) mutable {
          pending->detach();
          detail::complete(std::move(handler), executor, error, std::move(stream));
        });
      },
      token, destination);
}

}  // namespace winze
