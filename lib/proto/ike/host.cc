#include "host.h"

#include <algorithm>
#include <array>
#include <utility>

#include "key_log.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kMarkerSize = 4;

// Who has one address of a network of IPv6 has them all.
IpAddress source_of(const Path& path) {
  const IpAddress& address = path.remote.address;
  if (address.is_v4()) return address;
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.bytes().first(8), bytes.begin());
  return IpAddress::v6(bytes);
}

}  // namespace

Host::Host(EngineOptions given, Random& source) : options(std::move(given)), random(source) {
  waker->wake = std::move(options.wake);
}
Host::~Host() {
  waker->wake = nullptr;
  sas.clear();
}

// --- Datagrams

void Host::receive(TimePoint now, const Path& path, Buffer datagram) {
  ++counters.received;
  if (path.marker || path.stream) {
    if (datagram.size() < kMarkerSize || load_u32(datagram.data()) != 0) {
      ++counters.malformed;
      return;
    }
    datagram.trim_front(kMarkerSize);
  }
  const auto header = decode_header(datagram.span());
  if (!header || header->version >> 4 != kVersion >> 4) {
    ++counters.malformed;
    if (header && !header->response && header->version >> 4 > kVersion >> 4) refuse_version(path, *header);
    return;
  }
  if ((header->exchange == Exchange::kInit || header->exchange == Exchange::kSessionResume) && !header->response) {
    if (header->initiator && header->spi_r == 0 && header->message_id == 0) {
      receive_first(now, path, *header, datagram);
    } else {
      ++counters.malformed;
    }
    return settle(nullptr);
  }
  // The flag says who of the two is the sender; the other SPI is ours.
  const auto found = sas.find(header->initiator ? header->spi_r : header->spi_i);
  if (found == sas.end()) {
    ++counters.unknown_sa;
    return;
  }
  Sa& sa = *found->second;
  sa.receive(now, path, *header, datagram);
  settle(&sa);
}

// RFC 7296 section 2.5.
void Host::refuse_version(const Path& path, const Header& request) {
  if (options.connections.empty()) return;
  Buffer answer(64, kHeaderSize + kMarkerSize);
  PayloadWriter out(answer);
  write_notify(out, notify::kInvalidMajorVersion);
  prepend_header(answer, {.spi_i = request.spi_i,
                          .spi_r = request.spi_r,
                          .first = out.first(),
                          .exchange = request.exchange,
                          .initiator = !request.initiator,
                          .response = true,
                          .message_id = request.message_id});
  transmit(path, std::move(answer));
}

void Host::transmit(const Path& path, Buffer message) {
  if (path.marker || path.stream) store_u32(message.prepend(kMarkerSize), 0);
  ++counters.sent;
  transmits.push_back({path, std::move(message)});
}

// --- Numbers

std::uint64_t Host::new_spi() {
  for (;;) {
    const std::uint64_t spi = random.u64();
    if (spi != 0 && !sas.contains(spi)) return spi;
  }
}

std::uint32_t Host::new_child_spi() {
  for (;;) {
    const auto spi = static_cast<std::uint32_t>(random.u64());
    if (spi >= esp::kFirstSpi && by_child_spi.try_emplace(spi, nullptr, ChildId{}).second) return spi;
  }
}

QuestionId Host::ask(Sa& sa) {
  const auto question = static_cast<QuestionId>(++last_question_);
  questions[question] = &sa;
  return question;
}

// --- SAs

Sa* Host::find(SaId sa) const {
  const auto found = by_id.find(sa);
  return found == by_id.end() ? nullptr : found->second;
}

Sa* Host::find(ChildId child) const {
  const auto found = by_child.find(child);
  return found == by_child.end() ? nullptr : found->second;
}

Sa& Host::add(std::unique_ptr<Sa> sa) {
  Sa& added = *sa;
  if (added.id != SaId{}) by_id[added.id] = &added;
  sas[added.own_spi()] = std::move(sa);
  touch(added);
  return added;
}

void Host::doom(Sa& sa) {
  if (sa.doomed) return;
  sa.doomed = true;
  doomed_.push_back(&sa);
}

void Host::touch(Sa& sa) {
  if (!sa.doomed) deadlines.set(sa, sa.next_due());
}

