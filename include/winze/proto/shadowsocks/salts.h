// Which salts have been used: a recorded request that is sent again shows by its salt.
//
// Two generations of a set: what has been added last is in the younger, which becomes the elder when it is full (2017:
// salts do not age) or 60 seconds old (2022: older requests are refused by their time stamp). Salts are told apart by
// their first 16 bytes. Only salts of requests that authenticate are to be added, so strangers can neither fill it nor
// push others out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/base/time.h"

namespace winze::shadowsocks {

// What a server asks. Several servers may share one, also over restarts.
class Salts {
 public:
  virtual ~Salts() = default;
  // Whether `salt`, at least 16 bytes, is new; from now on it is not.
  virtual bool add(std::span<const std::uint8_t> salt, UnixTime now) = 0;
};

struct SaltLimits {
  std::size_t count = 450'000;  // of a generation; it takes 17 bytes for each, or up to twice that
  UnixTime age = 0;             // of a generation, seconds; 0: none
};
// For requests whose time stamp is held against our clock.
inline constexpr SaltLimits kTimedSalts{.count = std::size_t{1} << 40, .age = 60};

class SaltPool final : public Salts {
 public:
  explicit SaltPool(const SaltLimits& limits = {});
  ~SaltPool() override;
  bool add(std::span<const std::uint8_t> salt, UnixTime now) override;

  // For a file that outlives the process: a dump, and behind it, as they come, the salts that were added since.
  std::vector<std::uint8_t> dump() const;
  using Later = std::array<std::uint8_t, 8 + 16>;
  static Later later(std::span<const std::uint8_t> salt, UnixTime now);
  // And back. It may be given anything: it takes the salts it finds, and says whether there was a whole dump. The last
  // of those behind it may be cut off.
  bool load(std::span<const std::uint8_t> dumped, UnixTime now);
  std::size_t size() const;

 private:
  struct Generation;
  struct Sets;
  using Mark = std::array<std::uint8_t, 16>;
  static bool load(Reader& in, Generation& generation, UnixTime now);
  bool add(const Mark& mark, UnixTime now);
  void turn(UnixTime now);

  SaltLimits limits_;
  std::unique_ptr<Sets> sets_;
};

// For datagrams, each of which has a salt (2017) or a number (2022), and which would push the salts of streams out of a
// pool within seconds: a table of a fixed size, in which a salt takes the place of the oldest of eight, and costs one
// cache line. Of the last `lines` salts it has forgotten one in 100,000, of the last 2 * `lines` one in 900, of the
// last 4 * `lines` one in 20.
class SaltWindow final : public Salts {
 public:
  // `lines`: a power of two; each is 64 bytes, taken with the first salt. By default 4 MiB.
  explicit SaltWindow(std::size_t lines = std::size_t{1} << 16) : size_(lines) {}
  bool add(std::span<const std::uint8_t> salt, UnixTime now) override;

 private:
  struct alignas(64) Line {
    std::array<std::uint64_t, 8> salts;  // the latest first
  };
  std::size_t size_;
  std::vector<Line> lines_;
};

}  // namespace winze::shadowsocks
