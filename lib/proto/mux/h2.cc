#include "winze/proto/mux/h2.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

constexpr std::size_t kHeadSize = 9;
// What nghttp2 puts into a frame; each peer takes it.
constexpr std::size_t kLargestChunk = 16384;
// Before the server has said.
constexpr std::size_t kStreamsAtFirst = 100;
constexpr std::int32_t kConnectionWindow = 64 << 20;
constexpr std::size_t kLargestHead = 8192;
constexpr std::size_t kFieldCost = 32;  // RFC 9113 §6.5.2

nghttp2_nv field(std::string_view name, std::string_view value) {
  // nghttp2 copies both and changes neither.
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string_view text_of(const std::uint8_t* data, std::size_t size) { return as_text({data, size}); }

}  // namespace

// What nghttp2 calls. Those of receiving run within receive(), the others within pump().
struct H2Session::Callbacks {
  static H2Session& self(void* user) { return *static_cast<H2Session*>(user); }

  // --- sending ---

  static ssize_t send(nghttp2_session*, const std::uint8_t* data, std::size_t size, int, void* user) {
    self(user).control_.append(std::span(data, size));
    return static_cast<ssize_t>(size);
  }

  static ssize_t read_source(nghttp2_session*, std::int32_t number, std::uint8_t*, std::size_t length,
                             std::uint32_t* flags, nghttp2_data_source*, void* user) {
    const Stream* stream = self(user).find_number(number);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (stream->source.empty()) {
      if (!stream->ended) return NGHTTP2_ERR_DEFERRED;
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(std::min({length, stream->source.size(), kLargestChunk}));
  }

  // In place: heads stand between the payload's chunks, which move to make room.
  static int send_source(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t length,
                         nghttp2_data_source*, void* user) {
    H2Session& session = self(user);
    Stream* stream = session.find_number(frame->hd.stream_id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    // An end alone, maybe of another sub-stream.
    if (length == 0) {
      session.control_.append(std::span(head, kHeadSize));
      return 0;
    }
    std::memcpy(session.to_, head, kHeadSize);
    std::memmove(session.to_ + kHeadSize, stream->source.data(), length);
    session.to_ += kHeadSize + length;
    stream->source = stream->source.subspan(length);
    return 0;
  }

  // --- receiving ---

  // Also of frames that nghttp2 then refuses.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd*, void* user) {
    return ++self(user).idle_frames_ > kMostIdleFrames ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame*, void* user) {
    self(user).head_is_wanted_ = false;
    self(user).head_size_ = 0;
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    H2Session& session = self(user);
    session.head_size_ += name_size + value_size + kFieldCost;
    if (session.head_size_ > kLargestHead) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the sub-stream
    const bool client = session.role_ == Role::kClient;
    if (text_of(name, name_size) == (client ? ":status" : ":method")) {
      session.head_is_wanted_ = text_of(value, value_size) == (client ? "200" : "CONNECT");
    }
    return 0;
  }

  static int data(nghttp2_session* session, std::uint8_t, std::int32_t number, const std::uint8_t* bytes,
                  std::size_t size, void* user) {
    H2Session& self_ = self(user);
    nghttp2_session_consume_connection(session, size);
    if (size != 0) self_.idle_frames_ = 0;
    StreamId id = 0;
    if (self_.find_number(number, &id) != nullptr) self_.events_->on_data(id, {bytes, size});
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Session& session = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_SETTINGS:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
        session.has_settings_ = true;
        session.events_->on_writable(0);
        break;
      case NGHTTP2_GOAWAY:
        session.leave();
        break;
      case NGHTTP2_WINDOW_UPDATE:
        writable(session, frame->hd.stream_id);
        break;
      case NGHTTP2_HEADERS:
        head(session, *frame);
        [[fallthrough]];
      case NGHTTP2_DATA:
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) end(session, frame->hd.stream_id);
        break;
      default:
        break;
    }
    return 0;
  }

  static void writable(H2Session& session, std::int32_t number) {
    StreamId id = 0;
    if (number == 0 || session.find_number(number, &id) != nullptr) session.events_->on_writable(id);
  }

  static void head(H2Session& session, const nghttp2_frame& frame) {
    if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) return session.begin_stream(frame.hd.stream_id);
    StreamId id = 0;
    if (frame.headers.cat != NGHTTP2_HCAT_RESPONSE || session.head_is_wanted_) return;
    if (session.find_number(frame.hd.stream_id, &id) == nullptr) return;
    session.close(id, true);
    session.events_->on_close(id, Errc::kRefused);
  }

  static void end(H2Session& session, std::int32_t number) {
    StreamId id = 0;
    Stream* stream = session.find_number(number, &id);
    if (stream == nullptr || std::exchange(stream->peer_ended, true)) return;
    session.events_->on_end(id);
  }

  static int closed(nghttp2_session*, std::int32_t number, std::uint32_t error, void* user) {
    H2Session& session = self(user);
    StreamId id = 0;
    Stream* stream = session.find_number(number, &id);
    if (stream == nullptr || session.events_ == nullptr) return 0;
    // Ended on both sides it is for close() to forget.
    if (error == NGHTTP2_NO_ERROR && stream->ended && stream->peer_ended) return 0;
    const bool orderly = error == NGHTTP2_NO_ERROR && stream->peer_ended;
    session.forget(id, orderly ? winze::make_error_code(winze::Errc::kEof) : session.cause_of(error));
    return 0;
  }

  // Our GOAWAY: nghttp2's answer to what breaks the protocol.
  static int sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      self(user).failure_ = frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? Errc::kFlood : Errc::kBadFrame;
    }
    return 0;
  }

  static void create(H2Session& owner) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_session_callbacks_set_send_callback(callbacks, send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_source);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, closed);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sent);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    // It reads a clock, and ends a carrier on which sub-streams are closed faster than 33 a second; peers close them by
    // RST_STREAM. Bounds are kMostIdleFrames and what a driver lets be open.
    constexpr auto kAny = std::numeric_limits<std::uint64_t>::max();
    nghttp2_option_set_stream_reset_rate_limit(option, kAny, kAny);
    const auto make = owner.role_ == Role::kClient ? nghttp2_session_client_new2 : nghttp2_session_server_new2;
    make(&owner.session_, callbacks, &owner, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
  }
};

