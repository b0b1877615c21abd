// An EAP server of EAP-TLS for the tests against other makers' peers: each line of the input is a packet of the peer in
// hex, or "begin"; each line of the output what is to be done.
//
//   send HEX | success HEX msk HEX identity NAME | failure HEX WHY | discard
//
//   eap_server FOLDER NAME      x509/NAME.pem and private/NAME.pem are what it shows, x509ca/ca.pem whom it believes
#include <asio/io_context.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "support/hex.h"
#include "winze/base/random.h"
#include "winze/base/status.h"
#include "winze/io/system.h"
#include "winze/layer/eap_tls.h"
#include "winze/proto/eap/authenticator.h"

namespace {

using namespace winze;

test::Bytes read(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename T>
T must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::cerr << message_of(result.status()) << '\n';
  std::exit(1);
}

std::vector<Certificate> certificates(const std::string& name) { return must(parse_certificates(read(name))); }

eap::TlsEngineFactory tls(const std::string& folder, const std::string& name, const WallClock& clock) {
  auto key = must(parse_private_key(read(folder + "/private/" + name + ".pem")));
  eap::TlsOptions options;
  options.identity = must(CertificateIdentity::create(certificates(folder + "/x509/" + name + ".pem"), std::move(key)));
  options.verifier = std::make_shared<CertificateVerifier>(certificates(folder + "/x509ca/ca.pem"));
  options.clock = std::shared_ptr<const WallClock>(&clock, [](const WallClock*) {});
  return must(eap::tls_server(std::move(options)));
}

void tell(const eap::Authenticator& end, const eap::Step& step) {
  using Kind = eap::Step::Kind;
  const std::string packet = test::hex(step.packet);
  if (step.kind == Kind::kSend) std::cout << "send " << packet;
  if (step.kind == Kind::kDiscard) std::cout << "discard";
  if (step.kind == Kind::kFailure) std::cout << "failure " << packet << ' ' << step.error.message() << step.detail;
  if (step.kind == Kind::kSuccess) {
    std::cout << "success " << packet << " msk " << test::hex(end.msk().span()) << " identity " << end.identity();
  }
  std::cout << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  asio::io_context context;
  SystemEnvironment system(context.get_executor());
  Environment& environment = system;
  const eap::AuthenticatorOptions options{.tls = tls(argv[1], argv[2], environment.clock)};
  std::unique_ptr<eap::Authenticator> end;
  for (std::string line; std::getline(std::cin, line);) {
    const auto done = [&](eap::Step step) { tell(*end, step); };
    if (line == "begin") {
      end = eap::make_authenticator(options, environment.random);
      end->begin(done);
    } else if (end) {
      end->receive(test::unhex(line), done);
    }
  }
  return 0;
}