void Host::settle(Sa* touched) {
  if (touched != nullptr) touch(*touched);
  while (!doomed_.empty()) {
    Sa* const sa = doomed_.back();
    doomed_.pop_back();
    if (sa->id != SaId{}) by_id.erase(sa->id);
    leave_half_open(*sa);
    sas.erase(sa->own_spi());
  }
}

std::size_t Host::half_open_of(const Path& path) const {
  const auto found = half_open_by_source_.find(source_of(path));
  return path.stream || found == half_open_by_source_.end() ? 0 : found->second;
}

void Host::enter_half_open(Sa& sa) {
  const Path& path = sa.handshake()->route.first;
  ++half_open;
  openings_[{sa.spis().i, path.remote}] = &sa;
  ++half_open_by_source_[source_of(path)];
}

void Host::leave_half_open(Sa& sa) {
  if (!sa.half_open() || sa.handshake() == nullptr) return;
  const Path& path = sa.handshake()->route.first;
  --half_open;
  half_open_fragments -= sa.fragment_bytes();
  openings_.erase({sa.spis().i, path.remote});
  const auto of_source = half_open_by_source_.find(source_of(path));
  if (--of_source->second == 0) half_open_by_source_.erase(of_source);
}

Sa& Host::initiate(TimePoint now, ConnectionPtr connection, const Route& route, Opening opening) {
  auto made = std::make_unique<Sa>(*this, true, std::move(connection), route.first);
  made->id = new_sa_id();
  made->spis_.i = new_spi();
  Sa& sa = add(std::move(made));
  sa.begin(now, route, std::move(opening));
  touch(sa);
  return sa;
}

Sa* Host::reauthenticate(TimePoint now, Sa& sa, const Route& route) {
  if (!sa.client_ || sa.state() != Sa::State::kUp) return nullptr;
  return &initiate(now, sa.connection(), route, {.replaces = sa.id});
}

void Host::retire(TimePoint now, SaId replaced) {
  Sa* const old = find(replaced);
  if (old == nullptr) return;
  old->closing_cause_ = Cause::kReplaced;
  old->close(now);
  touch(*old);
}

std::vector<Sa*> Host::others_of_peer(const Sa& sa) const {
  std::vector<Sa*> others;
  for (const auto& [spi, other] : sas) {
    if (other.get() == &sa || other->state() != Sa::State::kUp || other->id == SaId{}) continue;
    if (other->same_peer(sa)) others.push_back(other.get());
  }
  return others;
}

bool Host::has_contact(const Sa& sa) const {
  const Identity* const wanted = last_peer_round(*sa.connection_).id.exact();
  return std::ranges::any_of(sas, [&](const auto& entry) {
    const Sa& other = *entry.second;
    if (&other == &sa || !other.client_ || other.state() != Sa::State::kUp || other.id == SaId{}) return false;
    const bool same =
        wanted != nullptr ? other.remote_ == *wanted : other.path_.remote.address == sa.path_.remote.address;
    return same && other.lasting_identity() == sa.lasting_identity();
  });
}

void Host::log_keys(const Sa& sa) {
  if (!options.key_log) return;
  options.key_log(key_log_line(sa.spis(), sa.suite(), sa.keys()));
}

// --- Time

void Host::on_deadline(TimePoint now) {
  for (const std::uint64_t spi : std::exchange(waker->ready, {})) {
    const auto found = sas.find(spi);
    if (found == sas.end() || found->second->doomed) continue;
    found->second->on_signed(now);
    touch(*found->second);
  }
  // Each SA once: what it does may be due again at once, but not before the host has looked.
  std::vector<Sa*> due;
  while (deadlines.next() <= now) {
    Sa* const sa = static_cast<Sa*>(deadlines.first());
    deadlines.remove(*sa);
    due.push_back(sa);
  }
  for (Sa* const sa : due) {
    if (!sa->doomed) sa->on_time(now);
    touch(*sa);
  }
  settle(nullptr);
}

// --- The engine

Engine::Engine(EngineOptions options, Random& random) : host_(std::make_unique<Host>(std::move(options), random)) {}
Engine::~Engine() = default;

void Engine::receive(TimePoint now, const Path& path, Buffer datagram) {
  host_->receive(now, path, std::move(datagram));
}

std::optional<Transmit> Engine::next_transmit() {
  if (host_->transmits.empty()) return std::nullopt;
  std::optional<Transmit> next = std::move(host_->transmits.front());
  host_->transmits.pop_front();
  return next;
}

