// What a peer sends around a signature: AlgorithmIdentifiers, keys, ECDSA's two forms. Whatever is taken has one
// meaning.
#include <algorithm>

#include "support/require.h"
#include "winze/crypto/signature.h"

namespace {

using namespace winze;
using winze::test::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  if (const auto scheme = parse_algorithm_identifier(bytes)) {
    require(parse_algorithm_identifier(algorithm_identifier_of(*scheme)) == scheme);
  }
  if (auto key = PublicKey::parse(bytes); key.ok()) {
    auto again = PublicKey::parse(key->spki());
    require(again.ok() && *again == *key);
    for (const SignatureScheme scheme : key->schemes()) require(!key->verify(scheme, bytes, bytes));
  }
  for (const std::size_t coordinate : {32, 48, 66}) {
    const auto fixed = ecdsa_to_fixed(bytes, coordinate);
    if (!fixed.empty()) require(std::ranges::equal(ecdsa_from_fixed(fixed), bytes));
  }
  (void)ecdsa_from_fixed(bytes);
  return 0;
}
