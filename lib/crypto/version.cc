#include "winze/crypto/version.h"

#include <openssl/base.h>

namespace winze {

int boringssl_api_version() { return BORINGSSL_API_VERSION; }

}  // namespace winze