std::optional<Event> Engine::next_event() {
  if (host_->events.empty()) return std::nullopt;
  std::optional<Event> next = std::move(host_->events.front());
  host_->events.pop_front();
  return next;
}

TimePoint Engine::deadline() const { return host_->waker->ready.empty() ? host_->deadlines.next() : TimePoint::min(); }
void Engine::on_deadline(TimePoint now) { host_->on_deadline(now); }

void Engine::set_connections(std::vector<ConnectionPtr> connections) {
  host_->options.connections = std::move(connections);
}

void Engine::redirect_newcomers(std::optional<Gateway> gateway) { host_->elsewhere = std::move(gateway); }

void Engine::set_addresses(TimePoint now, std::vector<IpAddress> addresses) {
  if (addresses == host_->addresses) return;
  host_->addresses = std::move(addresses);
  std::vector<Sa*> all;
  for (const auto& [spi, sa] : host_->sas) all.push_back(sa.get());
  for (Sa* const sa : all) {
    sa->tell_addresses(now);
    host_->touch(*sa);
  }
}

SaId Engine::initiate(TimePoint now, ConnectionPtr connection, const Route& route, Opening opening) {
  Sa& sa = host_->initiate(now, std::move(connection), route, std::move(opening));
  const SaId id = static_cast<SaId>(host_->last_sa());
  host_->settle(&sa);
  return id;
}

namespace {

// A command about something that may be gone.
template <typename Id, typename F>
bool with(Host& host, Id id, F command) {
  Sa* const sa = host.find(id);
  if (sa == nullptr) return false;
  const bool done = command(*sa);
  host.settle(sa);
  return done;
}

}  // namespace

bool Engine::add_child(TimePoint now, SaId sa, ChildConfigPtr child) {
  return with(*host_, sa, [&](Sa& found) { return found.add_child(now, std::move(child)); });
}
bool Engine::rekey_child(TimePoint now, ChildId child) {
  return with(*host_, child, [&](Sa& found) { return found.rekey_child(now, child); });
}
bool Engine::delete_child(TimePoint now, ChildId child) {
  return with(*host_, child, [&](Sa& found) { return found.delete_child(now, child); });
}
bool Engine::rekey(TimePoint now, SaId sa) {
  return with(*host_, sa, [&](Sa& found) { return found.rekey(now); });
}
bool Engine::redirect(TimePoint now, SaId sa, Gateway gateway) {
  return with(*host_, sa, [&](Sa& found) { return found.redirect(now, std::move(gateway)); });
}
bool Engine::reauthenticate(TimePoint now, SaId sa) {
  return with(*host_, sa, [&](Sa& found) {
    return host_->reauthenticate(now, found, {found.path(), std::nullopt}) != nullptr;
  });
}
bool Engine::close(TimePoint now, SaId sa) {
  return with(*host_, sa, [&](Sa& found) { return found.close(now); });
}
bool Engine::forget(SaId sa) {
  return with(*host_, sa, [&](Sa& found) {
    if (Sa* const beside = found.parked()) host_->doom(*beside);
    host_->doom(found);
    return true;
  });
}
bool Engine::move(TimePoint now, SaId sa, const Route& route) {
  return with(*host_, sa, [&](Sa& found) { return found.move(now, route); });
}

bool Engine::answer(TimePoint now, QuestionId question, Answer answer) {
  const auto found = host_->questions.find(question);
  if (found == host_->questions.end()) return false;
  Sa& sa = *found->second;
  host_->questions.erase(found);
  const bool done = sa.answer(now, question, answer);
  host_->settle(&sa);
  return done;
}

std::optional<SaInfo> Engine::info(SaId sa) const {
  Sa* const found = host_->find(sa);
  return found == nullptr ? std::nullopt : std::optional(found->info());
}

std::optional<ChildId> Engine::child_of(std::uint32_t inbound_spi) const {
  const auto found = host_->by_child_spi.find(inbound_spi);
  if (found == host_->by_child_spi.end() || found->second.first == nullptr) return std::nullopt;
  return found->second.second;
}

std::size_t Engine::size() const { return host_->sas.size(); }
std::size_t Engine::half_open() const { return host_->half_open; }
const Counters& Engine::counters() const { return host_->counters; }

}  // namespace winze::ike
