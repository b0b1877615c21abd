// What is behind tls::ClientContext and tls::ServerContext.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdio>
#include <list>
#include <mutex>
#include <unordered_map>

#include "winze/layer/tls.h"

namespace winze::tls {

// Appends NSS key log lines to a file.
class KeyLog {
 public:
  absl::Status open(const std::string& path);
  void write(const char* line);
  bool is_open() const { return file_ != nullptr; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::mutex mutex_;
  std::unique_ptr<std::FILE, Close> file_;
};

// Session tickets by server. Tickets of TLS 1.3 are used once (RFC 8446 appendix C.4).
class TicketCache {
 public:
  void put(const std::string& server, bssl::UniquePtr<SSL_SESSION> session);
  bssl::UniquePtr<SSL_SESSION> take(const std::string& server);

 private:
  static constexpr std::size_t kServers = 256;
  static constexpr std::size_t kPerServer = 4;
  struct Entry {
    std::string server;
    std::vector<bssl::UniquePtr<SSL_SESSION>> sessions;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_server_;
};

// A parsed Identity, with the names its leaf is for (lower case, "*.example" kept as it is).
struct Credential {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;
  bssl::UniquePtr<EVP_PKEY> key;
  std::vector<std::string> names;

  bool fits(std::string_view name) const;
  bool use_in(SSL* ssl) const;
};
using Credentials = std::vector<Credential>;

struct ClientContext::Parts {
  bssl::UniquePtr<SSL_CTX> ssl;
  ClientOptions options;
  bssl::UniquePtr<X509_STORE> roots;  // the given ones
  std::once_flag system_roots_read;
  bssl::UniquePtr<X509_STORE> system_roots;
  KeyLog key_log;
  TicketCache tickets;
  std::atomic<std::uint64_t> handshakes{0};
  std::atomic<std::uint64_t> resumed{0};
};

struct ServerContext::Parts {
  bssl::UniquePtr<SSL_CTX> ssl;
  ServerOptions options;  // without its identities
  bssl::UniquePtr<X509_STORE> client_roots;
  KeyLog key_log;
  std::vector<std::uint8_t> alpn_wire;

  std::shared_ptr<const Credentials> credentials() const {
    std::lock_guard lock(mutex);
    return current;
  }
  mutable std::mutex mutex;
  std::shared_ptr<const Credentials> current;
};

// The verdict on a chain the peer sent.
struct Verdict {
  std::error_code error;
  std::string detail;
};
Verdict verify_server(ClientContext::Parts& context, const STACK_OF(CRYPTO_BUFFER) * chain, std::string_view name);
Verdict verify_client(ServerContext::Parts& context, const STACK_OF(CRYPTO_BUFFER) * chain);

// PEM text to a store of roots; null when `pems` is empty.
absl::StatusOr<bssl::UniquePtr<X509_STORE>> make_store(const std::vector<std::string>& pems);
absl::StatusOr<Credential> parse_identity(const Identity& identity);

}  // namespace winze::tls