H2Session::H2Session(Role role) : role_(role) {
  Callbacks::create(*this);
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, role == Role::kServer ? kMostStreams : 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kLargestHead},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  // Only clients have anything to say about push.
  const std::size_t count = std::size(settings) - (role == Role::kServer ? 1 : 0);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, count);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  pump();
}

H2Session::~H2Session() { nghttp2_session_del(session_); }

H2Session::Stream* H2Session::find(StreamId id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : &found->second;
}

H2Session::Stream* H2Session::find_number(std::int32_t number, StreamId* id) {
  const auto ours = reinterpret_cast<std::uintptr_t>(nghttp2_session_get_stream_user_data(session_, number));
  if (ours == 0) return nullptr;
  if (id != nullptr) *id = static_cast<StreamId>(ours);
  return find(static_cast<StreamId>(ours));
}

// --- sending ---

void H2Session::pump() {
  if (!reading_) nghttp2_session_send(session_);
}

std::optional<StreamId> H2Session::open(const Opening& opening) {
  if (!may_open() || opening.datagrams) return std::nullopt;
  const StreamId id = next_id_++;
  streams_.emplace(id, Stream{});
  return id;
}

bool H2Session::may_open() const {
  if (role_ == Role::kServer || leaving_ || nghttp2_session_check_request_allowed(session_) == 0) return false;
  const std::uint32_t most = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return streams_.size() < (has_settings_ ? most : kStreamsAtFirst);
}

bool H2Session::is_unannounced(StreamId id) const {
  const auto found = streams_.find(id);
  return found != streams_.end() && found->second.number == 0;
}

std::size_t H2Session::window(StreamId id) const {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return kNoWindow;  // seal() drops it
  const std::int32_t number = found->second.number;
  const std::int64_t all = nghttp2_session_get_remote_window_size(session_);
  const std::int64_t own =
      number == 0 ? std::int64_t{nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)}
                  : std::int64_t{nghttp2_session_get_stream_remote_window_size(session_, number)};
  return static_cast<std::size_t>(std::max<std::int64_t>(std::min(all, own), 0));
}

void H2Session::announce(StreamId id, Stream& stream) {
  const nghttp2_nv fields[] = {field(":method", "CONNECT"), field(":authority", "localhost")};
  const nghttp2_data_provider source{.source = {.ptr = nullptr}, .read_callback = Callbacks::read_source};
  stream.number = nghttp2_submit_request(session_, nullptr, fields, std::size(fields), &source,
                                         reinterpret_cast<void*>(std::uintptr_t{id}));
  pump();
}

void H2Session::seal(StreamId id, Buffer& data) {
  Stream* stream = find(id);
  if (stream == nullptr) return data.clear();
  if (stream->number == 0) announce(id, *stream);
  const Buffer before = std::move(control_);  // what announces it, and what nghttp2 had to say before
  const std::size_t size = data.size();
  if (size != 0) {
    idle_frames_ = 0;
    const std::size_t heads = (size + kLargestChunk - 1) / kLargestChunk * kHeadSize;
    to_ = data.prepend(heads);
    stream->source = std::as_const(data).span().subspan(heads);
    nghttp2_session_resume_data(session_, stream->number);
    pump();
    to_ = nullptr;
    // There was room for all: what is left is of a request that the peer does not take any more.
    if (!std::exchange(stream->source, {}).empty()) {
      lost_.push_back(id);
      data.clear();
    }
  }
  if (!before.empty()) std::memcpy(data.prepend(before.size()), before.data(), before.size());
}

void H2Session::end(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr || std::exchange(stream->ended, true)) return;
  if (stream->number == 0) return announce(id, *stream);
  nghttp2_session_resume_data(session_, stream->number);
  pump();
}

void H2Session::close(StreamId id, bool failed) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  if (stream->number != 0) {
    if (!failed) end(id);
    if (failed || !stream->peer_ended) {
      const std::uint32_t code = failed || role_ == Role::kClient ? NGHTTP2_CANCEL : NGHTTP2_NO_ERROR;
      const bool over = stream->ended && stream->peer_ended;
      if (!over) nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->number, code);
    }
  }
  streams_.erase(id);
  pump();
}

void H2Session::consumed(StreamId id, std::size_t bytes) {
  const Stream* stream = find(id);
  if (stream == nullptr || stream->peer_ended) return;
  nghttp2_session_consume_stream(session_, stream->number, bytes);
  pump();
}

// --- receiving ---

void H2Session::begin_stream(std::int32_t number) {
  if (!head_is_wanted_) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, number, NGHTTP2_REFUSED_STREAM);
    return;
  }
  const auto id = static_cast<StreamId>(number);
  streams_.emplace(id, Stream{.number = number});
  nghttp2_session_set_stream_user_data(session_, number, reinterpret_cast<void*>(std::uintptr_t{id}));
  events_->on_open(id, {});
  if (!streams_.contains(id)) return;
  const nghttp2_nv fields[] = {field(":status", "200")};
  const nghttp2_data_provider source{.source = {.ptr = nullptr}, .read_callback = Callbacks::read_source};
  nghttp2_submit_response(session_, number, fields, std::size(fields), &source);
}

void H2Session::forget(StreamId id, std::error_code error) {
  streams_.erase(id);
  events_->on_close(id, error);
}

// Within pump() it is nghttp2 that resets the sub-stream, for what the peer has done.
std::error_code H2Session::cause_of(std::uint32_t reset) const {
  if (reading_) return reset == NGHTTP2_REFUSED_STREAM ? Errc::kRefused : Errc::kReset;
  return reset == NGHTTP2_FLOW_CONTROL_ERROR ? Errc::kWindowExceeded : Errc::kBadFrame;
}

// What has not been announced cannot be any more.
void H2Session::leave() {
  leaving_ = true;
  absl::erase_if(streams_, [this](const auto& entry) {
    if (entry.second.number != 0) return false;
    events_->on_close(entry.first, Errc::kCarrierEnded);
    return true;
  });
}

std::error_code H2Session::receive(std::span<const std::uint8_t> bytes, Events& events) {
  events_ = &events;
  reading_ = true;
  const ssize_t taken = nghttp2_session_mem_recv(session_, bytes.data(), bytes.size());
  for (const StreamId id : std::exchange(lost_, {})) {
    if (find(id) == nullptr) continue;
    close(id, true);
    events.on_close(id, Errc::kReset);
  }
  reading_ = false;
  pump();  // which may end sub-streams, too
  events_ = nullptr;
  if (idle_frames_ > kMostIdleFrames || control_.size() > kControlLimit) return Errc::kFlood;
  if (taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) return Errc::kFlood;
  if (taken < 0) return Errc::kBadFrame;
  if (failure_) return failure_;
  return nghttp2_session_want_read(session_) == 0 ? Errc::kCarrierEnded : std::error_code();
}

}  // namespace winze::mux
